"""Sources as token tables, encoded when a plan first asks for them and kept in the store for the next one."""

import json
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.corpus.read import InputPart
from codemill.engine import Engine, Task
from codemill.errors import InputError
from codemill.pretrain.draw import Fim, Keys, TokenTable
from codemill.pretrain.settings import MixtureSource, PretrainRecipe
from codemill.pretrain.tokenize import INDEX, VERSION, mix, tokenizer_of
from codemill.schema import digest
from codemill.store import Store

# The engine weighs work by bytes of content at the pace of a parser; encoding is about twice as fast.
ENCODE_PACE = 2


class TokenTables:
    """Encodes sources for the phases that draw from them.

    Args:
        store: where token files are kept.
        engine: what encodes.
        recipe: names the sources and the tokenizer.
        files: those of every source.

    Attributes:
        sources: for each source, its first encoding's documents, tokens, bytes, and rows beside them by reason.
        new: token files written, and those that were there.
    """

    def __init__(self, store: Store, engine: Engine, recipe: PretrainRecipe, files: dict[str, list[InputPart]]) -> None:
        self.store, self.engine, self.recipe, self.files = store, engine, recipe, files
        self.tokenizer = recipe.tokenizer.path
        self.sources: dict[str, dict[str, Any]] = {}
        self.new = self.old = 0
        self._known = {source.name: source for source in recipe.source}
        self._tables: dict[str, tuple[str, TokenTable]] = {}  # of each source the one that was asked for last

    def load(self, name: str, fim: Fim, epoch: int, length: int) -> TokenTable:
        """A source as a phase draws from it in a pass; encoded now unless it was before.

        Raises:
            InputError: a file can't be read, or holds no documents.
        """
        source = self._known[name]
        if fim is None or fim.rate == 0 or not source.fim:
            fim, epoch = None, 0  # the same in every pass
        context = length if fim is not None and fim.level == "context" else None
        draw = {"fim": fim.model_dump(mode="json") if fim else None, "epoch": epoch, "length": context}
        folder = f"tokens/{name}-{self._fingerprint(source, draw)}"
        if name not in self._tables or self._tables[name][0] != folder:
            self._tables.pop(name, None)
            self._tables[name] = folder, self._encode(source, draw, folder)
        return self._tables[name][1]

    def fingerprint(self) -> str:
        """Of all that the sources hold and how they are encoded."""
        files = [f"{name}\0{file.state}" for name, files in sorted(self.files.items()) for file in files]
        return digest([tokenizer_of(self.tokenizer).fingerprint, str(VERSION), *files])

    def _fingerprint(self, source: MixtureSource, draw: dict[str, Any]) -> str:
        how = [tokenizer_of(self.tokenizer).fingerprint, self.recipe.tokenizer.end, str(VERSION)]
        return digest([*how, json.dumps([draw, source.columns], sort_keys=True)])

    def _encode(self, source: MixtureSource, draw: dict[str, Any], folder: str) -> TokenTable:
        files = self.files[source.name]
        tasks = [self._task(source, draw, f"{folder}/{file.state}", file) for file in files]
        new = [number for number, task in enumerate(tasks) if not self.store.exists(task["done"])]
        self.new, self.old = self.new + len(new), self.old + len(tasks) - len(new)
        missing, weight = [tasks[number] for number in new], sum(files[number].bytes for number in new)
        list(self.engine.map("codemill.pretrain.tokenize:tokenize_file", missing, weight // ENCODE_PACE))
        counts: Counter[str] = Counter()
        beside: Counter[str] = Counter()
        for task in tasks:
            done = self.store.read_json(task["done"])
            beside.update(done.pop("beside"))
            counts.update(done)
        if not counts["documents"]:
            raise InputError(f"source {source.name}: expected documents in {source.path}, got none")
        self.sources.setdefault(source.name, {**counts, "files": len(files), "beside": dict(sorted(beside.items()))})
        return self._table(source.name, tasks)

    def _task(self, source: MixtureSource, draw: dict[str, Any], place: str, file: InputPart) -> Task:
        return {
            "store": self.store.root,
            "source": source.name,
            "path": file.path,
            "groups": file.groups,
            "columns": source.columns,
            "tokenizer": self.tokenizer,
            "end": self.recipe.tokenizer.end,
            **draw,
            "tokens": f"{place}.arrow",
            "index": f"{place}.parquet",
            "done": f"{place}.json",
        }

    def _table(self, name: str, tasks: list[Task]) -> TokenTable:
        parts = [self.store.read(task["index"]) for task in tasks]
        sizes = [part.num_rows for part in parts]
        table = pa.concat_tables(parts, promote_options="permissive") if parts else INDEX.empty_table()
        # Never as strings: those of a large source would not fit an array.
        language = table["language"].unify_dictionaries().combine_chunks()
        columns = {
            column: np.asarray(table[column].to_numpy(), np.bool_ if column in {"first", "fim"} else None)
            for column in ("key", "length", "loss", "first", "fim")
        }
        columns["key"] = distinct(columns["key"], columns["first"])
        return TokenTable(
            source=name,
            files=[task["tokens"] for task in tasks],
            file=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            row=np.concatenate([np.arange(size, dtype=np.int64) for size in sizes] or [np.zeros(0, np.int64)]),
            language=pc.fill_null(language.indices, len(language.dictionary)).to_numpy(),
            languages=[*language.dictionary.to_pylist(), ""],
            **columns,
        )


def distinct(keys: Keys, first: npt.NDArray[np.bool_]) -> Keys:
    """Another key for every document but the first of those that share one: a stream could not tell where it stopped.

    Args:
        keys: of n pieces of documents, which have the key of their document.
        first: which of them begin a document.
    """
    own = keys[first]
    order = np.argsort(own, kind="stable")
    place = np.arange(len(own))
    same = np.concatenate([[False], own[order][1:] == own[order][:-1]]) if len(own) else np.zeros(0, np.bool_)
    if not same.any():
        return keys
    times = np.empty(len(own), np.uint64)
    times[order] = place - np.maximum.accumulate(np.where(same, 0, place))
    return np.asarray(np.where(times > 0, mix(own, times), own)[np.cumsum(first) - 1], np.uint64)
