"""What near-dedup proposes: the files that share a bucket of band hashes, and the components that those link.

Sketches are read file by file. Band hashes of many files are laid out on disk by hash and grouped a pile at a time, so
that what is held of a file is its key and a few numbers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup import candidates as sets
from codemill.dedup.candidates import Buckets
from codemill.dedup.minhash import MinHashParams, banding
from codemill.dedup.walk import SCRATCH
from codemill.keys import KeyIndex, Keys, keys_of
from codemill.lexer import Hashes, Ints
from codemill.store import Store


class Proposals:
    """The proposals among the candidates of one call; they are told by position, 0 is the best-ranked.

    Attributes:
        total: how many candidates there are.
        index: the position of a key.
        shingles: of each candidate; -1 where it has no sketch.
        buckets: how many there are.

    Raises:
        ValueError: a key is there twice.
    """

    def __init__(self, store: Store, keys: Keys) -> None:
        self.store = store
        self.total = len(keys)
        self.index = KeyIndex(keys)
        if self.index.repeated:
            raise ValueError("candidates: expected every blob once, got repeated ones")
        self.shingles = np.full(self.total, -1, np.int64)
        self.buckets = 0
        self._bits = sets.position_bits(self.total)
        self._parent = np.arange(self.total)  # each candidate's component, once all buckets are linked
        self._linked = np.zeros(self.total, np.bool_)  # those that share a bucket with another
        self._held: list[Buckets] = []  # the buckets, where they are few; else `_spilled` files hold them
        self._spilled = 0

    def read(self, files: Sequence[str], sketches: MinHashParams) -> None:
        """Read all sketches and link what shares a band hash.

        Args:
            files: Parquet files of the annotation `minhash`.
            sketches: the parameters they were made with.
        """
        bands = banding(sketches.permutations, sketches.threshold).bands
        turns = sets.passes(self.total * bands)
        held, cuts = [np.zeros(0, np.uint64)], []
        for number, file in enumerate(files):
            words = self._words(file, bands)
            if turns == 1:
                held.append(words)
                continue
            words, starts = sets.piles(words, self._bits, turns)
            cuts.append(starts)
            with self.store.writing(f"{SCRATCH}/words/{number}.bin") as stream:
                stream.write(words)
        for turn in range(turns):
            words = np.concatenate(held) if turns == 1 else self._pile(cuts, turn)
            held.clear()
            self._link(sets.buckets_of(words, self._bits), turns > 1)

    def _words(self, file: str, bands: int) -> Hashes:
        """Band hashes of the candidates that a file sketches, which are counted on the way."""
        table = self.store.read(file, ["blob_id", "shingles", "bands"])
        place = self.index.find(keys_of(table["blob_id"]))
        counts = pc.fill_null(table["shingles"], -1).to_numpy()
        self.shingles[place[place >= 0]] = counts[place >= 0]
        wanted = (place >= 0) & (counts > 0)
        if not wanted.any():
            return np.zeros(0, np.uint64)
        hashes = table["bands"].filter(pa.array(wanted)).combine_chunks().flatten().to_numpy().reshape(-1, bands)
        return sets.pack(place[wanted], hashes, self._bits)

    def _pile(self, cuts: Sequence[Ints], turn: int) -> Hashes:
        """The words of one pile, from the scratch files of all sketches."""
        parts = [np.zeros(0, np.uint64)]
        for number, starts in enumerate(cuts):
            low, high = int(starts[turn]), int(starts[turn + 1])
            if high > low:
                with self.store.fs.open_input_file(self.store.path(f"{SCRATCH}/words/{number}.bin")) as file:
                    parts.append(np.frombuffer(file.read_at((high - low) * 8, low * 8), np.uint64))
        return np.concatenate(parts)

    def _link(self, buckets: Buckets, spill: bool) -> None:
        sets.link(self._parent, buckets)
        self._linked[buckets.members] = True
        self.buckets += len(buckets.sizes)
        if not spill:
            self._held.append(buckets)
            return
        lists = pa.LargeListArray.from_arrays(buckets.offsets, buckets.members)
        self.store.write(f"{SCRATCH}/groups/{self._spilled}.parquet", pa.table({"members": lists}))
        self._spilled += 1

    def all_buckets(self) -> Iterator[Buckets]:
        """The buckets of every pile."""
        yield from self._held
        for number in range(self._spilled):
            lists = self.store.read(f"{SCRATCH}/groups/{number}.parquet")["members"].combine_chunks()
            yield Buckets(lists.offsets.to_numpy(), lists.values.to_numpy())

    def components(self) -> tuple[Ints, Ints]:
        """Positions of all linked candidates by component, then rank, and their components' labels, ascending."""
        label = sets.components(self._parent)
        members = np.flatnonzero(self._linked)
        members = members[np.argsort(label[members], kind="stable")]
        return members, label[members]
