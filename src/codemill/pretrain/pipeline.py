"""A mixture from corpora to shards: encode, draw, spread, pack, write, each doing only what is missing."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from codemill.corpus.output import DONE, check_output, claim_output, own_output
from codemill.corpus.read import ERRORS, Corpus, InputPart, find_parts
from codemill.errors import RecipeError
from codemill.longcontext.run import make_documents
from codemill.longcontext.settings import LongContextSettings
from codemill.pretrain.draw import Draw, Stream, amounts
from codemill.pretrain.encode import TokenTables
from codemill.pretrain.plan import Layout, lay_out, write_listings
from codemill.pretrain.report import build_pretrain_report, dataset_card
from codemill.pretrain.settings import MixtureSource, PhaseSettings, PretrainRecipe, StageSettings
from codemill.pretrain.summary import PretrainSummary
from codemill.pretrain.tally import SourceAccount, account, totals
from codemill.pretrain.tokenize import tokenizer_of
from codemill.pretrain.write import VERSION
from codemill.schema import digest
from codemill.shards import ShardSettings, finish
from codemill.stages import Timed
from codemill.store import Store
from codemill.tokens.bpe import Training, train
from codemill.tokens.settings import BpeSettings

# Tokens that are written, and spread, in the time in which a parser reads a byte: what the engine weighs work by.
WRITE_PACE, SPREAD_PACE = 2, 8
MARKER = "plan.json"  # in a stage's folder: which plan made it
Packed = tuple[dict[str, int], dict[str, dict[str, Any]]]


@dataclass
class PretrainPipeline(Timed[PretrainRecipe]):
    """A recipe of kind `pretrain` on its way to shards."""

    def __post_init__(self) -> None:
        self.store = Store(self.recipe.store)
        if "://" in self.recipe.output:
            raise RecipeError(f"output: expected a local folder, which loaders can map, got {self.recipe.output!r}")
        self.output = Store(self.recipe.output)
        check_output(self.output, self.recipe)

    def run(self) -> PretrainSummary:
        """All stages; store and output are held for the whole run.

        Raises:
            CodemillError: one line on what went wrong; the store holds what was finished until then.
        """
        with self.store.lock(), self.output.lock():
            self.store.create()
            self.files = {one.name: find_parts(_corpus(one)) for one in self.recipe.source if not one.longcontext}
            own_output(self.output, self.recipe)
            if self.recipe.tokenizer.train and not Path(self.recipe.tokenizer.path).exists():
                self.stage("tokenizer", partial(self._train, self.recipe.tokenizer.train))
            for source in self.recipe.source:
                if source.longcontext:
                    self.files[source.name] = self.stage(
                        source.name, partial(self._lengthen, source, source.longcontext)
                    )
            self.tables = self.stage("encode", self._encode)
            self.streams = {
                source.name: Stream(partial(self.tables.load, source.name), self.recipe.seed, source.repeats)
                for source in self.recipe.source
            }
            self.alarms: list[str] = [
                f"{name}: {count:,} rows are errors ({reason})"
                for name, source in self.tables.sources.items()
                for reason, count in source["beside"].items()
                if reason in ERRORS
            ]
            self._forget_others()
            done = [
                self.stage(f"{phase.name}/{stage.name}", partial(self._stage, phase, stage))
                for phase in self.recipe.phase
                for stage in phase.stage
            ]
            return self._conclude(done)

    def _train(self, settings: BpeSettings) -> tuple[Training, str]:
        corpora = [_corpus(one) for one in self.recipe.source if not one.longcontext]
        done = train(corpora, self.recipe.tokenizer.path, settings)
        return done, f"{done.vocab_size:,} tokens out of {done.documents:,} documents, {done.bytes / 1e6:,.1f} MB"

    def _lengthen(self, source: MixtureSource, settings: LongContextSettings) -> tuple[list[InputPart], str]:
        """Long documents out of a source, in the store."""
        counted = settings.tokenizer or self.recipe.tokenizer.path
        folder = self.store.url(f"longcontext/{source.name}")
        made = make_documents(self.engine, [source.path], folder, settings.model_copy(update={"tokenizer": counted}))
        documents = self.store.url(f"longcontext/{source.name}/documents")
        dropped = "".join(f", {count:,} {reason}" for reason, count in made["dropped"].items())
        return find_parts(Corpus(f"source {source.name}", documents)), (
            f"{made['sequences']:,} long documents of {made['kept']:,} of {made['files']:,} files{dropped}"
        )

    def _encode(self) -> tuple[TokenTables, str]:
        """What every source is drawn from first, so that mistakes in any of them end the run before shards are made."""
        path = self.recipe.tokenizer.path
        tokenizer_of(path).special(self.recipe.tokenizer.end)
        for phase in self.recipe.phase:
            for mark in (phase.fim.prefix, phase.fim.middle, phase.fim.suffix) if phase.fim else ():
                tokenizer_of(path).special(mark)
        tables = TokenTables(self.store, self.engine, self.recipe, self.files)
        for phase in self.recipe.phase:
            for stage in phase.stage:
                for name in stage.weights:
                    if name not in tables.sources:
                        tables.load(name, phase.fim, 0, stage.length)
        whole = sum(source["tokens"] for source in tables.sources.values())
        count = sum(source["documents"] for source in tables.sources.values())
        return tables, f"{count:,} documents, {whole:,} tokens; {tables.new} files encoded, {tables.old} were"

    def _stage(self, phase: PhaseSettings, stage: StageSettings) -> tuple[dict[str, Any], str]:
        draws, accounts = self._draw(phase, stage)
        layout = lay_out(draws, self.recipe.shards.tokens, self._salt(phase, stage), stage.order == "sources")
        counts, formats = self._shards(phase, stage, layout)
        delivered = sum(one.tokens for one in accounts.values())
        whole = counts["sequences"] * stage.length
        value = {
            "phase": phase.name,
            "name": stage.name,
            "length": stage.length,
            "planned": round(stage.tokens * self.recipe.scale),
            "tokens": delivered,
            **{key: counts[key] for key in ("sequences", "padding", "loss", "cut")},
            "shards": len(layout.tokens),
            "sources": {name: asdict(one) for name, one in accounts.items()},
            "formats": formats,
        }
        return value, (
            f"{delivered:,} tokens in {counts['sequences']:,} sequences of {stage.length:,} "
            f"({counts['padding'] / max(whole, 1):.2%} padding), {len(layout.tokens):,} shards"
        )

    def _draw(self, phase: PhaseSettings, stage: StageSettings) -> tuple[list[Draw], dict[str, SourceAccount]]:
        tokens = stage.tokens * self.recipe.scale
        left = {name: self.streams[name].left(phase.fim, stage.length) for name in stage.weights}
        given = amounts(stage.weights, tokens, left, self.recipe.shortfall)
        whole = sum(stage.weights.values())
        accounts = {}
        draws: list[Draw] = []
        for name, amount in given.items():
            taken = self.streams[name].take(phase.fim, stage.length, amount)
            planned = tokens * stage.weights[name] / whole
            accounts[name] = account(stage.weights[name] / whole, planned, taken)
            draws += taken
            if left[name] >= planned and not taken:
                self.alarms.append(
                    f"{phase.name}/{stage.name}: {name} gives nothing: {planned:,.1f} tokens planned are less "
                    "than half of its next document"
                )
            if left[name] < planned:
                self.alarms.append(
                    f"{phase.name}/{stage.name}: {name} gives {accounts[name].tokens:,} of {planned:,.0f} tokens "
                    "planned: no more is left of it"
                )
        return draws, accounts

    def _until(self, phase: PhaseSettings, stage: StageSettings) -> str:
        """All of the recipe that decides what this stage holds: stages after it do not."""
        recipe = self.recipe.model_dump(mode="json", exclude={"engine", "store", "output", "phase", "description"})
        before: list[Any] = []
        for one in self.recipe.phase:
            for other in one.stage:
                fim = one.fim.model_dump(mode="json") if one.fim else None
                before.append([one.name, fim, other.model_dump(mode="json")])
                if (one, other) == (phase, stage):
                    return json.dumps([recipe, before], sort_keys=True)
        raise AssertionError("a stage of another recipe")

    def _salt(self, phase: PhaseSettings, stage: StageSettings) -> int:
        """What a stage's order is drawn by."""
        return int(digest([str(self.recipe.seed), phase.name, stage.name]), 16)

    def _folder(self, phase: PhaseSettings, stage: StageSettings) -> str:
        return f"{phase.name}/{stage.name}"

    def _shards(self, phase: PhaseSettings, stage: StageSettings, layout: Layout) -> Packed:
        """Have the shards written that are not there; counts, and what each format wrote."""
        plan = digest([self._until(phase, stage), self.tables.fingerprint(), str(VERSION)])
        folder, scratch, done = self._folder(phase, stage), f"scratch/pretrain/{plan}", f"packed/{plan}"
        self._own(folder, plan)
        parts = range(len(layout.tokens))
        found = {part: note for part in parts if (note := self._written(folder, f"{done}/{part}.json"))}
        missing = [part for part in parts if part not in found]
        if missing:
            batches = self._spread(layout, scratch)
            tasks = [self._task(phase, stage, part, layout.tokens[part], batches[part]) for part in missing]
            for task in tasks:
                task |= {"done": f"{done}/{task['part']}.json"}
            weight = sum(layout.tokens[part] for part in missing) // WRITE_PACE
            found |= {one["part"]: one for one in self.engine.map("codemill.pretrain.write:write_shard", tasks, weight)}
        replies = [found[part] for part in parts]
        formats: dict[str, dict[str, Any]] = {}
        for name in self.recipe.shards.formats:
            written = [reply["written"][name] for reply in replies]
            if written:
                finish(name, self.output.path(f"{folder}/{name}"), written)
            files = [file for one in written for file in one["files"]]
            formats[name] = {"files": len(files), "bytes": sum(file["bytes"] for file in files)}
        self.store.delete_folder(scratch)
        keys = ("tokens", "loss", "sequences", "padding", "cut")
        return {key: sum(reply["counts"][key] for reply in replies) for key in keys}, formats

    def _own(self, folder: str, plan: str) -> None:
        """Make the stage's folder this plan's: shards of another plan go."""
        marker = f"{folder}/{MARKER}"
        if self.output.exists(marker) and self.output.read_json(marker).get("plan") == plan:
            return
        self.output.delete_folder(folder)
        self.output.write_json(marker, {"plan": plan})

    def _written(self, folder: str, done: str) -> dict[str, Any] | None:
        """What was noted of a shard, if all its files are there."""
        if not self.store.exists(done):
            return None
        note = self.store.read_json(done)
        whole = all(
            (Path(self.output.path(f"{folder}/{name}")) / file["name"]).exists()
            for name, one in note["written"].items()
            for file in one["files"]
        )
        return note if whole else None

    def _spread(self, layout: Layout, scratch: str) -> list[list[tuple[str, int]]]:
        """Sort the documents by shard; for each shard, its batches as (file, number)."""
        tasks = write_listings(self.store, layout, scratch)
        batches: list[list[tuple[str, int]]] = [[] for _ in layout.tokens]
        for reply in self.engine.map("codemill.pretrain.spread:spread_file", tasks, sum(layout.tokens) // SPREAD_PACE):
            for number, shard in enumerate(reply["shards"]):
                batches[shard].append((reply["out"], number))
        return [sorted(one) for one in batches]

    def _task(
        self,
        phase: PhaseSettings,
        stage: StageSettings,
        part: int,
        tokens: int,
        batches: Sequence[tuple[str, int]],
    ) -> dict[str, Any]:
        tokenizer = tokenizer_of(self.recipe.tokenizer.path)
        shards = self.recipe.shards
        folder = self._folder(phase, stage)
        return {
            "store": self.store.root,
            "part": part,
            "batches": list(batches),
            "tokens": tokens,
            "length": stage.length,
            "packing": stage.packing,
            "order": stage.order,
            "seed": self._salt(phase, stage) % (1 << 31),
            "pad": tokenizer.special(self.recipe.tokenizer.end),
            "vocabulary": tokenizer.vocab_size,
            "position_ids": shards.position_ids,
            "settings": shards.model_dump(mode="json", include=set(ShardSettings.model_fields)),
            "folders": {name: self.output.path(f"{folder}/{name}") for name in shards.formats},
        }

    def _forget_others(self) -> None:
        """Remove stages that were made here, by finished runs or killed ones, and that the recipe no longer has."""
        wanted = {f"{phase.name}/{stage.name}" for phase in self.recipe.phase for stage in phase.stage}
        for marker in sorted(Path(self.output.base).glob(f"*/*/{MARKER}")):
            stage, phase = marker.parent, marker.parent.parent
            if f"{phase.name}/{stage.name}" not in wanted:
                self.output.delete_folder(f"{phase.name}/{stage.name}")
                if not any(phase.iterdir()):
                    phase.rmdir()
        claim_output(self.output, self.recipe)

    def _conclude(self, done: list[dict[str, Any]]) -> PretrainSummary:
        sums = totals(done)
        sources = {}
        for name, source in self.tables.sources.items():
            sources[name] = {**source, "used": sums["tokens"][name], **self.streams[name].state()}
        summary = PretrainSummary(
            recipe=self.recipe.model_dump(mode="json"),
            fingerprint=self.recipe.fingerprint(),
            vocabulary=tokenizer_of(self.recipe.tokenizer.path).vocab_size,
            sources=sources,
            phases=done,
            languages=sums["languages"],
            stages=self.stages,
            alarms=self.alarms,
        )
        self.output.write_bytes("README.md", dataset_card(self.recipe, summary).encode())
        self.output.write_bytes("report.html", build_pretrain_report(self.store, summary).encode())
        stages = [f"{one['phase']}/{one['name']}" for one in done]
        self.output.write_json(DONE, {"recipe": self.recipe.fingerprint(), "stages": stages})
        summary.write(self.store)
        return summary


def _corpus(source: MixtureSource) -> Corpus:
    return Corpus(f"source {source.name}", source.path, {str(ours): theirs for ours, theirs in source.columns.items()})
