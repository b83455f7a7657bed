"""Sources as token tables, encoded when a plan first asks for them and kept in the store for the next one."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.engine import Engine, Task
from codemill.errors import InputError
from codemill.pretrain.draw import Fim, TokenTable
from codemill.pretrain.inputs import InputPart
from codemill.pretrain.settings import MixtureSource, PretrainRecipe
from codemill.pretrain.tokenize import INDEX, VERSION, tokenizer_of
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
        self._tables: dict[str, TokenTable] = {}

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
        if folder not in self._tables:
            self._tables[folder] = self._encode(source, draw, folder)
        return self._tables[folder]

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
        missing = [task for task in tasks if not self.store.exists(task["done"])]
        self.new, self.old = self.new + len(missing), self.old + len(tasks) - len(missing)
        weight = sum(file.bytes for file, task in zip(files, tasks, strict=True) if task in missing)
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
        language = pc.fill_null(table["language"].cast(pa.string()), "").combine_chunks().dictionary_encode()
        columns = {
            column: np.asarray(table[column].to_numpy(), np.bool_ if column in {"first", "fim"} else None)
            for column in ("key", "length", "loss", "first", "fim")
        }
        return TokenTable(
            source=name,
            files=[task["tokens"] for task in tasks],
            file=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            row=np.concatenate([np.arange(size, dtype=np.int64) for size in sizes] or [np.zeros(0, np.int64)]),
            language=language.indices.to_numpy(),
            languages=language.dictionary.to_pylist(),
            **columns,
        )
