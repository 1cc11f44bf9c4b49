"""The parts of the test server, one by one: folder, wire, lines, frames, processes, what is learned."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inside import frames, learned, processes, under_command
from sandbox.inside.folder import Folder
from sandbox.inside.lines import Lines
from sandbox.inside.wire import LONGEST_LINE, Wire

# The repository's folder as it was, and whatever is done to it.


def picture(root: Path) -> dict[str, object]:
    """Everything in a folder: kinds, modes, contents, times of files."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", path.readlink())
        elif path.is_dir():
            found[name] = ("folder", state.st_mode)
        else:
            found[name] = (state.st_mode, state.st_mtime_ns, path.is_file() and path.read_bytes())
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "pkg" / "deep").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("x = 1\n")
    (root / "pkg" / "deep" / "b.txt").write_bytes(b"\xff\x00")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("pkg/a.py")
    (root / "empty").mkdir()
    return root


def test_a_folder_puts_back_what_was_changed_added_and_removed(root: Path) -> None:
    before = picture(root)
    folder = Folder(str(root))
    folder.write({"pkg/a.py": "x = 2\n", "new/file.py": "y\n", "run.sh": None})
    assert (root / "pkg/a.py").read_text() == "x = 2\n"
    assert (root / "new/file.py").read_text() == "y\n"
    assert not (root / "run.sh").exists()
    assert folder.restore() == []
    assert picture(root) == before
    assert folder.restore() == []


@pytest.mark.parametrize(
    "harm",
    [
        "rm -rf pkg empty",
        "rm link; mkdir link; touch link/x",
        "rm -r pkg/deep; echo 1 > pkg/deep",
        "rm run.sh; ln -s /etc/passwd run.sh",
        "chmod 000 pkg/a.py; chmod 700 empty",
        "chmod 444 pkg/a.py; chmod 555 pkg",
        "mkfifo pipe; ln -s nowhere dangling",
        "mkdir -p __pycache__ pkg/__pycache__; touch pkg/__pycache__/a.pyc",
        "ln -f pkg/a.py hard",
        "printf 'x = 3\\n' > pkg/a.py",
    ],
)
def test_whatever_is_done_to_the_folder_is_undone(root: Path, harm: str) -> None:
    before = picture(root)
    folder = Folder(str(root))
    subprocess.run(["sh", "-c", harm], cwd=root, check=True)
    assert picture(root) != before
    assert folder.restore() == []
    assert picture(root) == before


def test_nothing_outside_is_touched_when_a_folder_became_a_link(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "a.py").write_text("mine\n")
    before, kept = picture(root), picture(outside)
    folder = Folder(str(root))
    subprocess.run(["sh", "-c", f"rm -r pkg; ln -s {outside} pkg"], cwd=root, check=True)
    assert folder.restore() == []
    assert picture(root) == before
    assert picture(outside) == kept


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "pkg/../../x", "linked/x", "link"])
def test_paths_that_lead_out_are_refused(root: Path, tmp_path: Path, path: str) -> None:
    (root / "linked").symlink_to(tmp_path)
    folder = Folder(str(root))
    with pytest.raises(ValueError, match=r"outside|link"):
        folder.write({path: "x"})
    assert not (tmp_path / "x").exists()


def test_stale_bytecode_is_removed_at_the_start(root: Path) -> None:
    (root / "pkg" / "__pycache__").mkdir()
    (root / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"old")
    Folder(str(root))
    assert not (root / "pkg" / "__pycache__").exists()


def test_the_history_is_left_alone(root: Path) -> None:
    (root / ".git").mkdir()
    folder = Folder(str(root))
    (root / ".git" / "index").write_text("changed")
    assert folder.restore() == []
    assert (root / ".git" / "index").exists()


def test_what_was_too_big_to_remember_is_told_as_lost(root: Path) -> None:
    (root / "big").write_bytes(b"x" * 1000)
    folder = Folder(str(root), most_bytes=500)
    (root / "big").write_bytes(b"y" * 1001)
    assert folder.restore() == ["big"]


# Lines of JSON between processes.


@pytest.fixture
def wires() -> Iterator[tuple[Wire, Wire]]:
    reads, writes = os.pipe()
    pair = Wire(reads, -1), Wire(-1, writes)
    yield pair
    pair[0].close()


def test_messages_come_as_they_were_sent(wires: tuple[Wire, Wire]) -> None:
    there, here = wires
    for message in ({"a": 1}, {"text": "é\n\u2028"}, {}):
        here.send(message)
    assert [there.receive(1.0) for _ in range(3)] == [{"a": 1}, {"text": "é\n\u2028"}, {}]
    here.close()
    assert there.receive(1.0) is None


