"""The offline batch. vLLM needs a GPU, so a stand-in with its documented calls takes its place here: what is tested is
what is asked of it, what becomes of its answers, and that the cache is shared with the endpoint."""

import re
import sys
import types
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import MissingExtra
from codemill.label.offline import VllmSettings, label_offline
from codemill.label.oracle import label
from codemill.label.settings import LabelSettings
from tests.llm_server import Reply, as_json, as_line, serve


@dataclass
class Sampling:
    temperature: float
    max_tokens: int
    seed: int
    structured_outputs: object = None


@dataclass
class Structured:
    json: str


def install(monkeypatch, answer):
    """Put a stand-in for vLLM into place; `answer(prompt, sampling)` is (text, finish_reason) or an exception."""
    calls = []

    class LLM:
        def __init__(self, **arguments):
            self.arguments = arguments
            calls.append(arguments)

        def chat(self, messages, sampling_params, use_tqdm=True):
            prompts = [chat[0]["content"] for chat in messages]
            replies = [answer(prompt, sampling_params) for prompt in prompts]
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            calls.append((prompts, sampling_params))
            return [
                types.SimpleNamespace(
                    prompt_token_ids=list(range(50)),
                    outputs=[types.SimpleNamespace(text=text, finish_reason=reason, token_ids=list(range(7)))],
                )
                for text, reason in replies
            ]

    module = types.ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, Sampling
    params = types.ModuleType("vllm.sampling_params")
    params.StructuredOutputsParams = Structured
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    return calls


def settings(folder, **changes):
    rows = [{"content": f"marker-{index:03d}\n", "language": "Python", "path": f"f{index}"} for index in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "files.parquet")
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "m", **changes.pop("endpoint", {})}
    values = {"output": str(folder / "out"), "sample": {"source": str(folder / "files.parquet")}, "endpoint": endpoint}
    return LabelSettings.model_validate({**values, **changes})


def number(prompt):
    return int(re.search(r"marker-(\d+)", prompt).group(1))


def test_batches_are_rated_and_what_fails_is_asked_again_or_recorded(tmp_path, monkeypatch):
    asked = {}

    def answer(prompt, sampling):
        index = number(prompt)
        asked.setdefault(index, []).append(sampling.temperature)
        if index == 3:
            return ValueError("prompt is longer than the model allows")
        if index == 4:
            return "no rating", "stop"
        if index == 5 and len(asked[5]) == 1:
            return as_json()[:30], "length"
        return as_json(overall=index + 1), "stop"

    calls = install(monkeypatch, answer)
    lines = []
    result = label_offline(settings(tmp_path), VllmSettings(batch=4, tensor_parallel=2), on_progress=lines.append)
    assert result.files == 10 and result.labelled == 8 and result.errors == {"endpoint": 1, "unparsable": 1}
    assert calls[0]["model"] == "m" and calls[0]["tensor_parallel_size"] == 2 and "max_model_len" not in calls[0]
    assert all('"overall"' in sampling.structured_outputs.json for _, sampling in calls[1:])
    assert asked[4].count(0.7) == 2 and asked[5].count(0.7) == 1
    table = {int(row["path"][1:]): row for row in pq.read_table(result.path).to_pylist()}
    assert table[7]["overall"] == 8 and table[7]["prompt_tokens"] == 50 and table[7]["completion_tokens"] == 7
    assert "longer than the model allows" in table[3]["error"] and table[4]["requests"] == 3
    assert len(lines) == 3


def test_the_endpoint_goes_on_with_its_answers(tmp_path, monkeypatch):
    install(monkeypatch, lambda prompt, sampling: (as_line(), "stop"))
    config = settings(tmp_path, endpoint={"answer": "line"}, budget={"requests": 4})
    first = label_offline(config, VllmSettings(batch=4))
    assert first.labelled == 4 and first.errors == {"budget": 6} and first.form == "line"
    with serve(lambda body, number: Reply(as_json(), status=200)) as server:
        endpoint = config.endpoint.model_copy(update={"base_url": server.url, "answer": "json_schema"})
        budget = config.budget.model_copy(update={"requests": 100})
        rest = label(config.model_copy(update={"endpoint": endpoint, "budget": budget}))
    assert rest.cached == 4 and rest.labelled == 10 and len(server.requests) == 6


def test_without_the_extra_the_install_line_is_shown(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"codemill\[vllm\]"):
        label_offline(settings(tmp_path))
