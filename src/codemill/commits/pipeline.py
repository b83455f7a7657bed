"""A run over histories, stage by stage: list, read, annotate, select, sample, report. Each does only what is missing.

Selection is that of files: a commit is an occurrence, its message and patch are its content, and what is known of it
are columns beside. Samples are made of what the rules kept; what then turns out not to be a sample is dropped or
errored by three last rules, so that every commit has one decision.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from codemill.annotate.run import Annotation, Data, run_annotators
from codemill.commits.card import dataset_card
from codemill.commits.history import History, survey
from codemill.commits.places import Place, find_repositories
from codemill.commits.plan import CommitShard, Facts, facts_of, plan_shards, table_file, tasks
from codemill.commits.report import build_commit_report
from codemill.commits.samples import check_written, list_kept, make_samples
from codemill.commits.settings import CommitRecipe
from codemill.commits.table import CommitTable, RepositoryTable, SampleTable
from codemill.commits.template import load_template
from codemill.commits.tokens import load_tokens
from codemill.corpus.assemble import claim_corpora
from codemill.corpus.output import DONE
from codemill.engine import Engine
from codemill.errors import InputError, RecipeError
from codemill.recipe import ValueRule
from codemill.report.summary import RunSummary
from codemill.schema import digest
from codemill.select import Selection, select
from codemill.select.check import check_rules
from codemill.select.decide import expand, judge
from codemill.select.signals import LANGUAGE, TOKENS
from codemill.sources.base import load_facts
from codemill.sources.ingest import assign_owners
from codemill.stages import Say, Stages
from codemill.store import Store, annotation_folder
from codemill.tables import StoredTable

# What a kept commit has to be as a sample. Commits that earlier rules dropped have no values here.
LAST_RULES = (
    ValueRule(name="round_trip", column="sample.round_trip", equals=True, missing="keep"),
    ValueRule(name="over_budget", column="sample.fits", equals=True, missing="keep"),
    ValueRule(name="special_token", column="sample.clean", equals=True, missing="keep"),
    ValueRule(name="contaminated_context", column="sample.context_hits", max=0, missing="keep"),
)


def run_commits(
    recipe: CommitRecipe,
    engine: Engine,
    say: Say = lambda *_: None,
    begin: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Run a recipe of kind `commits` from histories to samples.

    Args:
        recipe: what to do.
        engine: where it runs.
        say: told (stage, one line, seconds) when a stage is done.
        begin: told a stage's name when it begins.

    Raises:
        CodemillError: one line on what went wrong; the store holds what was finished until then.
    """
    return CommitPipeline(recipe, engine, say, begin).run()


