"""Recipes of kind `commits`: which histories, what is read of a commit, which rules decide, how samples look."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from codemill.errors import RecipeError
from codemill.recipe import (
    NAME,
    AlarmSettings,
    CorpusSettings,
    EngineSettings,
    GitSource,
    Recipe,
    Rule,
    Rules,
    Strict,
    fingerprint_of,
    load_recipe_as,
)

Format = Literal["diff", "blocks", "files"]


class HistorySettings(Strict):
    """What is read of every commit. Part of the identity of the values: another setting, another table."""

    identities: Literal["drop", "hash"] = Field(
        "drop", description="what becomes of names and e-mail addresses of authors, committers and trailers"
    )
    salt_env: str = Field(
        "", description="environment variable with the secret of the hashes: plain hashes of addresses can be guessed"
    )
    merge_patches: bool = Field(False, description="read the changes of merges too, against their first parent")
    rename_similarity: int = Field(50, ge=1, le=100, description="least similarity in percent of a renamed file")
    max_paths: int = Field(1000, gt=0, description="commits that change more paths are recorded without a patch")
    max_bytes: int = Field(
        10_000_000, gt=0, description="commits whose changed files weigh more, before and after, likewise"
    )

    @model_validator(mode="after")
    def _salted(self) -> "HistorySettings":
        if self.identities == "hash" and not self.salt_env:
            raise ValueError('history.salt_env: expected the name of a variable with identities = "hash", got none')
        return self

    def salt(self) -> str:
        """The secret, which no recipe, store or report holds; empty where nothing is hashed.

        Raises:
            RecipeError: the environment has none.
        """
        if self.identities == "drop":
            return ""
        if not os.environ.get(self.salt_env):
            raise RecipeError(
                f"history.salt_env: expected a secret in the environment variable {self.salt_env}, got none"
            )
        return os.environ[self.salt_env]


class WorkSettings(Strict):
    """How histories are cut into pieces of work. Changes no value."""

    shard_commits: int = Field(1000, gt=0, description="most commits of one shard, all of one repository")


class ContextSettings(Strict):
    """What a sample shows of the snapshot before its commit."""

    files: int = Field(5, ge=0, description="so many of the most relevant files by BM25 for the message")
    changed_files: bool = Field(
        False, description="also show every file that the commit changes; files then stand in the order of their paths"
    )
    max_file_bytes: int = Field(200_000, gt=0, description="larger files are not searched")
    path_weight: int = Field(8, ge=0, description="how often each word of a path counts, against once in the content")
    tree_depth: int = Field(3, ge=1, description="folders below this are closed unless something in them matters")
    tree_breadth: int = Field(24, ge=1, description="entries shown of a folder; what matters stays")
    contaminated: Literal["drop", "keep"] = Field(
        "drop", description="commits whose context shares n-grams with benchmarks, where `annotate.contamination` runs"
    )


class BudgetSettings(Strict):
    """Tokens of a sample and of its parts; see docs/commits.md for the order in which parts give way."""

    total: int = Field(8192, gt=0, description="all parts; a commit whose message and change alone are more is dropped")
    message: int = Field(512, gt=0, description="message; the end of its body is cut first")
    readme: int = Field(512, ge=0)
    tree: int = Field(512, ge=0)
    file: int = Field(1024, ge=0, description="each file of the context")
    change: int = Field(4096, gt=0, description="changed paths and change, never cut; more drops the commit")


class CommitCorpusSettings(Strict):
    """One output: which rules in which order, and how its samples are written."""

    rules: tuple[str, ...]
    format: Format = Field("diff", description="the change as unified diff, search/replace blocks, or whole files")
    template: str = Field("v1", description="a template of data/commit_templates.toml")
    tokens: dict[str, str] = Field(default_factory=dict, description="special tokens that replace the template's")
    tokenizer: str = Field("lexical", description="`lexical`, or a tokenizer.json: what budgets are counted in")
    budget: BudgetSettings = BudgetSettings()
    context: ContextSettings = ContextSettings()
    formats: tuple[Literal["parquet", "jsonl.zst"], ...] = Field(("parquet",), min_length=1)
    columns: tuple[str, ...] = Field((), description="columns of `commit`, `repository` … to write beside the samples")


class CommitRecipe(Strict):
    """A whole run over histories."""

    kind: Literal["commits"]
    name: str = Field(pattern=NAME)
    description: str = ""
    store: str = Field(min_length=1)
    output: str = Field(min_length=1)
    engine: EngineSettings = EngineSettings()
    work: WorkSettings = WorkSettings()
    history: HistorySettings = HistorySettings()
    source: tuple[GitSource, ...] = Field(min_length=1)
    annotate: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rule: Rules = ()
    corpus: dict[str, CommitCorpusSettings] = Field(min_length=1)
    alarm: AlarmSettings = AlarmSettings()

    @model_validator(mode="after")
    def _selectable(self) -> "CommitRecipe":
        self.selection()
        return self

    def selection(self, *extra: Rule, corpus: str | None = None) -> Recipe:
        """The recipe as the selection of files reads one: sources, rules and corpora, with `extra` rules at the end.

        Args:
            extra: rules added to every corpus.
            corpus: only this corpus.
        """
        corpora = {
            name: CorpusSettings(rules=(*one.rules, *(rule.name for rule in extra)), columns=one.columns)
            for name, one in self.corpus.items()
            if corpus in (None, name)
        }
        return Recipe(
            name=self.name,
            store=self.store,
            output=self.output,
            source=self.source,
            rule=(*self.rule, *extra),
            corpus=corpora,
            alarm=self.alarm,
        )

    def fingerprint(self) -> str:
        """12 hex digits over everything that decides about content: not where it runs or where it is put."""
        return fingerprint_of(self, "work")


def load_commit_recipe(path: str | Path) -> CommitRecipe:
    """Read and check a recipe of kind `commits`.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    return load_recipe_as(CommitRecipe, path)
