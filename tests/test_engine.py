"""The engine gives every task to some worker and brings back our errors as they were."""

import os
import signal
import subprocess
import sys
import time

import pytest

from codemill.engine import INLINE_WEIGHT, Engine
from codemill.errors import EngineError, StoreError

HEAVY = 10 * INLINE_WEIGHT


def double(task):
    return {"value": 2 * task["value"], "pid": os.getpid()}


def rest(task):
    time.sleep(0.4)
    return {"pid": os.getpid()}


def fail(task):
    if task["value"] == 3:
        raise StoreError("store x: expected room, got none")
    return task


def crash(task):
    if task["value"] == 3:
        os._exit(9)
    return task


def stumble(task):
    raise KeyError(task["value"])


def tasks(count):
    return [{"value": number} for number in range(count)]


def test_light_work_stays_in_this_process():
    replies = list(Engine(workers=2).map("tests.test_engine:double", tasks(3), weight=10))
    assert [reply["value"] for reply in replies] == [0, 2, 4]
    assert {reply["pid"] for reply in replies} == {os.getpid()}


def test_heavy_work_goes_to_several_processes():
    replies = list(Engine(workers=2).map("tests.test_engine:rest", tasks(4), weight=HEAVY))
    assert len({reply["pid"] for reply in replies}) == 2
    assert os.getpid() not in {reply["pid"] for reply in replies}


def test_every_task_is_answered_and_told():
    told = []
    engine = Engine(workers=2, listener=lambda done, total: told.append((done, total)))
    replies = list(engine.map("tests.test_engine:double", tasks(7), weight=HEAVY))
    assert sorted(reply["value"] for reply in replies) == [0, 2, 4, 6, 8, 10, 12]
    assert told == [(number, 7) for number in range(1, 8)]


def test_no_tasks_no_work():
    assert list(Engine().map("nowhere:nothing", [], weight=HEAVY)) == []


def test_our_errors_come_back_with_kind_and_message():
    with pytest.raises(StoreError, match=r"^store x: expected room, got none$"):
        list(Engine(workers=2).map("tests.test_engine:fail", tasks(5), weight=HEAVY))


def test_other_errors_are_one_line_with_their_place():
    with pytest.raises(EngineError, match=r"KeyError: 0 \(test_engine\.py:\d+\)") as caught:
        list(Engine(workers=2).map("tests.test_engine:stumble", tasks(2), weight=HEAVY))
    assert "\n" not in str(caught.value)


def test_a_worker_that_dies_is_an_error_not_a_hang():
    with pytest.raises(EngineError, match="worker") as caught:
        list(Engine(workers=2).map("tests.test_engine:crash", tasks(5), weight=HEAVY))
    assert "\n" not in str(caught.value)


def interrupt(task):
    os.kill(task["pid"], signal.SIGINT)
    time.sleep(0.2)
    return task


@pytest.mark.parametrize("handler", ["default_int_handler", "SIG_IGN"])
def test_an_interrupted_map_never_looks_finished(handler):
    code = (
        "import os, signal; from codemill.engine import Engine, EngineError\n"
        f"signal.signal(signal.SIGINT, signal.{handler})\n"
        "tasks = [{'pid': os.getpid()} for _ in range(20)]\n"
        f"try: list(Engine(workers=2).map('tests.test_engine:interrupt', tasks, weight={HEAVY}))\n"
        "except (EngineError, KeyboardInterrupt) as error: print(type(error).__name__, error, flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    name = "KeyboardInterrupt" if handler == "default_int_handler" else "EngineError"
    assert done.stdout.splitlines()[-1].startswith(name), (done.stdout, done.stderr)