class CommitPipeline(Stages[CommitRecipe]):
    """A recipe of kind `commits` on its way through the stages."""

    rows_are = "commits"

    def check(self) -> None:
        for name in self.recipe.annotate:
            if name in ("commit", "repository", "sample"):
                raise RecipeError(f"annotate.{name}: expected an annotator of contents, got one that always runs")
        recipe = self.recipe.selection(*LAST_RULES)
        rules = [rule for corpus in recipe.corpus.values() for rule in expand(recipe, corpus.rules)]
        schemas = {annotator.name: annotator.schema() for annotator in self.annotators}
        schemas |= {table.name: table.schema() for table in (CommitTable, RepositoryTable, SampleTable)}
        check_rules(rules, recipe.corpus.values(), schemas)
        self.recipe.history.salt()
        for corpus in self.recipe.corpus.values():
            load_template(corpus.template, corpus.tokens)
            load_tokens(corpus.tokenizer)

    def page(self, summary: RunSummary) -> str:
        return build_commit_report(self.store, summary)

    def run(self) -> RunSummary:
        """All stages; the store is held for the whole run."""
        with self.store.lock():
            shards = self.read()
            data = self.annotate(shards)
            return self.conclude(*self.decide(shards, data))

    def read(self) -> list[CommitShard]:
        """Histories listed and read into shards."""
        listed = self.stage("list", self._list)
        shards, facts = listed

        def work() -> tuple[None, str]:
            self.store.create()
            todo = list(tasks(self.store, shards, self.recipe.history, facts))
            weight = 100_000 * sum(task["stop"] - task["start"] for task in todo)
            list(self.engine.map("codemill.commits.extract:extract_shard", todo, weight))
            assign_owners(self.store)
            return None, f"{sum(shard.rows for shard in shards):,} commits, {len(todo):,} of {len(shards):,} shards new"

        self.stage("read", work)
        self.facts = facts
        return shards

    def _list(self) -> tuple[tuple[list[CommitShard], Facts], str]:
        self.store.create()
        places: list[Place] = []
        facts: Facts = {}
        for source in self.recipe.source:
            found = list(find_repositories(source, self.store))
            places += found
            given = load_facts(source.facts)
            facts |= {f"{source.name}\0{one.repo}": given[one.repo] for one in found if one.repo in given}
        histories = survey(self.store, self.engine, places)
        if not histories:
            raise InputError(f"source: expected at least one repository with commits, got none in {len(places)} places")
        shards = plan_shards(self.store, places, histories, self.recipe.history, self.recipe.work.shard_commits)
        detail = f"{len(places):,} repositories, {sum(one.commits for one in histories):,} commits"
        unknown = sum(f"{one.source}\0{one.repo}" not in facts for one in places)
        if unknown:
            detail += f"; {unknown:,} repositories without stars and forks"
        return (shards, facts), detail

    def annotate(self, shards: list[CommitShard]) -> Data:
        """The tables of commits and repositories beside those of the recipe's annotators."""

        def work() -> tuple[Data, str]:
            names = tuple(shard.name for shard in shards)
            history = self.recipe.history
            table = CommitTable(history)
            files = [table_file(history, name) for name in names]
            found = {
                "commit": Annotation(table, annotation_folder("commit", table.fingerprint()), files),
                "repository": self._repositories(shards),
            }
            # What is keyed by language, as the scorer is, goes by the language that most changed lines are in.
            known = {"language": found["commit"]}
            found |= run_annotators(self.store, self.engine, names, self.annotators, known)
            # Selection groups by language and weighs by tokens under these names.
            for column in (LANGUAGE, TOKENS):
                found.setdefault(column.split(".")[0], found["commit"])
            fresh = ", ".join(f"{name} {one.computed:,}" for name, one in found.items() if one.computed)
            return Data(names, found), f"computed: {fresh or 'nothing, all was there'}"

        return self.stage("annotate", work)

    def _repositories(self, shards: list[CommitShard]) -> Annotation:
        """What is known of every commit's repository now: histories grow, and tables of facts change."""
        values = [_repository_values(shard, self.facts) for shard in shards]
        manifest = digest([*(shard.name for shard in shards), *(repr(sorted(value.items())) for value in values)])
        table = RepositoryTable(RepositoryTable.Params())
        folder = annotation_folder(table.name, table.fingerprint())
        file = f"{folder}/{manifest}.parquet"
        if not self.store.exists(file):
            with self.store.table_writer(file, table.schema()) as write:
                for shard, value in zip(shards, values, strict=True):
                    ids = self.store.read(f"occurrences/{shard.name}.parquet", ["occurrence_id"])["occurrence_id"]
                    columns = {
                        name: pa.repeat(pa.scalar(value.get(name), kind), len(ids)) for name, kind in _types(table)
                    }
                    write(pa.table({"occurrence_id": ids, **columns}, schema=table.schema()))
        return Annotation(table, folder, [file])

    def decide(self, shards: list[CommitShard], data: Data) -> tuple[Data, list[Selection], dict[str, dict[str, int]]]:
        """Decide for every corpus: by the recipe's rules, then by what became of the kept ones as samples."""
        output = Store(self.recipe.output)
        claim_corpora(output, self.recipe)
        selections: list[Selection] = []
        counts: dict[str, dict[str, int]] = {}
        tables: list[Annotation] = []
        for name in self.recipe.corpus:
            listing = self.stage(f"select {name}", partial(self._by_rules, data, name))
            work = partial(make_samples, self.store, self.engine, self.recipe, shards, self.facts, (name, listing))
            made = self.stage(f"sample {name}", work)
            last = Data(data.shards, {**data.annotations, "sample": made.annotation})
            recipe = self.recipe.selection(*LAST_RULES, corpus=name)
            selection = select(self.store, self.engine, recipe, last, self.decisions, self.rows_are)[0]
            counts[name] = check_written(self.store, self.recipe, name, selection, made)
            selections.append(replace(selection, evidence={}))
            tables.append(made.annotation)
        output.write_bytes("README.md", dataset_card(self.recipe, selections, counts).encode())
        marker = {"recipe": self.recipe.fingerprint(), "name": self.recipe.name, "corpora": counts}
        output.write_json(DONE, marker)
        # With several corpora a commit has several samples: then their values are with the corpora alone.
        known = {**data.annotations, "sample": tables[0]} if len(tables) == 1 else data.annotations
        return Data(data.shards, known), selections, counts

    def _by_rules(self, data: Data, corpus: str) -> tuple[StoredTable, str]:
        recipe = self.recipe.selection(corpus=corpus)
        for _, judged in judge(self.store, self.engine, recipe, data, self.rows_are):
            kept = list_kept(self.store, self.recipe, corpus, judged)
            detail = f"{kept.num_rows:,} of {judged.count:,} commits kept by the rules"
        return kept, detail


def _types(table: RepositoryTable) -> list[tuple[str, pa.DataType]]:
    return [(one.name, one.type) for one in table.schema() if one.name != "occurrence_id"]


def _repository_values(shard: CommitShard, facts: Facts) -> dict[str, Any]:
    history: History | None = shard.history
    known = facts_of(facts, shard.place)
    if history is None:
        return dict(known)
    return {"commits": history.commits, "days": history.days, "contributors": history.contributors, **known}
