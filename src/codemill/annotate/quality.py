"""Quality of a file by a scorer: what an oracle would rate it, overall and in four aspects, keyed by blob and language.

Loads a model file; how the model came to be is of no concern here, and nothing of training is imported.
"""

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.quality.backends import open_scorer
from codemill.quality.scorer import SCHEMA, Scorer
from codemill.recipe import Strict


class QualityParams(Strict):
    """Which scorer."""

    model: str = Field(
        "reference",
        description="`reference` (files) and `commits`, which ship with codemill, or the folder of a scorer",
    )


class QualityAnnotator(Annotator):
    """Ratings that a scorer predicts.

    Fields: `overall`, `readability`, `modularity`, `clarity`, `reusability`, each 0..10, float32. What they mean is in
    the rubric (`quality/rubrics`).
    """

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob_language"
    inputs: ClassVar[tuple[str, ...]] = ("content", "language")
    fields: ClassVar[pa.Schema] = SCHEMA
    Params: ClassVar[type[Strict]] = QualityParams

    def __init__(self, params: Strict) -> None:
        super().__init__(params)
        self._scorer: Scorer | None = None

    def scorer(self) -> Scorer:
        """The scorer, read on first use."""
        if self._scorer is None:
            assert isinstance(self.params, QualityParams)
            self._scorer = open_scorer(self.params.model)
        return self._scorer

    def model(self) -> str:
        return self.scorer().fingerprint

    def load(self) -> None:
        self.scorer()

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.scorer().score(batch.column("content"), batch.column("language"))