def test_what_is_no_object_is_an_empty_message(wires: tuple[Wire, Wire]) -> None:
    there, here = wires
    os.write(here.writes, b'garbage\n[1]\n"x"\n\xff\n{"a": 2}\n')
    assert [there.receive(1.0) for _ in range(5)] == [{}, {}, {}, {}, {"a": 2}]
    here.close()


def test_a_message_that_never_ends_is_given_up(wires: tuple[Wire, Wire]) -> None:
    there, here = wires

    def flood() -> None:
        left = LONGEST_LINE + (1 << 20)
        while left > 0:
            left -= os.write(here.writes, b"x" * (1 << 16))

    writer = threading.Thread(target=flood, daemon=True)
    writer.start()
    assert there.receive(60.0) is None
    while writer.is_alive():  # let it end
        os.read(there.reads, 1 << 20)
        writer.join(0.01)
    here.close()


def test_waiting_ends_in_time_with_half_a_line_kept(wires: tuple[Wire, Wire]) -> None:
    there, here = wires
    os.write(here.writes, b'{"a":')
    with pytest.raises(TimeoutError):
        there.receive(0.05)
    os.write(here.writes, b" 1}\n")
    assert there.receive(1.0) == {"a": 1}
    here.close()


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20)), max_size=5)
)
def test_any_messages_in_any_pieces_arrive_whole(messages: list[dict]) -> None:
    reads, writes = os.pipe()
    there = Wire(reads, -1)
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    for at in range(0, len(data), 7):
        os.write(writes, data[at : at + 7])
    os.close(writes)
    assert [there.receive(1.0) for _ in messages] == messages
    assert there.receive(1.0) is None
    there.close()


# Which lines run.

