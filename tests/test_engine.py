"""The engine gives every task to some worker, brings back our errors as they were, and joins without losing rows."""

import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.engine import INLINE_WEIGHT, Engine, Join
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


@pytest.fixture
def tables(tmp_path):
    pq.write_table(pa.table({"id": ["a", "b", "c"], "kind": ["x", "y", "x"]}), tmp_path / "left.parquet")
    pq.write_table(pa.table({"id": ["c", "a"], "n": [3, 1]}), tmp_path / "n.parquet")
    pq.write_table(pa.table({"k": ["x", "y", "x"], "key": ["a", "b", "z"], "m": [7, 8, 9]}), tmp_path / "m.parquet")
    return tmp_path


def joined(engine, folder):
    joins = [
        Join([str(folder / "n.parquet")], {"id": "id"}, {"n": "n__value"}),
        Join([str(folder / "m.parquet")], {"id": "key", "kind": "k"}, {"m": "m__value"}),
    ]
    table = engine.join([str(folder / "left.parquet")], ["id", "kind"], joins)
    return table.sort_by("id").to_pydict()


EXPECTED = {
    "id": ["a", "b", "c"],
    "kind": ["x", "y", "x"],
    "n__value": [1, None, 3],
    "m__value": [7, 8, None],
}


def test_join_keeps_every_left_row(tables):
    assert joined(Engine(), tables) == EXPECTED


def test_joins_here_and_on_a_cluster_are_the_same(tables):
    class There(Engine):
        def join(self, urls, columns, joins):
            return self._join_there(urls, columns, joins)

    assert joined(There(), tables) == EXPECTED


def test_tables_that_were_written_together_need_no_lookup(tables, monkeypatch):
    pq.write_table(pa.table({"id": ["a", "b", "c"], "n": [4, 5, 6]}), tables / "n.parquet")
    pq.write_table(pa.table({"id": ["a", "b", "c"], "more": [7, 8, 9]}), tables / "more.parquet")
    monkeypatch.setattr("codemill.engine.pc.index_in", None)
    joins = [Join([str(tables / f"{name}.parquet")], {"id": "id"}, {name: f"{name}__value"}) for name in ("n", "more")]
    table = Engine().join([str(tables / "left.parquet")], ["id"], joins)
    assert table.to_pydict() == {"id": ["a", "b", "c"], "n__value": [4, 5, 6], "more__value": [7, 8, 9]}


def test_a_key_twice_and_a_missing_file_are_one_line(tables):
    pq.write_table(pa.table({"id": ["a", "a"], "n": [3, 1]}), tables / "n.parquet")
    with pytest.raises(EngineError, match="expected each key once, got one twice"):
        joined(Engine(), tables)
    (tables / "n.parquet").unlink()
    with pytest.raises(EngineError, match=r"join failed: .*n\.parquet"):
        joined(Engine(), tables)


def test_rows_without_a_key_join_nothing(tables):
    pq.write_table(pa.table({"id": ["a", None]}), tables / "left.parquet")
    pq.write_table(pa.table({"id": [None, "a"], "n": [3, 1]}), tables / "n.parquet")
    join = Join([str(tables / "n.parquet")], {"id": "id"}, {"n": "n__value"})
    assert Engine().join([str(tables / "left.parquet")], ["id"], [join])["n__value"].to_pylist() == [1, None]
