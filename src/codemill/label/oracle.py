"""Has an LLM behind an OpenAI-compatible endpoint rate the files of a sample; can be stopped and resumed any time."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

from codemill.engine import Engine
from codemill.errors import CodemillError
from codemill.label.cache import Answer, Key
from codemill.label.client import BudgetSpent, Client, EndpointError, Usage
from codemill.label.prompt import UnparsableError, Verdict, render, shown
from codemill.label.run import (
    Finished,
    Labelled,
    Progress,
    Row,
    Todo,
    key_of,
    label_sample,
    new_meter,
    read_answer,
    rows_of,
)
from codemill.label.sampling import draw
from codemill.label.settings import FORMS, Form, LabelSettings

TOO_MANY_REQUESTS = 429
PROBE = "probe"  # stands in the cache where a blob id would: what the probe took counts too


def label(
    settings: LabelSettings,
    engine: Engine | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Labelled:
    """Draw the sample, have it rated by the endpoint, and write the labels; see `run.label_sample`.

    Args:
        engine: runs the language annotator where the source is a store that has no languages yet.
        on_progress: called after every file.

    Raises:
        InputError: the sample can't be drawn, or the endpoint refuses all requests.
        StoreError: the folder can't be written, or another run is at it.
    """
    sample = draw(settings.sample, engine)
    return label_sample(settings, sample, lambda todo: _Endpoint(settings, todo, on_progress).run())


class _Endpoint:
    """The backend that asks an endpoint: a fixed number of workers take files from one queue."""

    def __init__(self, settings: LabelSettings, todo: Todo, on_progress: Callable[[Progress], None] | None) -> None:
        self.settings = settings
        self.todo = todo
        self.meter = new_meter(settings, todo.answers)
        self.progress = Progress(todo.total, self.meter, cached=todo.cached)
        self.on_progress = on_progress
        self.form: Form = FORMS[0] if settings.endpoint.answer == "auto" else settings.endpoint.answer
        self.schema = todo.rubric.answer_schema(settings.endpoint.explanation_chars)
        self.stopped: str | None = None
        self.unanswered = 0  # files in a row

    def run(self) -> Finished:
        if not self.todo.rows.num_rows:
            return Finished(None, None, self.meter)
        asyncio.run(self._run())
        return Finished(self.form, self.stopped, self.meter)

    async def _run(self) -> None:
        rows = rows_of(self.todo.rows)
        async with Client(self.settings.endpoint, self.meter) as client:
            if self.settings.endpoint.answer == "auto":
                await self._probe(client)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.settings.endpoint.concurrency, self.todo.rows.num_rows)):
                        group.create_task(self._work(client, rows))
            except* CodemillError as errors:
                raise errors.exceptions[0] from errors
        for row in rows:
            assert self.stopped is not None, "workers end when the rows do, or when they are told to stop"
            self.todo.reasons[key_of(self.settings, row)] = self.stopped

    async def _probe(self, client: Client) -> None:
        """Ask for a rating of one line in every form, best first, until the endpoint obeys one."""
        prompt = render(self.todo.rubric, "Python", "print(1)\n", cut=False, structured=True)
        usage = Usage()
        temperature = self.settings.endpoint.temperature
        for form in FORMS:
            self.form = form
            held = self._response_format(form)
            if held is None:
                break
            try:
                completion = await client.complete(prompt, usage, held, temperature, patient=False)
            except BudgetSpent as end:
                self.stopped = str(end)
                break
            except EndpointError as error:
                if error.status is None or error.status == TOO_MANY_REQUESTS:
                    break  # no answer at all: the first files meet the same, and it is recorded with them
            else:
                if _obeys(completion.text, completion.finished, set(self.schema["properties"])):
                    break
        key = Key(PROBE, "", self.settings.endpoint.model, self.settings.rubric, self.settings.shown)
        spent = (usage.requests, usage.prompt_tokens, usage.completion_tokens)
        self.todo.answers.add(key, Answer(None, PROBE, False, *spent))

    async def _work(self, client: Client, rows: Iterator[Row]) -> None:
        while self.stopped is None:
            row = next(rows, None)
            if row is None:
                return
            await self._ask(client, row)
            if self.on_progress is not None:
                self.on_progress(self.progress)

    async def _ask(self, client: Client, row: Row) -> None:
        """Bring one file to an end: a rating, or the reason why there is none."""
        key = key_of(self.settings, row)
        text, cut = shown(row["content"], self.settings.shown)
        prompt = render(self.todo.rubric, row["language"], text, cut, self.form != "line")
        usage = Usage()
        verdict: Verdict | None = None
        error: str | None = None
        final = False
        for ask in range(self.settings.unparsable_retries + 1):
            try:
                # At temperature 0 the same question gets the same answer: ask again with a higher one.
                temperature = self.settings.retry_temperature if ask else self.settings.endpoint.temperature
                completion = await client.complete(prompt, usage, self._response_format(self.form), temperature)
                self.unanswered = 0
                verdict = read_answer(completion.text, completion.finished, self.todo.rubric)
                error, final = None, True
                break
            except UnparsableError as failure:
                error, final = f"unparsable: {failure}", True
            except BudgetSpent as end:
                self.stopped, error, final = str(end), str(end), False
                break
            except EndpointError as failure:
                error, final = f"endpoint: {failure}", False
                self._count_unanswered(failure)
                break
        spent = (usage.requests, usage.prompt_tokens, usage.completion_tokens)
        if usage.requests:
            self.todo.answers.add(key, Answer(verdict, error, final, *spent))
        if verdict is None:
            self.todo.reasons[key] = error or "not asked"
        self.progress.labelled += verdict is not None
        self.progress.failed += verdict is None

    def _response_format(self, form: Form) -> dict[str, Any] | None:
        if form == "json_schema":
            return {"type": form, "json_schema": {"name": "rating", "strict": True, "schema": self.schema}}
        return {"type": form, "schema": self.schema} if form == "json_object" else None

    def _count_unanswered(self, failure: EndpointError) -> None:
        self.unanswered += 1
        if self.unanswered >= self.settings.give_up_after and self.stopped is None:
            self.stopped = f"gave up: {self.unanswered} files in a row without an answer ({failure})"


def _obeys(text: str, finished: bool, fields: set[str]) -> bool:
    """Whether an answer shows that the endpoint holds a model to the schema; one that was cut off shows its opening."""
    if not finished:
        return text.lstrip().startswith("{")
    try:
        return set(json.loads(text)) == fields
    except (ValueError, TypeError):
        return False