PROGRAM = """\
def loop(n):
    total = 0
    for i in range(n):
        if i == 99:
            total = -1
        total += i
    return total


def pieces(n):
    for i in range(n):
        yield i


class Thing:
    def __repr__(self):
        raise ValueError("no repr")


def thing():
    return Thing()
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "program_under_trace.py").write_text(PROGRAM)
    sys.path.insert(0, str(tmp_path))
    import program_under_trace  # type: ignore[import-not-found]

    yield program_under_trace
    sys.path.remove(str(tmp_path))
    del sys.modules["program_under_trace"]


def test_lines_of_the_repository_that_ran_are_told(tmp_path: Path, program: ModuleType) -> None:
    lines = Lines(str(tmp_path), values=False)
    lines.start(__file__)
    program.loop(3)
    assert lines.stop() == {"program_under_trace.py": [1, 2, 3, 4, 6, 7]}
    lines.start(__file__)
    list(program.pieces(2))
    assert lines.stop() == {"program_under_trace.py": [10, 11, 12]}


def test_lines_that_ran_in_a_thread_count(tmp_path: Path, program: ModuleType) -> None:
    lines = Lines(str(tmp_path), values=False)
    lines.start(__file__)
    worker = threading.Thread(target=program.loop, args=(1,))
    worker.start()
    worker.join()
    assert 6 in lines.stop()["program_under_trace.py"]


def test_what_the_caller_got_last_is_kept_with_its_line(
    tmp_path: Path, program: ModuleType
) -> None:
    lines = Lines(str(tmp_path), values=True)
    lines.start(__file__)
    for n in range(10):
        program.loop(n)
    lines.stop()
    assert [told["values"]["return"] for told in lines.returned] == ["21", "28", "36"]
    assert {(told["line"], told["function"]) for told in lines.returned} == {(7, "loop")}
    assert lines.returned[-1]["values"]["n"] == "9"


def test_a_value_whose_repr_fails_is_told_so(tmp_path: Path, program: ModuleType) -> None:
    lines = Lines(str(tmp_path), values=True)
    lines.start(__file__)
    program.thing()
    lines.stop()
    assert "Thing" in lines.returned[-1]["values"]["return"]


# Frames of failures.


def test_long_values_and_messages_are_cut() -> None:
    assert len(frames.text_of("x" * 10_000)) <= frames.LONGEST_VALUE
    assert len(frames.text_of(list(range(10_000)))) <= frames.LONGEST_VALUE
    assert len(frames.message_of(ValueError("y" * 10_000))) <= frames.LONGEST_MESSAGE
    cycle: list = []
    cycle.append(cycle)
    assert frames.text_of(cycle)


def test_an_exception_without_a_text_is_named() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert frames.message_of(Odd()) == "Odd"


def deep(n: int) -> int:
    return other(n - 1) if n else 1 // 0


def other(n: int) -> int:
    return deep(n)


def test_many_frames_are_cut_in_the_middle() -> None:
    here = str(Path(__file__).parent)
    with pytest.raises(ZeroDivisionError) as caught:
        deep(100)
    told = frames.of_error(caught.value, here)
    assert len(told) == frames.MOST_FRAMES
    assert told[-1]["function"] == "deep"
    assert told[-1]["values"]["n"] == "0"
    assert told[0]["function"] == "test_many_frames_are_cut_in_the_middle"
    assert frames.of_error(caught.value, "/elsewhere") == []


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert frames.of_error(first, "/") == []


def test_a_stack_runs_from_the_outside_in() -> None:
    told = frames.of_stack(sys._getframe(), str(Path(__file__).parent))
    assert told[-1]["function"] == "test_a_stack_runs_from_the_outside_in"


# Tracebacks in a command's output.


def test_the_last_traceback_of_an_output_gives_frames() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/r/old.py", line 1, in f\nKeyError\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "/r/a.py", line 3, in <module>\n    f()\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 9, in g\n'
        '  File "pkg/b.py", line 7, in h\nValueError: x\n'
    )
    told = [(f["path"], f["line"], f["function"]) for f in under_command.stack(text, "/r")]
    assert told == [("a.py", 3, "<module>"), ("pkg/b.py", 7, "h")]
    assert under_command.stack("all is well", "/r") == []


# Processes.


def in_a_child(body: str) -> str:
    code = f"import os, sys, time, signal\nfrom sandbox.inside import processes\n{body}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_all_descendants_end_detached_and_stubborn_ones_too() -> None:
    said = in_a_child(
        "processes.adopt_orphans()\n"
        "reads, writes = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    for _ in range(3):\n"
        "        if os.fork() == 0:\n"
        "            os.setsid(); os.write(writes, b'x'); time.sleep(600)\n"
        "    os._exit(0)\n"
        "while len(os.read(reads, 1)) and not len(processes.children()) >= 3: time.sleep(0.01)\n"
        "processes.end_all(set(), 60.0)\n"
        "print(processes.children())\n"
    )
    assert said == "set()\n"


def test_a_child_that_is_to_stay_stays() -> None:
    said = in_a_child(
        "keep = os.fork()\n"
        "if keep == 0: time.sleep(600)\n"
        "if os.fork() == 0: time.sleep(600)\n"
        "processes.end_all({keep}, 60.0)\n"
        "print(processes.children() == {keep})\n"
        "os.kill(keep, signal.SIGKILL)\n"
    )
    assert said == "True\n"


def test_children_are_found_where_the_kernel_does_not_list_them() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert processes._parent(str(child.pid))
        assert not processes._parent("1")
        assert not processes._parent("999999999")
        assert child.pid in processes.children()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


# What is loaded once.


def test_a_module_that_needs_what_is_kept_out_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "needs_it.py").write_text(
        "try:\n    import kept_out\nexcept Exception:\n    pass\n"
    )
    (tmp_path / "plain_one.py").write_text("x = 1\n")
    (tmp_path / "kept_out.py").write_text("")
    code = (
        "import sys\nfrom sandbox.inside import learned\n"
        "learned.load(['needs_it', 'plain_one', 'kept_out', 'no_such'], {'kept_out'})\n"
        "print([n for n in ('needs_it', 'plain_one', 'kept_out') if n in sys.modules])\n"
        "import needs_it, kept_out\n"  # and afterwards nothing is in the way
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"},
    )
    assert done.stdout == "['plain_one']\n"


def test_compiled_files_are_used_only_for_the_very_same_source(tmp_path: Path) -> None:
    file = tmp_path / "compiled_once.py"
    file.write_text("x = 1\n")
    code = (
        "import importlib, pathlib, sys\nsys.dont_write_bytecode = True\n"
        "from sandbox.inside import learned\n"
        f"file = pathlib.Path({str(file)!r})\n"
        "learned.compiled([str(file), str(file) + '.gone'], [])\n"
        "import compiled_once\n"
        "assert compiled_once.x == 1\n"
        "assert compiled_once.__loader__.get_code('compiled_once') is learned._code[str(file)][1]\n"
        "file.write_text('x = 2\\n')\n"  # of the same length, in the same second
        "del sys.modules['compiled_once']\n"
        "import compiled_once\n"
        "print(compiled_once.x)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"},
    )
    assert done.stdout == "2\n"


def test_packages_of_pytests_plugins_are_left_to_pytest() -> None:
    assert {"pytest_asyncio", "hypothesis", "pytest_timeout"} <= learned.plugin_packages()
    assert "pytest" not in learned.plugin_packages()


def test_threads_beside_ours_are_counted() -> None:
    before = learned.threads()
    stop = threading.Event()
    worker = threading.Thread(target=stop.wait)
    worker.start()
    assert learned.threads() == before + 1
    stop.set()
    worker.join()
    while learned.threads() > before:  # the kernel forgets it a moment later
        time.sleep(0.01)
