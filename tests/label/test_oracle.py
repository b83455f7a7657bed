"""Labelling end to end over real HTTP: what comes of every file, what is spent, and how a run ends and goes on."""

import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import InputError, RecipeError, StoreError
from codemill.label.cache import Answers
from codemill.label.oracle import label
from codemill.label.settings import (
    BudgetSettings,
    EndpointSettings,
    LabelSettings,
    SampleSettings,
    load_label_settings,
)
from tests.llm_server import Reply, as_json, as_line, serve

LANGUAGES = ("Python", "Go", "Shell")


def source_files(folder, count=12):
    """A table of small files; their marker says which one a prompt is about."""
    rows = [
        {"content": f"marker-{index:03d} = {index}\n", "language": LANGUAGES[index % 3], "path": f"f{index}"}
        for index in range(count)
    ]
    path = folder / "files.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def settings(folder, server, count=12, endpoint=None, sample=None, **changes):
    return LabelSettings.model_validate(
        {
            "output": str(folder / "out"),
            "sample": {"source": source_files(folder, count), "per_language": 100, **(sample or {})},
            "endpoint": {
                "base_url": server.url,
                "model": "m",
                "answer": "json_schema",
                "max_wait": 0.01,
                **(endpoint or {}),
            },
            **changes,
        }
    )


def marker(body):
    found = re.search(r"marker-(\d+)", body["messages"][-1]["content"])
    return int(found.group(1)) if found else None


def rows(result):
    table = pq.read_table(result.path)
    assert result.labelled + sum(result.errors.values()) == result.files == table.num_rows
    return {int(row["path"][1:]): row for row in table.to_pylist()}


def test_every_file_gets_the_answer_that_was_given_to_it(tmp_path):
    def script(body, number):
        index = marker(body)
        zero = "data" if index == 0 else "none"
        return Reply(as_json(overall=index % 11 if index % 11 else 0 if index == 0 else 1, zero=zero, clarity=3))

    with serve(script) as server:
        result = label(settings(tmp_path, server))
    labels = rows(result)
    assert result.labelled == 12 and not result.errors and result.stopped is None and result.form == "json_schema"
    assert {index: row["overall"] for index, row in labels.items()} == {0: 0, 11: 1, **{n: n for n in range(1, 11)}}
    assert labels[0]["zero"] == "data" and labels[1]["zero"] is None
    assert labels[4]["clarity"] == 3 and labels[4]["explanation"] == "Plain."
    assert labels[4]["language"] == "Go" and labels[4]["model"] == "m" and labels[4]["rubric"] == 1
    assert (result.requests, result.prompt_tokens, result.completion_tokens) == (12, 1200, 240)
    body = server.requests[0]
    assert body["response_format"]["json_schema"]["schema"]["required"][0] == "explanation"
    assert body["model"] == "m" and body["temperature"] == 0
    assert all(
        f"Language: {labels[marker(body)]['language']}\n" in body["messages"][0]["content"] for body in server.requests
    )


def test_auto_falls_back_to_the_closing_line_where_schemas_are_refused(tmp_path):
    def script(body, number):
        if "response_format" in body:
            return Reply("response_format is not supported", status=400)
        assert "RATING: zero=none" in body["messages"][0]["content"]
        return Reply(as_line(overall=7))

    with serve(script) as server:
        result = label(settings(tmp_path, server, endpoint={"answer": "auto"}))
    assert result.labelled == 12 and result.form == "line" and result.requests == 14
    assert [body["response_format"]["type"] for body in server.requests[:2]] == ["json_schema", "json_object"]


def test_auto_finds_the_older_form_of_schemas_even_where_the_newer_is_a_server_error(tmp_path):
    def script(body, number):
        kind = body["response_format"]["type"]
        return (
            Reply("Input should be 'text' or 'json_object'", status=500) if kind == "json_schema" else Reply(as_json())
        )

    with serve(script) as server:
        result = label(settings(tmp_path, server, endpoint={"answer": "auto"}))
    assert result.labelled == 12 and result.form == "json_object" and result.requests == 14
    assert server.requests[-1]["response_format"]["schema"]["properties"]["overall"]["enum"] == list(range(11))


