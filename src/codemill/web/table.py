"""The page table: what is known of a page beside its text, and the table of hosts for caps."""

from collections.abc import Callable
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from codemill.annotate.base import BaseAnnotator, GlobalAnnotator, Key
from codemill.recipe import Strict
from codemill.schema import blob_id
from codemill.web.settings import PageSettings

VERSION = 1  # raise it when text or values change for the same page

FIELDS = pa.schema(
    [
        ("url", pa.string()),
        ("url_key", pa.string()),
        ("host", pa.string()),
        ("date", pa.string()),
        ("status", pa.int32()),
        ("mime", pa.string()),
        ("truncated", pa.string()),
        ("html_bytes", pa.int64()),
        ("charset", pa.string()),
        ("charset_by", pa.string()),
        ("replaced_share", pa.float64()),
        ("title", pa.string()),
        ("html_language", pa.string()),
        ("language", pa.string()),
        ("language_distance", pa.int32()),
        ("tokens", pa.int64()),
        ("words", pa.int64()),
        ("prose_words", pa.int64()),
        ("chars", pa.int64()),
        ("code_marks", pa.int64()),
        ("code_blocks", pa.int64()),
        ("code_chars", pa.int64()),
        ("code_share", pa.float64()),
        ("code_language", pa.string()),
        ("inline_codes", pa.int64()),
        ("links", pa.int64()),
        ("link_density", pa.float64()),
        ("headings", pa.int64()),
        ("tables", pa.int64()),
        ("list_items", pa.int64()),
        ("furniture_share", pa.float64()),
    ]
)


class PageTable(BaseAnnotator):
    """What is known of a page by itself, written as archives are read, one row for every page.

    `url_key`: the URL without what does not change the page. `truncated`: why the crawler cut it off. `charset_by`:
    who named the encoding. `replaced_share`: of the characters, those that could not be read. `language` and
    `language_distance`: of the prose, by resiliparse's detector (over 1200: a guess). `code_marks`: code blocks and
    inline code. `code_share`: of the characters. `code_language`: most frequent that the page names. `link_density`:
    share of the visible characters in links; `furniture_share`: of those left out.
    """

    name: ClassVar[str] = "page"
    version: ClassVar[int] = VERSION
    key: ClassVar[Key] = "occurrence"
    fields: ClassVar[pa.Schema] = FIELDS
    Params: ClassVar[type[Strict]] = PageSettings


class HostParams(Strict):
    """Which pages of a host come first."""

    seed: int = Field(1, ge=0, description="another seed, another order")


class HostAnnotator(GlobalAnnotator):
    """Where a page stands among the pages of its host in a random order, for caps.

    `pages`: how many different texts the host has; `rank`: from 1, equal for equal texts.
    """

    name: ClassVar[str] = "host"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    fields: ClassVar[pa.Schema] = pa.schema([("pages", pa.int64()), ("rank", pa.int64())])
    Params: ClassVar[type[Strict]] = HostParams

    def annotate(self, occurrences: pa.Table, upstream: Callable[[str], pa.Table]) -> pa.Table:
        params = self.params
        assert isinstance(params, HostParams)
        pages = occurrences.filter(pc.is_null(occurrences["problem"])).select(["occurrence_id", "repo", "blob_id"])
        texts = pages.group_by(["repo", "blob_id"], use_threads=False).aggregate([])
        order = [blob_id(f"{params.seed}{text}".encode()) for text in texts["blob_id"].to_pylist()]
        texts = texts.append_column("order", pa.array(order, pa.string()))
        texts = texts.sort_by([("repo", "ascending"), ("order", "ascending")])
        counts: dict[str, int] = {}
        ranks = []
        for host in texts["repo"].to_pylist():
            counts[host] = counts.get(host, 0) + 1
            ranks.append(counts[host])
        texts = texts.append_column("rank", pa.array(ranks, pa.int64()))
        texts = texts.append_column("pages", pa.array([counts[host] for host in texts["repo"].to_pylist()], pa.int64()))
        table = pages.join(texts, ["repo", "blob_id"], join_type="inner").sort_by("occurrence_id")
        return table.append_column("error", pa.nulls(table.num_rows, pa.string()))
