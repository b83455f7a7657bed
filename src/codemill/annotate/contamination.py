"""What a text shares with benchmarks that models are evaluated on, keyed by blob."""

from functools import cached_property
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.decontaminate.index import DEFAULT, Evidence, load_indexes
from codemill.decontaminate.match import FIELDS, Matcher
from codemill.recipe import Strict


class ContaminationParams(Strict):
    """Which benchmarks a text is compared with, and what counts."""

    index: tuple[str, ...] = Field(
        (DEFAULT,), min_length=1, description="indexes of `codemill benchmark-index`; `default` is the one that ships"
    )
    evidence: Evidence = Field(Evidence(), description="which n-grams count, see docs/decontamination.md")


class ContaminationAnnotator(Annotator):
    """N-grams of words that a text shares with benchmarks.

    Fields:
        hits: different n-grams of the benchmarks that the text has.
        share: of its words, those within such n-grams.
        problems: how many problems these are of.
        benchmark, problem: the one with most of them, null where there is none.
        words: the first of these n-grams as it stands in the text, at most 300 characters.
    """

    name: ClassVar[str] = "contamination"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob"
    fields: ClassVar[pa.Schema] = FIELDS
    Params: ClassVar[type[Strict]] = ContaminationParams

    def __init__(self, params: Strict) -> None:
        super().__init__(params)
        assert isinstance(params, ContaminationParams)
        # Read at once: an index that is missing is said before any work.
        self._index = load_indexes(params.index)
        self._evidence = params.evidence

    @cached_property
    def _matcher(self) -> Matcher:
        return Matcher(self._index, self._evidence)

    def model(self) -> str:
        """Identity of the indexes, wherever they lie."""
        return self._index.fingerprint

    def load(self) -> None:
        _ = self._matcher

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._matcher.match(batch.column("content"))
