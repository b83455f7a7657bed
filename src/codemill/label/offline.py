"""Has a model rate the files of a sample through vLLM in this process: no server, whole batches, the same cache.

For machines with GPUs. Prompts, forms of answer, cache and labels are those of the endpoint; labels of one kind resume
those of the other as long as the model has the same name.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pydantic import Field

from codemill.engine import Engine
from codemill.errors import InputError, MissingExtra
from codemill.label.cache import Answer
from codemill.label.prompt import UnparsableError, render, shown
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
from codemill.label.settings import Form, LabelSettings
from codemill.recipe import Strict


class VllmSettings(Strict):
    """How vLLM runs the model."""

    batch: int = Field(2048, gt=0, description="files handed over at once; answers are kept after each batch")
    tensor_parallel: int = Field(1, gt=0, description="GPUs that share the model")
    max_model_len: int | None = Field(None, gt=0, description="longest prompt and answer; none: what the model allows")
    memory: float = Field(0.9, gt=0, le=1, description="share of the GPU's memory to use")
    engine: dict[str, Any] = Field(default_factory=dict, description="further arguments of vllm.LLM, as they are")


def label_offline(
    settings: LabelSettings,
    vllm: VllmSettings | None = None,
    engine: Engine | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Labelled:
    """Draw the sample, have it rated by the model `endpoint.model` in this process, and write the labels.

    Of the endpoint's settings `model`, `answer`, `temperature`, `max_tokens`, `explanation_chars` and the prices (of
    machine time, say) count here. The budget is looked at before each batch.

    Raises:
        MissingExtra: the extra `vllm` is not installed.
        InputError: the sample can't be drawn, or vLLM can't load the model.
        StoreError: the folder can't be written, or another run is at it.
    """
    try:
        library = importlib.import_module("vllm")
    except ImportError as error:
        raise MissingExtra("offline labelling", "vllm") from error
    sample = draw(settings.sample, engine)
    chosen = vllm or VllmSettings()
    return label_sample(settings, sample, lambda todo: _Offline(settings, chosen, todo, on_progress).run(library))


class _Offline:
    """The backend that hands batches to a `vllm.LLM`."""

    def __init__(
        self,
        settings: LabelSettings,
        vllm: VllmSettings,
        todo: Todo,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.settings = settings
        self.vllm = vllm
        self.todo = todo
        self.meter = new_meter(settings, todo.answers)
        self.progress = Progress(todo.total, self.meter, cached=todo.cached)
        self.on_progress = on_progress
        # vLLM holds every model to a schema, so nothing needs to be tried.
        self.form: Form = "line" if settings.endpoint.answer == "line" else "json_schema"

    def run(self, library: Any) -> Finished:
        stopped: str | None = None
        if self.todo.rows.num_rows:
            model = self._load(library)
            for table in _slices(self.todo.rows, self.vllm.batch):
                batch = list(rows_of(table))
                stopped = stopped or self._batch(library, model, batch)
                if stopped is not None:
                    self.todo.reasons |= {key_of(self.settings, row): stopped for row in batch}
        return Finished(self.form if self.todo.rows.num_rows else None, stopped, self.meter)

    def _load(self, library: Any) -> Any:
        arguments: dict[str, Any] = {
            "model": self.settings.endpoint.model,
            "tensor_parallel_size": self.vllm.tensor_parallel,
            "gpu_memory_utilization": self.vllm.memory,
            "enable_prefix_caching": True,  # all prompts begin with the rubric
            **self.vllm.engine,
        }
        if self.vllm.max_model_len is not None:
            arguments["max_model_len"] = self.vllm.max_model_len
        try:
            return library.LLM(**arguments)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"endpoint.model: expected a model that vLLM can load, got {reason}") from error

    def _batch(self, library: Any, model: Any, batch: list[Row]) -> str | None:
        """Rate a batch, unparsable answers again; why nothing was done where the budget is spent."""
        spent = self._spent(len(batch))
        if spent is not None:
            return spent
        waiting, usage = batch, {key_of(self.settings, row): [0, 0, 0] for row in batch}
        for ask in range(self.settings.unparsable_retries + 1):
            last = ask == self.settings.unparsable_retries
            outputs = self._generate(library, model, waiting, ask)
            again: list[Row] = []
            for row, output in zip(waiting, outputs, strict=True):
                key = key_of(self.settings, row)
                counts = usage[key]
                self._count(counts, output)
                verdict, error, final = self._read(output)
                if verdict is None and final and not last:
                    again.append(row)
                    continue
                if error is not None:
                    self.todo.reasons[key] = error
                self.todo.answers.add(key, Answer(verdict, error, final, *counts))
                self.progress.labelled += verdict is not None
                self.progress.failed += verdict is None
            waiting = again
            if not waiting:
                break
        if self.on_progress is not None:
            self.on_progress(self.progress)
        return None

    def _generate(self, library: Any, model: Any, rows: list[Row], ask: int) -> list[Any]:
        """vLLM's output for each row. A prompt too long makes it refuse the batch: halve it until the row is found."""
        endpoint = self.settings.endpoint
        sampling: dict[str, Any] = {
            "temperature": self.settings.retry_temperature if ask else endpoint.temperature,
            "max_tokens": endpoint.max_tokens,
            "seed": ask,
        }
        if self.form != "line":
            schema = self.todo.rubric.answer_schema(endpoint.explanation_chars)
            structured = importlib.import_module(f"{library.__name__}.sampling_params").StructuredOutputsParams
            sampling["structured_outputs"] = structured(json=json.dumps(schema))
        parameters = library.SamplingParams(**sampling)
        chats = [[{"role": "user", "content": self._prompt(row)}] for row in rows]
        try:
            return list(model.chat(chats, parameters, use_tqdm=False))
        except ValueError as error:
            if len(rows) == 1:
                return [error]
            half = len(rows) // 2
            return [
                *self._generate(library, model, rows[:half], ask),
                *self._generate(library, model, rows[half:], ask),
            ]

    def _prompt(self, row: Row) -> str:
        text, cut = shown(row["content"], self.settings.shown)
        return render(self.todo.rubric, row["language"], text, cut, structured=self.form != "line")

    def _read(self, output: Any) -> tuple[Any, str | None, bool]:
        """Verdict, error, and whether that is final."""
        if isinstance(output, ValueError):
            return None, f"endpoint: {' '.join(str(output).split())[:200]}", False
        answer = output.outputs[0]
        try:
            return read_answer(answer.text, answer.finish_reason != "length", self.todo.rubric), None, True
        except UnparsableError as error:
            return None, f"unparsable: {error}", True

    def _count(self, counts: list[int], output: Any) -> None:
        counts[0] += 1
        self.meter.spent_requests += 1
        if isinstance(output, ValueError):
            return
        prompt, completion = len(output.prompt_token_ids or ()), len(output.outputs[0].token_ids)
        counts[1] += prompt
        counts[2] += completion
        self.meter.answered += 1
        self.meter.spent_prompt += prompt
        self.meter.spent_completion += completion

    def _spent(self, files: int) -> str | None:
        """Why a batch of so many files may not run any more."""
        meter, budget = self.meter, self.settings.budget
        if budget.requests is not None and meter.spent_requests + files > budget.requests:
            return f"budget: {budget.requests:,} requests spent"
        if budget.tokens is not None and meter.spent_prompt + meter.spent_completion >= budget.tokens:
            return f"budget: {budget.tokens:,} tokens spent"
        if budget.money is not None and meter.cost() >= budget.money:
            return f"budget: {budget.money:g} spent"
        return None


def _slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