def test_auto_falls_back_where_schemas_are_ignored(tmp_path):
    with serve(lambda body, number: Reply(as_line(overall=7))) as server:
        result = label(settings(tmp_path, server, endpoint={"answer": "auto"}))
    assert result.labelled == 12 and result.form == "line"


def test_auto_keeps_schemas_where_they_hold(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        result = label(settings(tmp_path, server, endpoint={"answer": "auto"}))
    assert result.labelled == 12 and result.form == "json_schema"
    assert all("response_format" in body for body in server.requests)


def test_unparsable_answers_are_asked_again_then_recorded(tmp_path):
    asked = {}

    def script(body, number):
        index = marker(body)
        asked.setdefault(index, []).append(body["temperature"])
        if index == 1:
            return Reply("I cannot rate this.")
        if index == 2 and len(asked[2]) == 1:
            return Reply(as_json(overall=6, zero="data"))  # contradicts itself
        if index == 3:
            return Reply('{"explanation": "and so on', finish="length")
        return Reply(as_json())

    with serve(script) as server:
        config = settings(tmp_path, server)
        result = label(config)
        labels = rows(result)
        assert result.errors == {"unparsable": 2}
        assert asked[1] == [0, 0.7, 0.7] and asked[2] == [0, 0.7]
        assert "expected a closing line" in labels[1]["error"] and labels[1]["overall"] is None
        assert "cut off" in labels[3]["error"]
        assert labels[1]["requests"] == 3 and labels[1]["prompt_tokens"] == 300
        assert labels[2]["overall"] == 6 and labels[2]["error"] is None
        # What stayed unparsable is settled, unless asked for.
        before = len(server.requests)
        again = label(config)
        assert len(server.requests) == before and again.cached == 12 and again.errors == {"unparsable": 2}
        label(config.model_copy(update={"retry_errors": True}))
        assert {marker(body) for body in server.requests[before:]} == {1, 3}


@pytest.mark.parametrize(
    "trouble",
    [
        Reply("busy", status=503),
        Reply("slow down", status=429),
        Reply(hang_up=True),
        Reply(raw=b"<html>proxy</html>"),
        Reply(raw=b'{"choices": []}'),
    ],
)
def test_trouble_that_passes_is_waited_out(tmp_path, trouble):
    with serve(lambda body, number: trouble if number < 4 else Reply(as_json())) as server:
        result = label(settings(tmp_path, server))
    assert result.labelled == 12
    assert result.requests == len(server.requests) == 16


def test_a_timeout_is_tried_again(tmp_path):
    with serve(lambda body, number: Reply(as_json(), delay=0.5 if number == 0 else 0)) as server:
        result = label(settings(tmp_path, server, endpoint={"timeout": 0.25}))
    assert result.labelled == 12 and result.requests == 13


def test_retry_after_is_honoured_and_holds_everyone(tmp_path):
    def script(body, number):
        return Reply("wait", status=429, headers={"Retry-After": "1"}) if number == 0 else Reply(as_json())

    with serve(script) as server:
        result = label(settings(tmp_path, server, endpoint={"concurrency": 1}))
    assert result.labelled == 12
    assert server.times[1] - server.times[0] >= 0.99
    assert server.times[-1] - server.times[1] < 1


def test_one_refused_file_costs_only_itself_and_is_tried_again_by_the_next_run(tmp_path):
    refuse = [5]

    def script(body, number):
        return Reply("context length exceeded", status=400) if marker(body) in refuse else Reply(as_json())

    with serve(script) as server:
        config = settings(tmp_path, server)
        result = label(config)
        assert result.errors == {"endpoint": 1} and "context length exceeded" in rows(result)[5]["error"]
        refuse.clear()
        result = label(config)
    assert result.labelled == 12 and result.cached == 11


@pytest.mark.parametrize(("status", "hint"), [(401, "key"), (404, "model")])
def test_an_endpoint_that_refuses_everything_ends_the_run_with_one_line(tmp_path, status, hint):
    with serve(lambda body, number: Reply("no such thing", status=status)) as server:
        with pytest.raises(InputError, match=f"{hint}.*got {status} no such thing"):
            label(settings(tmp_path, server))
        assert len(server.requests) <= 16


def test_a_dead_endpoint_is_given_up_and_all_files_are_accounted_for(tmp_path):
    with serve(lambda body, number: Reply("down", status=500)) as server:
        config = settings(tmp_path, server, 30, {"retries": 1, "concurrency": 2}, give_up_after=5)
        result = label(config)
    assert result.labelled == 0 and result.stopped.startswith("gave up")
    assert set(result.errors) == {"endpoint", "gave up"} and sum(result.errors.values()) == 30
    assert len(server.requests) <= 2 * 7
    rows(result)


@pytest.mark.parametrize(
    ("budget", "prices"),
    [({"requests": 5}, {}), ({"tokens": 15_000}, {}), ({"money": 15}, {"price_input": 1000, "price_output": 1000})],
)
def test_a_budget_stops_cleanly_and_the_run_goes_on_with_a_larger_one(tmp_path, budget, prices):
    with serve(lambda body, number: Reply(as_json(), usage=(900, 20) if number else (100, 20))) as server:
        server_usage = {"max_tokens": 30, "concurrency": 3, **prices}
        config = settings(tmp_path, server, 40, server_usage, budget=budget)
        result = label(config)
        assert result.stopped.startswith("budget") and 0 < result.labelled < 40
        assert result.errors == {"budget": 40 - result.labelled}
        rows(result)
        assert label(config).requests == result.requests, "a spent budget stays spent"
        larger = config.model_copy(update={"budget": config.budget.model_copy(update=dict.fromkeys(budget, 10**9))})
        whole = label(larger)
    assert whole.labelled == 40 and whole.cached == result.labelled
    asked = [marker(body) for body in server.requests]
    assert sorted(asked) == sorted(set(asked)), "nothing was asked twice"


def test_limits_hold_although_many_requests_run_at_once(tmp_path):
    with serve(lambda body, number: Reply(as_json(), usage=(1000, 100), delay=0.02)) as server:
        endpoint = {"max_tokens": 100, "concurrency": 16}
        result = label(settings(tmp_path, server, 60, endpoint, budget={"tokens": 30_000}))
    # Prompts are estimated before the first answer comes; after that the mean decides.
    assert result.prompt_tokens + result.completion_tokens <= 30_000 + 16 * 1100
    assert 4 <= server.most_at_once <= 16


def test_requests_per_minute(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        label(settings(tmp_path, server, 12, {"requests_per_minute": 300, "concurrency": 12}))
    # 5 a second with a burst of two seconds' worth: the twelfth waits for its turn.
    assert len(server.times) == 12 and server.times[-1] - server.times[0] >= 0.15


def test_tokens_per_minute(tmp_path):
    with serve(lambda body, number: Reply(as_json(), usage=(1000, 0))) as server:
        start = time.monotonic()
        label(settings(tmp_path, server, 15, {"tokens_per_minute": 240_000, "concurrency": 15}))
    # 4,000 tokens a second; the last request waits for 14,000 (12,000 estimated) less two seconds' worth.
    assert time.monotonic() - start >= 0.8


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        config = settings(tmp_path, server)
        label(config)
        answers = tmp_path / "out" / "answers.jsonl"
        lines = answers.read_bytes().splitlines(keepends=True)
        answers.write_bytes(b"".join(lines[:7]) + lines[7][:40])
        before = len(server.requests)
        result = label(config)
        assert result.cached == 7 and result.labelled == 12 and len(server.requests) == before + 5
        assert len(Answers(answers).by_key) == 12
        again = label(config)
        assert again.cached == 12 and again.form is None


def test_another_model_rubric_or_length_is_another_question(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        config = settings(tmp_path, server)
        label(config)
        other = config.model_copy(update={"endpoint": config.endpoint.model_copy(update={"model": "other"})})
        assert label(other).cached == 0
        assert label(config.model_copy(update={"shown": 5})).cached == 0
        assert label(config).cached == 12
    assert "only its first 5 characters" in server.prompts()[-1]


def test_a_larger_sample_asks_only_about_the_new_files(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        small = settings(tmp_path, server, 30, sample={"per_language": 2})
        assert label(small).files == 6
        large = label(settings(tmp_path, server, 30, sample={"per_language": 4}))
    assert (large.files, large.cached) == (12, 6)


def test_answers_that_belong_to_something_else_are_one_line(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        config = settings(tmp_path, server)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "answers.jsonl").write_text('{"foo": 1}\n')
        with pytest.raises(InputError, match="expected an answer in line 1"):
            label(config)


def test_two_runs_at_once_are_refused(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        config = settings(tmp_path, server)
        with Answers(tmp_path / "out" / "answers.jsonl").writing(), pytest.raises(StoreError, match="only run there"):
            label(config)


def test_the_key_comes_from_the_environment(tmp_path, monkeypatch):
    with serve(lambda body, number: Reply(as_json())) as server:
        config = settings(tmp_path, server, endpoint={"api_key_env": "ORACLE_KEY"})
        monkeypatch.delenv("ORACLE_KEY", raising=False)
        with pytest.raises(InputError, match="ORACLE_KEY, got none"):
            label(config)
        monkeypatch.setenv("ORACLE_KEY", "secret-value")
        label(config)
    assert set(server.keys) == {"Bearer secret-value"}
    for file in (tmp_path / "out").iterdir():
        assert b"secret-value" not in file.read_bytes()


def test_progress_shows_cost_and_time_left(tmp_path):
    lines = []
    with serve(lambda body, number: Reply(as_json())) as server:
        endpoint = {"price_input": 1e4, "price_output": 1e4, "concurrency": 1}
        label(settings(tmp_path, server, endpoint=endpoint), on_progress=lambda state: lines.append(state.line()))
    assert len(lines) == 12
    assert lines[0].startswith("1/12 files") and "cost 1.20" in lines[0] and "min left" in lines[0]
    assert "cost 14.40" in lines[-1]


def test_the_report_beside_the_labels_adds_up(tmp_path):
    with serve(lambda body, number: Reply(as_json())) as server:
        label(settings(tmp_path, server, sample={"sizes": {"Rust": 3}}))
    report = json.loads((tmp_path / "out" / "label.json").read_text())
    assert report["files"] == report["labelled"] == 12 and report["short"]["Rust"] == 3
    assert report["sample"]["drawn"] == dict.fromkeys(LANGUAGES, 4)


def test_money_needs_prices(tmp_path):
    with (
        serve(lambda body, number: Reply(as_json())) as server,
        pytest.raises(ValueError, match=r"expected endpoint\.price_input"),
    ):
        settings(tmp_path, server, budget={"money": 1})


def test_an_unknown_rubric_is_one_line(tmp_path):
    with (
        serve(lambda body, number: Reply(as_json())) as server,
        pytest.raises(RecipeError, match="rubric: expected one of 1, 101, 201, 301, got 9"),
    ):
        label(settings(tmp_path, server, rubric=9))


def test_the_recipe_that_ships_is_sound_and_every_setting_is_documented():
    root = Path(__file__).parent.parent.parent
    load_label_settings(root / "recipes" / "label.toml")
    text = (root / "docs" / "quality.md").read_text()
    for table, model in {"": LabelSettings, "sample.": SampleSettings, "endpoint.": EndpointSettings,
                         "budget.": BudgetSettings}.items():  # fmt: skip
        for name in set(model.model_fields) - {"sample", "endpoint", "budget"}:
            assert f"`{table}{name}`" in text, f"docs/quality.md says nothing of {table}{name}"


def test_settings_are_read_and_overridden(tmp_path):
    path = tmp_path / "label.toml"
    path.write_text('output = "o"\n[sample]\nsource = "s"\n[endpoint]\nbase_url = "http://x/v1"\nmodel = "m"\n')
    changed = load_label_settings(path, {"endpoint": {"model": "n"}, "budget": {"tokens": 5}, "shown": 9})
    assert (changed.endpoint.model, changed.endpoint.base_url, changed.budget.tokens, changed.shown) == (
        "n", "http://x/v1", 5, 9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output = ", "expected a readable TOML file"),
        ('output = "o"\n[sample]\nsource = "s"\n[endpoint]\nbase_url = "ftp://x"\nmodel = "m"', "endpoint.base_url"),
        ('output = "o"\n[sample]\nsource = "s"\n[endpoint]\nbase_url = "http://x"\nmodel = "m"\nmodle = 1', "modle"),
        (
            'output = "o"\nshown = 0\n[sample]\nsource = "s"\n[endpoint]\nbase_url = "http://x"\nmodel = "m"',
            "shown.*got 0",
        ),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, text, message):
    path = tmp_path / "label.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_label_settings(path)
    assert "\n" not in str(caught.value)
