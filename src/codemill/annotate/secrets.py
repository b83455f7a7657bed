"""Keys, tokens, e-mail and IP addresses in a blob: how many and where, never the text of one.

Keys come from Kingfisher's rules (Rust, Vectorscan), detection only: its validation, which would ask the providers,
is never called. Addresses come from `annotate/personal.py`.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.annotate.personal import IPV4_HINT, IPV6_HINT, Span, emails, ipv4, ipv6
from codemill.recipe import Strict

CONFIDENCES = ("none", "low", "medium", "high")

_PEM = b"-----BEGIN"
_PEM_MARKERS = 70  # bytes of the two marker lines
_MAX_PEM = 20_000
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/=]{20,}")

SPAN = pa.struct(
    [
        ("kind", pa.string()),  # key | email | email_placeholder | ip | ip_special
        ("start", pa.int64()),  # bytes from the beginning of the blob, half-open
        ("end", pa.int64()),
        ("rule", pa.string()),  # Kingfisher's rule, or email, ipv4, ipv6
        ("confidence", pa.string()),  # low | medium | high for keys, else null
    ]
)

_COUNTS = {
    "keys": "key",
    "emails": "email",
    "email_placeholders": "email_placeholder",
    "ips": "ip",
    "ip_specials": "ip_special",
}


class SecretsParams(Strict):
    """Parameters of `secrets`."""

    base64: bool = Field(True, description="look for keys inside base64 too")
    timeout: float = Field(60.0, gt=0, description="seconds for the keys of one blob; beyond, the row is an error")


class SecretsAnnotator(Annotator):
    """Secrets and personal data of a blob.

    Fields: `keys`, `emails`, `ips`, the number of each that is somebody's; `email_placeholders` and `ip_specials`,
    those that are nobody's (example.com; private, loopback and documentation ranges); `max_confidence` of the keys
    (none, low, medium, high); `spans`, all of them by `start`, in bytes, for masking.
    """

    name: ClassVar[str] = "secrets"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob"
    Params: ClassVar[type[Strict]] = SecretsParams
    params: SecretsParams
    fields: ClassVar[pa.Schema] = pa.schema(
        [*((name, pa.int64()) for name in _COUNTS), ("max_confidence", pa.string()), ("spans", pa.list_(SPAN))]
    )

    def model(self) -> str:
        return f"kingfisher-secret-scanner {version('kingfisher-secret-scanner')}"

    def load(self) -> None:
        from kingfisher_sdk import DetectionPolicy, Rules, Scanner

        # All rules, whatever their confidence: it is a value, and recipes choose. Marks that make a scanner look away
        # (`gitleaks:allow` and the like) say nothing to us.
        policy = DetectionPolicy(inline_ignores=False)
        self._scanner = Scanner(Rules(confidence="low"), base64=self.params.base64, policy=policy)

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        column = batch.column("content")
        searches = [
            (emails, pc.match_substring(column, "@").to_pylist()),
            (ipv4, pc.match_substring_regex(column, IPV4_HINT).to_pylist()),
            (ipv6, pc.match_substring_regex(column, IPV6_HINT).to_pylist()),
        ]
        values: dict[str, list[Any]] = {name: [] for name in [*self.fields.names, "error"]}
        for index, content in enumerate(column.to_pylist()):
            try:
                spans = self._keys(content)
            except TimeoutError:
                row: dict[str, Any] = {"error": f"no answer of the key scanner within {self.params.timeout:g} s"}
            else:
                for search, hinted in searches:
                    spans += search(content) if hinted[index] else ()
                row = _row(spans)
            for name, cells in values.items():
                cells.append(row.get(name))
        return pa.RecordBatch.from_pydict(values, schema=pa.schema([*self.fields, ("error", pa.string())]))

    def _keys(self, content: bytes) -> list[Span]:
        """What Kingfisher reports, the surest rule for each place.

        Raises:
            TimeoutError: scanning took longer than the parameter allows.
            LookupError: a reported place does not hold the reported secret.
        """
        found: dict[tuple[int, int], Span] = {}
        for finding in self._scanner.scan(content, timeout=self.params.timeout):
            if not finding.visible:  # a part of a composite that was not completed, such as an account name
                continue
            start, end = finding.location["start_offset"], finding.location["end_offset"]
            secret = finding.secret.encode()
            if not finding.is_base64_encoded and content[start:end] != secret:
                # Offsets are those of the decoded text where the scanner took the bytes for UTF-16.
                start = content.find(secret)
                end = start + len(secret)
                if start < 0:
                    raise LookupError(f"rule {finding.rule_id} reports a place that is not in the bytes")
            if secret.startswith(_PEM):
                start, end = _pem_block(content, start, end)
                if start == end:
                    continue
            known = found.get((start, end))
            if known is None or _level(known.confidence) < _level(finding.confidence):
                found[start, end] = Span("key", start, end, finding.rule_id, finding.confidence)
        return list(found.values())


def _pem_block(content: bytes, start: int, end: int) -> tuple[int, int]:
    """The private key within or at the end of what the rule took for one; an empty range if there is none.

    The rule pairs a marker that code merely mentions, as parsers of keys do, with the next marker of either kind,
    however much code lies between; where that is the BEGIN of a real key, the key itself follows.
    """
    begin = content.rfind(_PEM, start, end)
    if _is_pem(content[begin:end]):
        return begin, end
    close = content.find(b"-----END", begin, begin + _MAX_PEM)
    stop = content.find(b"-----", close + 8, close + 8 + 100) + 5
    if close > 0 and stop > close and _is_pem(content[begin:stop]):
        return begin, stop
    return end, end


def _is_pem(block: bytes) -> bool:
    body = sum(map(len, _BASE64_RUN.findall(block)))
    return body > 0 and 2 * body >= len(block) - _PEM_MARKERS


def _level(confidence: str | None) -> int:
    return CONFIDENCES.index(confidence or "none")


def _row(spans: Sequence[Span]) -> dict[str, Any]:
    row: dict[str, Any] = {name: sum(span.kind == kind for span in spans) for name, kind in _COUNTS.items()}
    row["max_confidence"] = max((span.confidence or "none" for span in spans), key=_level, default="none")
    row["spans"] = [span._asdict() for span in sorted(spans, key=lambda span: (span.start, span.end))]
    return row
