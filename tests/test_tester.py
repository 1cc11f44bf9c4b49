"""The test server: forks for each candidate, tells each test's end, leaves nothing behind."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import tester
from sandbox.messages import Run
from sandbox.suite import Suite, parse
from sandbox.tester import TestServer
from tests.local_tests import serve, write

CODE = "shop/price.py"
GOOD = """\
TAX = 2


def total(prices):
    found = 0
    for price in prices:
        found += price
    return found + TAX


def first(prices):
    return prices[0]
"""
FILES = {
    "shop/__init__.py": "",
    CODE: GOOD,
    "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef three():\n    return [1, 2, 3]\n",
    "tests/test_price.py": """\
import pytest
from shop.price import first, total


def test_total(three):
    assert total(three) == 8


def test_first(three):
    assert first(three) == 1


@pytest.mark.parametrize("text", ["a::b", "x[1]", "é"])
def test_odd_names(text):
    assert text


@pytest.mark.skip(reason="not now")
def test_skipped():
    raise AssertionError


@pytest.mark.xfail
def test_expected():
    raise AssertionError


@pytest.fixture
def broken():
    raise OSError("no such thing")


def test_fixture(broken):
    pass
""",
}
TOTAL = "tests/test_price.py::test_total"
FIRST = "tests/test_price.py::test_first"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), FILES)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TestServer]:
    server = serve(folder, parse("pytest"))
    yield server
    server.close()


def outcomes(run: Run) -> dict[str, str]:
    return {result.id.split("::", 1)[1]: result.outcome for result in run.results}


def test_each_test_is_told_with_its_outcome(server: TestServer) -> None:
    run = server.run()
    assert outcomes(run) == {
        "test_total": "passed",
        "test_first": "passed",
        "test_odd_names[a::b]": "passed",
        "test_odd_names[x[1]]": "passed",
        "test_odd_names[\\xe9]": "passed",
        "test_skipped": "skipped",
        "test_expected": "skipped",
        "test_fixture": "error",
    }
    assert run.why == "done"
    assert not run.passed
    assert len(run.collected) == 8


def test_chosen_tests_only_even_with_odd_names(server: TestServer) -> None:
    wanted = ["tests/test_price.py::test_odd_names[a::b]", FIRST]
    run = server.run(wanted)
    assert {result.id for result in run.results} == set(wanted)
    assert run.passed


def test_a_changed_file_is_seen_and_gone_afterwards(server: TestServer, folder: Path) -> None:
    bad = GOOD.replace("+ TAX", "- TAX")
    assert outcomes(server.run([TOTAL], {CODE: bad})) == {"test_total": "failed"}
    assert (folder / CODE).read_text() == GOOD
    assert server.run([TOTAL]).passed


def test_texts_of_one_length_in_one_second_are_told_apart(server: TestServer) -> None:
    # What .pyc files would get wrong: size and second are the same.
    for n in range(5):
        run = server.run([TOTAL], {CODE: GOOD.replace("TAX = 2", f"TAX = {n}")})
        assert run.passed == (n == 2)


def test_new_and_removed_files_last_for_one_run(server: TestServer, folder: Path) -> None:
    run = server.run(
        [FIRST], {"shop/extra/new.py": "x = 1\n", CODE: "from shop.extra.new import x\n"}
    )
    assert "first" in run.broken[0].message
    assert not (folder / "shop/extra").exists()
    run = server.run([FIRST], {CODE: None})
    assert run.broken[0].kind == "ModuleNotFoundError"
    assert (folder / CODE).read_text() == GOOD


@pytest.mark.parametrize("path", ["../out.py", "/tmp/out.py", "shop/../../out.py"])
def test_a_path_that_leaves_the_repository_is_refused(server: TestServer, path: str) -> None:
    run = server.run([FIRST], {path: "x = 1\n"})
    assert (run.why, run.results) == ("refused", ())
    assert server.run([FIRST]).passed


def test_a_syntax_error_breaks_the_file_and_is_no_pass(server: TestServer) -> None:
    for fail_fast in (False, True):
        run = server.run([FIRST], {CODE: "def first(:\n"}, fail_fast=fail_fast)
        assert run.broken[0].kind == "SyntaxError"
        assert not run.passed


def test_fail_fast_ends_at_the_first_failure(server: TestServer) -> None:
    bad = GOOD.replace("found = 0", "found = 1").replace("[0]", "[1]")
    run = server.run(files={CODE: bad}, fail_fast=True)
    assert outcomes(run) == {"test_total": "failed"}
    assert run.why == "done"


def test_frames_run_from_the_test_inwards_with_values(server: TestServer) -> None:
    run = server.run([FIRST], {CODE: GOOD.replace("[0]", "[7]")})
    (result,) = run.results
    assert result.kind == "IndexError"
    assert [(f.path, f.function) for f in result.frames] == [
        ("tests/test_price.py", "test_first"),
        (CODE, "first"),
    ]
    assert result.frames[-1].line == 12
    assert result.frames[-1].values == {"prices": "[1, 2, 3]"}


def test_an_exceptions_cause_counts_as_deeper(server: TestServer) -> None:
    text = GOOD.replace(
        "    return prices[0]",
        "    try:\n        return prices[7]\n    except IndexError as e:\n        raise OSError from e",
    )
    (result,) = server.run([FIRST], {CODE: text}).results
    assert result.kind == "OSError"
    assert [f.line for f in result.frames if f.path == CODE] == [15, 13]


def test_a_failed_assertion_tells_what_it_compared(server: TestServer) -> None:
    (result,) = server.run([TOTAL], {CODE: GOOD.replace("found = 0", "found = 1")}).results
    assert result.kind == "AssertionError"
    assert "assert 9 == 8" in result.message
    assert result.frames[-1].values == {"three": "[1, 2, 3]"}


def test_values_say_which_line_gave_the_test_what_it_got(server: TestServer) -> None:
    bad = GOOD.replace("found = 0", "found = 1")
    (result,) = server.run([TOTAL], {CODE: bad}, values=True).results
    assert [(f.path, f.line, f.values["return"]) for f in result.returned] == [(CODE, 8, "9")]
    assert result.returned[0].values["found"] == "7"


def test_coverage_is_per_test_and_of_the_repository_only(server: TestServer) -> None:
    run = server.run([TOTAL, FIRST], coverage=True)
    assert run.covered[TOTAL][CODE] == {4, 5, 6, 7, 8}
    assert run.covered[FIRST][CODE] == {11, 12}
    assert set(run.covered[FIRST]) == {CODE, "conftest.py", "tests/test_price.py"}


def test_coverage_of_a_failing_test_ends_where_it_failed(server: TestServer) -> None:
    run = server.run(
        [TOTAL], {CODE: GOOD.replace("found += price", "found += price[0]")}, coverage=True
    )
    assert run.covered[TOTAL][CODE] == {4, 5, 6, 7}


def test_an_endless_loop_is_stopped_and_the_rest_still_runs(
    server: TestServer, folder: Path
) -> None:
    text = GOOD.replace("found += price", "while True: found += price")
    run = server.run([TOTAL, FIRST], {CODE: text}, test_s=1.0, coverage=True)
    assert outcomes(run) == {"test_total": "timeout", "test_first": "passed"}
    stopped = run.results[0]
    assert (stopped.frames[-1].path, stopped.frames[-1].line) == (CODE, 7)
    assert 7 in run.covered[TOTAL][CODE]
    assert (folder / CODE).read_text() == GOOD


def test_a_loop_that_takes_no_signal_is_killed(server: TestServer) -> None:
    text = GOOD.replace(
        "    return prices[0]",
        "    import signal\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))\n"
        "    while True: pass",
    )
    run = server.run([FIRST, TOTAL], {CODE: text}, test_s=1.0)
    assert outcomes(run) == {"test_first": "timeout", "test_total": "passed"}
    assert run.results[-1].message == "the test did not end"


def test_an_endless_loop_at_import_is_stopped(server: TestServer) -> None:
    run = server.run([FIRST], {CODE: "while True: pass\n"}, all_s=1.5)
    assert (run.why, run.results) == ("stopped", ())
    assert server.run([FIRST]).passed


def test_a_slow_test_may_have_a_limit_of_its_own(server: TestServer) -> None:
    text = "import time\n" + GOOD.replace("    return prices[0]", "    time.sleep(1.5); return 1")
    run = server.run([FIRST, TOTAL], {CODE: text}, test_s=0.5, limits={FIRST: 60.0})
    assert outcomes(run) == {"test_first": "passed", "test_total": "passed"}


@pytest.mark.parametrize("death", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_test_that_ends_the_process_is_an_error_never_a_pass(
    server: TestServer, death: str
) -> None:
    text = "import os\n" + GOOD.replace("    return prices[0]", f"    {death}")
    run = server.run([TOTAL, FIRST], {CODE: text})
    assert outcomes(run) == {"test_total": "passed", "test_first": "error"}
    assert not run.passed


def test_leaving_at_import_is_no_pass(server: TestServer) -> None:
    run = server.run([FIRST], {CODE: "import os\nos._exit(0)\n"})
    assert run.why == "died"
    assert not run.passed


def test_what_tests_write_is_removed_and_what_they_change_put_back(
    server: TestServer, folder: Path
) -> None:
    before = {p: (p.lstat().st_mode, p.is_file() and p.read_bytes()) for p in folder.rglob("*")}
    text = GOOD.replace(
        "    return prices[0]",
        "    import os, shutil, pathlib\n"
        "    pathlib.Path('left.txt').write_text('x')\n"
        "    os.makedirs('deep/er'); os.symlink('/etc', 'deep/link')\n"
        "    pathlib.Path('tests/test_price.py').write_text('')\n"
        "    os.chmod('conftest.py', 0o600)\n"
        "    shutil.rmtree('shop')\n"
        "    return 1",
    )
    assert server.run([FIRST], {CODE: text}).passed
    after = {p: (p.lstat().st_mode, p.is_file() and p.read_bytes()) for p in folder.rglob("*")}
    assert after == before
    assert server.run([FIRST, TOTAL]).passed


def test_no_process_stays_not_even_one_that_detached_itself(
    server: TestServer, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    text = GOOD.replace(
        "    return prices[0]",
        "    import os, time\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        f"            open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "            time.sleep(600)\n"
        "        os._exit(0)\n"
        f"    while not os.path.exists({str(note)!r}) or not open({str(note)!r}).read(): pass\n"
        "    return 1",
    )
    assert server.run([FIRST], {CODE: text}).passed
    assert not Path(f"/proc/{note.read_text()}").exists()


def test_what_a_test_prints_is_not_taken_for_a_result(server: TestServer) -> None:
    forged = '{"ev": "test", "id": "x", "outcome": "passed"}'
    text = "import os\n" + GOOD.replace(
        "    return prices[0]",
        f"    print('PASSED'); os.write(1, b'''\\n{forged}\\n'''); return 2",
    )
    assert outcomes(server.run([FIRST], {CODE: text})) == {"test_first": "failed"}


def test_a_changed_conftest_is_seen_though_the_warm_server_loaded_it(server: TestServer) -> None:
    changed = FILES["conftest.py"].replace("[1, 2, 3]", "[5]")
    run = server.run([FIRST], {"conftest.py": changed})
    assert outcomes(run) == {"test_first": "failed"}
    assert server.run([FIRST]).passed


def test_a_server_that_was_killed_is_started_anew(folder: Path) -> None:
    server = serve(folder, parse("pytest"))
    text = "import os, signal\n" + GOOD.replace(
        "    return prices[0]",
        # The warm server and the one that watches it.
        "    watcher = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
        "    os.kill(watcher, signal.SIGKILL); os.kill(os.getppid(), signal.SIGKILL); return 1",
    )
    run = server.run([FIRST], {CODE: text}, all_s=5)
    assert (run.why, run.passed) == ("died", False)
    (folder / CODE).write_text(GOOD)  # a container's reset does this
    assert server.run([FIRST]).passed
    assert server.starts == 2
    server.close()


def test_what_a_plugin_does_after_the_last_test_may_take_longer_than_a_test(tmp_path: Path) -> None:
    slow = """
