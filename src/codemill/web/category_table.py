"""The annotator of page categories: a column beside every page, for rules that go by the kind of page."""

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.recipe import Strict
from codemill.web.category import CategoryModel, open_category

SHIPPED = "shipped"


class CategoryParams(Strict):
    """Which model."""

    model: str = Field(SHIPPED, description="`shipped`, or the folder of a model fitted to other pages")


class CategoryAnnotator(Annotator):
    """Which kind of page a page is, from its address and its text.

    Fields: `name` is one of `question_and_answer`, `forum`, `repository_page`, `shop`, `reference`, `documentation`,
    `tutorial`, `blog`, `other` (`data/web_category.toml` defines them); `probability` is the model's.
    """

    name: ClassVar[str] = "category"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    inputs: ClassVar[tuple[str, ...]] = ("repo", "path", "content")
    fields: ClassVar[pa.Schema] = pa.schema([("name", pa.string()), ("probability", pa.float32())])
    Params: ClassVar[type[Strict]] = CategoryParams

    def category_model(self) -> CategoryModel:
        """The model, read on first use."""
        assert isinstance(self.params, CategoryParams)
        return open_category(None if self.params.model == SHIPPED else self.params.model)

    def model(self) -> str:
        return self.category_model().fingerprint

    def load(self) -> None:
        self.category_model()

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names, chances = categories(batch, self.category_model())
        return pa.RecordBatch.from_pydict({"name": names, "probability": chances}, schema=self.fields)


def categories(batch: pa.RecordBatch, model: CategoryModel) -> tuple[list[str], list[float]]:
    """Category and probability of every page of a batch with `repo` (the host), `path` and `content`."""
    rows = zip(*(batch.column(name).to_pylist() for name in CategoryAnnotator.inputs), strict=True)
    found = [model.judge(host or "", path or "", content.decode("utf-8", "replace")) for host, path, content in rows]
    return [name for name, _ in found], [chance for _, chance in found]
