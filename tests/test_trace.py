"""The trace: whole lines whatever happens, secrets out, bounded on disk."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem import paths, trace
from tandem.trace import Event

SECRET = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7aB3dE6gH9"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trace.jsonl"


def write_many(file: Path, source: str, count: int) -> None:
    for number in range(count):
        trace.write(Event("complete", source=source, line=number, shown="x" * 2000), file)


def test_what_is_written_is_read_back_in_order(file: Path) -> None:
    for number in range(5):
        trace.write(Event("complete", line=number, stages_ms={"total": 1.2345}), file)
    assert [event["line"] for event in trace.read(file=file)] == [0, 1, 2, 3, 4]
    assert [event["line"] for event in trace.read(2, file)] == [3, 4]
    assert trace.read(1, file)[0]["stages_ms"] == {"total": 1.23}
    assert trace.read(1, file)[0]["v"] == trace.FORMAT


def test_it_goes_to_the_users_state_folder_which_only_the_user_may_read(empty_home: Path) -> None:
    trace.write(Event("complete"))
    assert len(trace.read()) == 1
    assert oct(paths.trace_file().stat().st_mode)[-3:] == "600"
    assert oct(paths.state_dir().stat().st_mode)[-3:] == "700"


def test_nothing_was_traced_yet(file: Path) -> None:
    assert trace.read(file=file) == []


def test_secrets_are_taken_out_at_any_depth_of_values_and_keys(file: Path) -> None:
    details = {"a": [{"b": SECRET, SECRET: 1}, (SECRET,)], "n": 3, "none": None}
    trace.write(Event("complete", shown=f"x = '{SECRET}'", details=details), file)
    assert SECRET not in file.read_text()
    [event] = trace.read(file=file)
    assert event["shown"] == "x = 'REDACTED'"
    assert event["details"]["n"] == 3


@pytest.mark.parametrize("details", [{"p": Path("/x")}, {"s": {1}}, {"f": object()}, {1: 2}])
def test_details_that_json_does_not_know_do_not_stop_the_request(file: Path, details: dict) -> None:
    trace.write(Event("complete", details=details), file)
    assert len(trace.read(file=file)) == 1


def test_text_that_is_no_utf8_does_not_stop_the_request(file: Path) -> None:
    trace.write(Event("complete", shown="\ud800"), file)
    assert len(trace.read(file=file)) == 1


def test_a_folder_that_cannot_be_written_is_counted_and_never_raises(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file")
    before = trace.lost()
    trace.write(Event("complete"), tmp_path / "blocked" / "trace.jsonl")
    assert trace.lost() == before + 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_damaged_lines_are_passed_over(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "trace.jsonl"
    file.unlink(missing_ok=True)
    trace.write(Event("complete", line=1), file)
    with file.open("ab") as stream:
        stream.write(damage + b"\n")
    trace.write(Event("complete", line=2), file)
    assert [event["line"] for event in trace.read(file=file)] == [1, 2]


@pytest.mark.parametrize("text", ["3", "null", "[]", '{"v": 99}', "[" * 5000, '{"v": 1}'])
def test_lines_of_another_shape_are_passed_over(file: Path, text: str) -> None:
    trace.write(Event("complete"), file)
    with file.open("a") as stream:
        stream.write(text + "\n")
    assert len(trace.read(file=file)) == 1


def test_processes_that_write_at_once_do_not_mix_their_lines(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(file, name, 100)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    events = trace.read(file=file)
    assert len(events) == 300
    for name in "abc":
        assert [e["line"] for e in events if e["source"] == name] == list(range(100))


def test_files_rotate_by_size_and_reading_joins_them(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "MAX_BYTES", 10_000)
    write_many(file, "a", 40)
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["trace.jsonl", "trace.jsonl.1", "trace.jsonl.2", "trace.jsonl.3"]
    assert all(path.stat().st_size < 13_000 for path in file.parent.iterdir())
    lines = [event["line"] for event in trace.read(file=file)]
    assert lines == list(range(lines[0], 40))
    assert lines[0] > 0


def test_old_rotations_are_removed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_BYTES", 10_000)
    write_many(file, "a", 20)
    old = time.time() - (trace.MAX_AGE_DAYS + 1) * 86_400
    for path in file.parent.glob("trace.jsonl.*"):
        os.utime(path, (old, old))
    kept = {path.name: json.loads(path.read_text().splitlines()[0])["line"] for path in [file]}
    write_many(file, "b", 6)
    assert kept["trace.jsonl"] > 0
    sources = {event["source"] for event in trace.read(file=file)}
    assert sources <= {"a", "b"}
    assert len(list(file.parent.glob("trace.jsonl.*"))) <= 2
