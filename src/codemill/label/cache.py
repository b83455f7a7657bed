"""Every answer an oracle gave, appended as it came: what a killed run has paid for is never paid for again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from codemill.errors import InputError, StoreError
from codemill.label.prompt import PROMPT, Verdict


@dataclass(frozen=True)
class Key:
    """What an answer depends on."""

    blob_id: str
    language: str
    model: str
    rubric: int
    shown: int
    prompt: int = PROMPT


@dataclass(frozen=True)
class Answer:
    """What came of one file.

    Attributes:
        verdict: the rating, or None.
        error: why there is none. Recorded for good are answers that stayed unparsable; failures of the endpoint are
            recorded for what they cost and tried again by the next run.
        final: False for those failures.
        requests, prompt_tokens, completion_tokens: what it took, all attempts together.
    """

    verdict: Verdict | None
    error: str | None
    final: bool
    requests: int
    prompt_tokens: int
    completion_tokens: int


class Answers:
    """The answers of one labelling run, in memory and in an append-only JSONL file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_key: dict[Key, Answer] = {}
        self.spent: dict[str, tuple[int, int, int]] = {}  # model -> requests, prompt tokens, completion tokens
        self._stream: TextIO | None = None
        for key, answer in _read(path):
            self._take(key, answer)

    def get(self, key: Key) -> Answer | None:
        return self.by_key.get(key)

    def add(self, key: Key, answer: Answer) -> None:
        """Record an answer; it is on its way to the disk when this returns."""
        assert self._stream is not None, "expected to be inside writing()"
        self._take(key, answer)
        line = {"key": asdict(key), "answer": asdict(answer)}
        try:
            self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._stream.flush()
        except OSError as error:
            raise StoreError(f"answers {self.path}: cannot write: {error}") from error

    def _take(self, key: Key, answer: Answer) -> None:
        self.by_key[key] = answer
        requests, prompt, completion = self.spent.get(key.model, (0, 0, 0))
        self.spent[key.model] = (
            requests + answer.requests,
            prompt + answer.prompt_tokens,
            completion + answer.completion_tokens,
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the file for appending; a second holder gets one clear line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{self.path}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                f"labels {self.path.parent}: expected to be the only run there, got another one"
            ) from error
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                _end_line(self.path, stream)
                self._stream = stream
                yield
        except OSError as error:
            raise StoreError(f"answers {self.path}: cannot write: {error}") from error
        finally:
            self._stream = None
            lock.release()


def _end_line(path: Path, stream: TextIO) -> None:
    """A killed run may have left half a line: close it, so that the next one stands alone."""
    with path.open("rb") as existing:
        if existing.seek(0, 2) == 0:
            return
        existing.seek(-1, 2)
        if existing.read(1) != b"\n":
            stream.write("\n")


def _read(path: Path) -> Iterator[tuple[Key, Answer]]:
    if not path.is_file():
        return
    # Lines end at \n alone: an explanation may hold any other separator that Python knows.
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            try:
                data = json.loads(line)
            except ValueError:
                continue  # half a line, left by a killed run: that file is asked about again
            try:
                values = data["answer"]
                verdict = values.pop("verdict")
                yield Key(**data["key"]), Answer(Verdict(**verdict) if verdict is not None else None, **values)
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"answers {path}: expected an answer in line {number}, got {line[:80]!r} ({error})"
                ) from error