import time


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop():
    yield
    time.sleep(0.6)
    return True
"""
    write(tmp_path, {**FILES, "conftest.py": FILES["conftest.py"] + slow})
    server = serve(tmp_path, parse("pytest tests"))
    run = server.run([FIRST], test_s=0.3)
    assert (run.why, run.passed) == ("done", True)
    server.close()


def test_addopts_that_cannot_be_met_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "pytest.ini": "[pytest]\naddopts = --cov=shop -n auto\n"})
    server = serve(tmp_path, parse("pytest tests"))
    assert server.run([FIRST]).passed
    server.close()


def test_a_library_that_can_do_without_the_repository_is_not_loaded_without_it(
    tmp_path: Path,
) -> None:
    # Beside the repository, so that the server may load it once for all.
    library = "try:\n    import shop\nexcept ImportError:\n    shop = None\n"
    write(tmp_path / "libraries", {"optional.py": library})
    test = "import optional\ndef test_it():\n    assert optional.shop.X == 1\n"
    root = write(tmp_path / "repo", {"shop.py": "X = 1\n", "test_it.py": test})
    server = serve(root, parse("python -m pytest"))
    server._told["path"] = [str(tmp_path / "libraries")]
    assert server.run().passed
    assert not server.run(files={"shop.py": "X = 2\n"}).passed
    server.close()


def test_a_library_that_starts_threads_is_left_to_each_candidate(tmp_path: Path) -> None:
    library = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    write(tmp_path / "libraries", {"threaded.py": library})
    test = "import threaded, threading\ndef test_it():\n    assert threading.active_count() == 2\n"
    root = write(tmp_path / "repo", {"test_it.py": test})
    server = serve(root, parse("python -m pytest"))
    server._told["path"] = [str(tmp_path / "libraries")]
    assert server.run().passed
    server.close()


def test_a_warning_of_pytest_as_an_error_does_not_meet_us(tmp_path: Path) -> None:
    # pytest warns of plugins' modules that were loaded before it; so nothing of those may be.
    text = "import anyio\ndef test_it():\n    assert anyio.__name__\n"
    strict = "[pytest]\nfilterwarnings = error\naddopts = -p anyio\n"
    server = serve(write(tmp_path, {"test_it.py": text, "pytest.ini": strict}), parse("pytest"))
    server.prepare()
    run = server.run()
    assert run.passed, run
    server.close()


def test_packages_under_src_are_found(tmp_path: Path) -> None:
    moved = {name.replace("shop/", "src/shop/"): text for name, text in FILES.items()}
    server = serve(write(tmp_path, moved), parse("pytest"))
    assert server.run([FIRST, TOTAL]).passed
    server.close()


UNITTEST = """\
import unittest
from shop.price import first, total


