"""The log of a fix run: whole runs are intact, and whatever is done to the file shows."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import audit
from tandem import cli, paths, trace
from tandem.errors import TandemError, UsageError

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def logged(id: str = "run-1", events: int = 4, sealed: bool = True) -> Path:
    with audit.start(id) as log:
        for number in range(events):
            log.append("candidate", number=number, path=f"src/é{number}.py", ok=number % 2 == 0)
        if sealed:
            log.seal()
    return audit.file_of(id)


def test_a_sealed_log_is_intact(home: Path) -> None:
    file = logged()
    found = audit.verify(file)
    assert (found.intact, found.lines, found.line, found.why) == (True, 5, 0, "")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [row["n"] for row in rows] == [1, 2, 3, 4, 5]
    assert {row["v"] for row in rows} == {audit.FORMAT}
    assert rows[1]["data"] == {"number": 1, "path": "src/é1.py", "ok": False}
    assert rows[-1]["event"] == audit.SEALED


def test_each_line_has_the_hash_of_the_line_before(home: Path) -> None:
    lines = logged().read_bytes().splitlines()
    before = hashlib.sha256(b"run-1").hexdigest()
    for line in lines:
        assert json.loads(line)["before"] == before
        before = hashlib.sha256(line).hexdigest()
    assert json.loads((audit.folder() / "run-1.head").read_text()) == {
        **{"v": 1, "id": "run-1", "lines": 5},
        "hash": before,
    }


def test_only_the_user_may_read_it(home: Path) -> None:
    file = logged()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_a_changed_line_is_named(home: Path, at: int) -> None:
    file = logged()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[at] = lines[at].replace(b'"event": "', b'"event": "x')
    file.write_bytes(b"".join(lines))
    found = audit.verify(file)
    assert not found.intact
    if at < 4:  # the next line shows it, as it does not follow
        assert (found.line, found.lines) == (at + 2, at + 1)
    else:
        assert "line 5 is not the one that it was sealed with" in found.why


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_line_taken_out_or_added_or_moved_is_named(home: Path, at: int) -> None:
    file = logged()
    lines = file.read_bytes().splitlines(keepends=True)
    without = lines[:at] + lines[at + 1 :]
    twice = [*lines[: at + 1], *lines[at:]]
    swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    for changed, line in ((without, at + 1), (twice, at + 2), (swapped, at + 1)):
        file.write_bytes(b"".join(changed))
        found = audit.verify(file)
        assert (found.intact, found.line) == (False, line)
        assert "does not follow" in found.why


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_lines_missing_at_the_end_show(home: Path, kept: int) -> None:
    file = logged()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:kept]))
    found = audit.verify(file)
    assert not found.intact
    assert found.why == f"it was sealed with 5 lines and has {kept}"


def test_lines_missing_at_the_end_show_without_the_head_file_too(home: Path) -> None:
    file = logged()
    lines = file.read_bytes().splitlines(keepends=True)
    (audit.folder() / "run-1.head").unlink()
    found = audit.verify(file)
    assert not found.intact
    assert "run-1.head is missing" in found.why
    file.write_bytes(b"".join(lines[:4]))
    assert "not sealed" in audit.verify(file).why


def test_a_log_cut_back_to_an_earlier_seal_shows(home: Path) -> None:
    file = logged()
    once = file.read_bytes()
    with audit.go_on("run-1") as log:
        log.append("more")
        log.seal()
    assert audit.verify(file).intact
    file.write_bytes(once)
    assert audit.verify(file).why == "it was sealed with 8 lines and has 5"


def test_another_runs_log_under_this_name_shows(home: Path) -> None:
    logged("run-1")
    other = logged("run-2")
    other.replace(audit.file_of("run-1"))
    found = audit.verify(audit.file_of("run-1"))
    assert (found.intact, found.line) == (False, 1)
    assert "does not follow from the run's id" in found.why


@pytest.mark.parametrize(
    "head", ["{", "[]", '{"lines": "x", "hash": 3}', '{"lines": 0, "hash": ""}', ""]
)
def test_a_damaged_head_file_shows(home: Path, head: str) -> None:
    file = logged()
    (audit.folder() / "run-1.head").write_text(head)
    found = audit.verify(file)
    assert not found.intact
    assert "run-1.head" in found.why


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_changed_byte_shows(home: Path, data: st.DataObject) -> None:
    file = audit.file_of("run-1")
    if not (audit.folder() / "kept").exists():
        (audit.folder().parent / "audit").mkdir(parents=True, exist_ok=True)
        (audit.folder() / "kept").write_bytes(logged().read_bytes())
    whole = (audit.folder() / "kept").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    file.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    assert not audit.verify(file).intact
    cut = data.draw(st.integers(0, len(whole) - 1))
    file.write_bytes(whole[:cut])
    assert not audit.verify(file).intact
    file.write_bytes(whole)
    assert audit.verify(file).intact


@pytest.mark.parametrize(
    "line", [b"\n", b"null\n", b"[" * 100_000 + b"\n", b'{"v": 2}\n', b"\xff\xfe\n", b"no end"]
)
def test_what_is_no_line_of_a_log_is_named(home: Path, line: bytes) -> None:
    file = logged()
    with file.open("ab") as stream:
        stream.write(line)
    found = audit.verify(file)
    assert (found.intact, found.line, found.lines) == (False, 6, 5)


def test_a_line_of_another_format_is_named(home: Path) -> None:
    with audit.start("run-1") as log:
        head = log.head
    row = {"v": 9, "n": 1, "before": head, "time": 0, "event": "x", "data": {}}
    audit.file_of("run-1").write_text(json.dumps(row) + "\n")
    assert audit.verify(audit.file_of("run-1")).why == "its format is 9, not 1"


def test_a_run_that_was_stopped_is_not_called_intact(home: Path) -> None:
    file = logged(sealed=False)
    found = audit.verify(file)
    assert (found.intact, found.lines, found.line) == (False, 4, 0)
    assert "not sealed" in found.why


def test_a_run_goes_on_and_says_so(home: Path) -> None:
    file = logged(sealed=False)
    with audit.go_on("run-1") as log:
        log.append("candidate", number=4)
        log.seal()
    assert audit.verify(file).intact
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [row["event"] for row in rows[4:]] == ["resumed", "candidate", "sealed"]
    assert rows[4]["data"] == {"cut_off": 0}


def test_a_cut_off_line_is_taken_away_when_the_run_goes_on(home: Path) -> None:
    file = logged(sealed=False)
    with file.open("ab") as stream:
        stream.write(b'{"v": 1, "n": 5, "bef')
    assert audit.verify(file).why == "it is cut off"
    with audit.go_on("run-1") as log:
        log.seal()
    assert audit.verify(file).intact
    assert json.loads(file.read_text("utf-8").splitlines()[4])["data"] == {"cut_off": 21}


def test_a_changed_log_does_not_go_on(home: Path) -> None:
    file = logged()
    whole = file.read_bytes()
    for changed in (whole.replace(b"src", b"lib", 1), whole[: whole.index(b"\n") + 1]):
        file.write_bytes(changed)
        with pytest.raises(TandemError, match="was changed"):
            audit.go_on("run-1")
        assert file.read_bytes() == changed


def test_one_process_at_a_time_writes_a_log(home: Path) -> None:
    with audit.start("run-1"):
        with pytest.raises(TandemError, match="Another process runs"):
            audit.go_on("run-1")
        with pytest.raises(TandemError, match="exists already"):
            audit.start("run-1")


@pytest.mark.parametrize("id", ["", "../x", "a/b", ".hidden", "x" * 65, "a\nb"])
def test_an_id_that_is_no_name_is_refused(home: Path, id: str) -> None:
    with pytest.raises(UsageError, match="no run's id"):
        audit.start(id)


def test_a_killed_run_leaves_whole_lines(home: Path) -> None:
    script = (
        "from sandbox import audit\n"
        "with audit.start('killed') as log:\n"
        "    print('begun', flush=True)\n"
        "    while True: log.append('candidate', text='x' * 5000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"begun\n"
        file = audit.file_of("killed")
        while file.stat().st_size < 20_000:
            pass
        run.send_signal(signal.SIGKILL)
    known = audit.verify(file)
    assert known.line == 0 or known.why == "it is cut off"
    with audit.go_on("killed") as log:
        log.seal()
    found = audit.verify(file)
    assert found.intact
    assert found.lines == known.lines + 2


def test_a_full_disk_is_told_and_leaves_no_half_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with audit.start("run-1") as log:
        log.append("first")
        real = os.write

        def full(descriptor: int, data: bytes) -> int:
            if len(data) > 100:
                return real(descriptor, data[:100])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(TandemError, match="No space left"):
            log.append("second", text="x" * 90)
        monkeypatch.undo()
        monkeypatch.setenv("TANDEM_HOME", str(home))
        log.append("third")
        log.seal()
    assert audit.verify(audit.file_of("run-1")).intact
    assert audit.verify(audit.file_of("run-1")).lines == 3


class Tells:
    def __str__(self) -> str:
        return "https://user:hunter2hunter2@example.org"


def test_secrets_are_taken_out_before_they_are_written(home: Path) -> None:
    token = "ghp_" + "a1B2" * 10
    with audit.start("run-1") as log:
        log.append(
            "ran",
            output=f"token {token}",
            environment={"API_KEY": "Zx81kQp94hTr", "PATH": "/usr/bin"},
            nested=[{"deep": (f"{token}!",)}],
            other=Tells(),
        )
        log.seal()
    text = audit.file_of("run-1").read_text("utf-8")
    for secret in (token, "Zx81kQp94hTr", "hunter2hunter2"):
        assert secret not in text
    assert "/usr/bin" in text
    assert text.count("REDACTED") == 4
    assert audit.verify(audit.file_of("run-1")).intact


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(json_like, max_size=4))
def test_whatever_is_logged_is_intact(home: Path, values: list[object]) -> None:
    for file in (audit.file_of("any"), audit.folder() / "any.head"):
        file.unlink(missing_ok=True)
    with audit.start("any") as log:
        for value in [*values, "half a character: \ud800", "line\u2028ends\r\n"]:
            log.append("event", value=value)
        log.seal()
    assert audit.verify(audit.file_of("any")).intact


def test_a_telling_name_is_enough_only_for_what_looks_like_a_secret() -> None:
    assert trace.scrub({"token": "Zx81kQp94hTr"}) == {"token": "REDACTED"}
    assert trace.scrub({"token": "identifier", "tokens": 12}) == {
        "token": "identifier",
        "tokens": 12,
    }


def test_the_command_tells_intact_or_the_first_bad_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["audit", "verify"]) == 2
    assert "no logs yet" in capsys.readouterr().err
    file = logged()
    head = audit.verify(file).head
    for named in ([], ["run-1"], [str(file)], ["--head", head]):
        assert cli.run(["audit", "verify", *named]) == 0
        assert capsys.readouterr().out == f"run-1 is intact: 5 lines, sealed. Head: {head}\n"
    assert cli.run(["audit", "verify", "--head", "0" * 64]) == 1
    assert "not the one given" in capsys.readouterr().out
    file.write_bytes(file.read_bytes().replace(b'"number": 1', b'"number": 7'))
    assert cli.run(["audit", "verify", "run-1"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("run-1 is NOT intact: line 3: it does not follow from the line before")
    assert cli.run(["audit", "verify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["v"], found["intact"], found["line"], found["lines"]) == (1, False, 3, 2)


@pytest.mark.parametrize("named", ["nowhere", "../nowhere/passwd", ""])
def test_a_log_that_is_not_there_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    assert cli.run(["audit", "verify", named]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1


def test_the_logs_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["audit", "list"]) == 0
    assert "No logs yet" in capsys.readouterr().out
    logged("run-1")
    logged("run-2", sealed=False)
    assert cli.run(["audit", "list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("run-1  5 lines  intact")
    assert "run-2  4 lines  it is not sealed" in second
    assert cli.run(["audit", "list", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["logs"]] == ["run-1", "run-2"]


def test_a_folder_that_cannot_be_written_is_told(home: Path) -> None:
    paths.state_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.state_dir().write_text("a file stands in the way")
    with pytest.raises(TandemError, match="cannot be written"):
        audit.start("run-1")