class Price(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2, 3]), 8)

    def test_first(self):
        self.assertEqual(first([1]), 1)

    def test_parts(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertEqual(first([n]), n)

    @unittest.skip("not now")
    def test_skipped(self): ...

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()


class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("no")

    def test_never(self): ...
"""


def test_unittest_runs_per_test(tmp_path: Path) -> None:
    files = {"shop/__init__.py": "", CODE: GOOD, "tests/__init__.py": ""}
    write(
        tmp_path, {**files, "tests/test_price.py": UNITTEST, "tests/test_bad.py": "import nope\n"}
    )
    server = serve(tmp_path, parse("python -m unittest discover"))
    run = server.run(coverage=True)
    name = "tests.test_price.Price."
    assert {r.id.removeprefix(name): r.outcome for r in run.results} == {
        "test_total": "passed",
        "test_first": "passed",
        "test_parts": "passed",
        "test_skipped": "skipped",
        "test_expected": "skipped",
    }
    assert {result.kind for result in run.broken} == {"ImportError", "OSError"}
    assert run.covered[name + "test_first"][CODE] == {11, 12}
    bad = {CODE: GOOD.replace("[0]", "[-1] + 1")}
    chosen = server.run([name + "test_parts"], bad, values=True)
    assert [(r.id, r.outcome) for r in chosen.results] == [(name + "test_parts", "failed")]
    assert chosen.results[0].frames[-1].path == "tests/test_price.py"
    named = serve(tmp_path, parse("python -m unittest tests.test_price.Price"))
    assert len(named.prepare().collected) == 5
    server.close()
    named.close()


@pytest.mark.parametrize("command", ["python check.py", "sh -c 'python check.py'"])
def test_any_command_is_one_test(tmp_path: Path, command: str) -> None:
    check = "from shop.price import first\nassert first([1]) == 1, 'wrong'\n"
    write(tmp_path, {"shop/__init__.py": "", CODE: GOOD, "check.py": check})
    server = serve(tmp_path, parse(command))
    assert server.run().passed
    bad = server.run(files={CODE: GOOD.replace("[0]", "[0] + 1")})
    assert (bad.results[0].outcome, bad.results[0].frames[-1].path) == ("failed", "check.py")
    crash = server.run(files={CODE: GOOD.replace("[0]", "[9]")})
    assert [(f.path, f.line) for f in crash.results[0].frames] == [("check.py", 2), (CODE, 12)]
    loop = server.run(files={CODE: "while True: pass\n"}, test_s=1.0)
    assert loop.results[0].outcome == "timeout"
    server.close()


def test_a_command_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    server = serve(tmp_path, Suite("command", ("no-such-program",)))
    (result,) = server.run().results
    assert result.outcome == "error"
    assert "no-such-program" in result.message
    server.close()


class Scripted:
    """A channel that says what it is told, as a hostile repository could."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = [b'{"ev": "hello"}', b'{"ev": "end", "why": "done"}', *lines]

    def send(self, data: bytes) -> None: ...

    def receive(self, timeout_s: float) -> bytes:
        if not self.lines:
            raise TimeoutError
        return self.lines.pop(0)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1, 2]",
        b'{"ev": "test"}',
        b'{"ev": "test", "id": 7, "outcome": "great"}',
        b'{"ev": "collected", "ids": "x"}',
        b"[" * 100_000,
        b'{"ev": "lines"}',
        b"\xff\xfe",
    ],
)
def test_what_makes_no_sense_is_left_out(tmp_path: Path, line: bytes) -> None:
    told = tester.settings(Suite("pytest"), tmp_path)
    run = TestServer(lambda: Scripted([line, b'{"ev": "end", "why": "done"}']), told).run()
    assert (run.results, run.collected, run.broken) == ((), (), ())
    assert not run.passed


def test_odd_values_in_a_result_are_put_right(tmp_path: Path) -> None:
    line = (
        b'{"ev": "test", "id": "a\\u001b[31m\\u202eb", "outcome": "failed", "seconds": NaN,'
        b'"message": 5, "frames": [{"path": "../../etc/passwd", "line": 1}, 7,'
        b'{"path": "a.py", "line": "x"}, {"path": "a.py", "line": 3, "values": {"x": 1}}],'
        b'"lines": {"/etc": [1], "a.py": [1, -5, "x", 2]}}'
    )
    told = tester.settings(Suite("pytest"), tmp_path)
    run = TestServer(lambda: Scripted([line, b'{"ev": "end", "why": "done"}']), told).run()
    (result,) = run.results
    assert "\x1b" not in result.id
    assert "\u202e" not in result.id
    assert (result.seconds, result.message) == (0.0, "")
    assert [(f.path, f.line) for f in result.frames] == [("a.py", 3)]
    assert run.covered[result.id] == {"a.py": {1, 2}}


def test_silence_ends_the_run_as_a_death(tmp_path: Path) -> None:
    told = tester.settings(Suite("pytest"), tmp_path)
    began = time.monotonic()
    run = TestServer(lambda: Scripted([]), told).run()
    assert run.why == "died"
    assert time.monotonic() - began < tester.START_S


def test_our_modules_do_not_shadow_a_package_named_sandbox(tmp_path: Path) -> None:
    files = {"sandbox/__init__.py": "X = 1\n", "sandbox/inside.py": "Y = 2\n"}
    text = "from sandbox import X\nfrom sandbox.inside import Y\ndef test_a():\n    assert X + Y == 3\n"
    server = serve(write(tmp_path, {**files, "test_a.py": text}), parse("python -m pytest"))
    assert server.run().passed
    server.close()
