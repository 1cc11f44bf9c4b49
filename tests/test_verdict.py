"""A verdict holds for a patch that mends, and for none that only makes it look so."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import junit, planted
from sandbox.baseline import Baseline
from sandbox.suite import Suite, TestResult, parse
from sandbox.verdict import Verdict, judge
from sandbox.witness import suite_for
from tests.local_tests import serve, write

CODE = "shop/price.py"
BUGGY = """\
def total(prices):
    found = 0
    for price in prices:
        found -= price
    return found


def first(prices):
    return prices[0]
"""
MENDED = BUGGY.replace("-=", "+=")
TESTS = """\
import pytest
from shop.price import first, total


@pytest.mark.parametrize("prices", [[1, 2], [5]])
def test_total(prices):
    assert total(prices) == sum(prices)


def test_first():
    assert first([3]) == 3
"""
FILE = "tests/test_price.py"
FAILING = (f"{FILE}::test_total[prices0]", f"{FILE}::test_total[prices1]")
FIRST = f"{FILE}::test_first"
BASELINE = Baseline(
    failing=tuple(TestResult(id, "failed", 0.01, kind="AssertionError") for id in FAILING),
    passing=(FIRST,),
    collected=(*FAILING, FIRST),
    test_s=3.0,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"shop/__init__.py": "", CODE: BUGGY, FILE: TESTS, "conftest.py": "", "pytest.ini": ""}
    return write(tmp_path, {**files, "pytest.ini": "[pytest]\n"})


def verdict(folder: Path, files: dict[str, str | None], command: str = "pytest") -> Verdict:
    suite = parse(command)
    return judge(lambda s: serve(folder, s), suite, folder, BASELINE, files, all_s=60.0)


def failed(found: Verdict) -> set[str]:
    return {check.name for check in found.checks if not check.held}


@pytest.mark.parametrize("command", ["pytest", "python -m pytest tests -k 'total or first'"])
def test_a_patch_that_mends_holds_with_the_evidence(folder: Path, command: str) -> None:
    found = verdict(folder, {CODE: MENDED}, command)
    assert found.holds, found.reasons
    assert {(result.id, result.outcome) for result in found.results} == {
        (id, "passed") for id in (*FAILING, FIRST)
    }
    assert {check.name for check in found.checks} >= {
        "fails without the patch",
        "a planted failing test fails",
        "they pass under another name",
        "turned around they fail",
        "pytest's own report agrees",
    }
    assert (folder / CODE).read_text() == BUGGY
    assert sorted(file.name for file in (folder / "tests").iterdir()) == ["test_price.py"]


def test_no_change_does_not_hold(folder: Path) -> None:
    found = verdict(folder, {CODE: BUGGY + "# only a comment\n"})
    assert "the failing tests pass" in failed(found)
    assert any("test_total[prices0] failed" in reason for reason in found.reasons)


def test_a_patch_that_breaks_another_test_does_not_hold(folder: Path) -> None:
    found = verdict(folder, {CODE: MENDED.replace("[0]", "[-1] + 1")})
    assert failed(found) == {"what passed still passes"}


def test_a_test_that_passes_already_does_not_hold(folder: Path) -> None:
    (folder / CODE).write_text(MENDED)
    assert "fails without the patch" in failed(verdict(folder, {CODE: MENDED}))


def test_tests_taken_away_are_missed(folder: Path) -> None:
    found = verdict(folder, {CODE: MENDED, FILE: TESTS.split("@pytest")[0]})
    assert "the same tests are there" in failed(found)


ATTACKS = {
    "exit at import": "import os\nos._exit(0)\n",
    "sys.exit at import": "import sys\nsys.exit(0)\n",
    "exit in the function": BUGGY.replace("    found = 0", "    import os; os._exit(0)"),
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\n" + BUGGY,
    "printed lines": BUGGY.replace(
        "    return found",
        "    import os\n    for n in (1, 2):\n"
        "        os.write(n, b'tests/test_price.py::test_total PASSED\\n1 passed in 0.01s\\n')\n"
        "    return found",
    ),
    "skips": "import pytest\n" + BUGGY.replace("    return found", "    pytest.skip('no')"),
    "pytest's reports all say passed": """\
        from _pytest.reports import TestReport
        made = TestReport.from_item_and_call.__func__
        def forged(cls, item, call):
            call.excinfo = None
            return made(cls, item, call)
        TestReport.from_item_and_call = classmethod(forged)
        """,
    "pytest's calls never fail": """\
        from _pytest.runner import CallInfo
        real = CallInfo.from_call.__func__
        def forged(cls, func, when, reraise=None):
            def quiet():
                try:
                    func()
                except Exception:
                    pass
            return real(cls, quiet, when, reraise)
        CallInfo.from_call = classmethod(forged)
        """,
    "pytest calls no test": """\
        from _pytest.python import Function
        Function.runtest = lambda self: None
        """,
    "our reporter is patched": """\
        import gc
        for one in gc.get_objects():
            if type(one).__name__ == "Say":
                end = one.end
                one.end = lambda outcome, *more, end=end, **named: end("passed")
        """,
    "only this file's tests pass": """\
        from _pytest.python import Function
        real = Function.runtest
        def forged(self):
            if "test_price" not in self.nodeid:
                real(self)
        Function.runtest = forged
        """,
    "only tests of this name pass": """\
        from _pytest.python import Function
        real = Function.runtest
        def forged(self):
            if "test_total" not in self.nodeid:
                real(self)
        Function.runtest = forged
        """,
    "written into the pipe": """\
        import json, os
        for end in range(3, 40):
            for id in IDS:
                told = {"ev": "test", "id": id, "outcome": "passed", "seconds": 0.0}
                try:
                    os.write(end, json.dumps(told).encode() + b"\\n")
                except OSError:
                    pass
        """,
    "the end is forged, too": """\
        import json, os
        for end in range(3, 40):
            for told in ({"ev": "collected", "ids": []}, {"ev": "done", "exit": 0}):
                try:
                    os.write(end, json.dumps(told).encode() + b"\\n")
                except OSError:
                    pass
        os._exit(0)
        """,
    "the supervisor is killed": """\
        import os, signal
        os.kill(os.getppid(), signal.SIGKILL)
        """,
    "the report is rewritten": """\
        import atexit, glob, re
        def rewrite():
            for name in glob.glob("/tmp/*.xml"):
                text = open(name).read()
                open(name, "w").write(re.sub(r"<failure.*?</failure>", "", text, flags=re.S))
        atexit.register(rewrite)
        """,
    "our own words are used": """\
        import gc
        for one in gc.get_objects():
            if type(one).__name__ == "Say":
                for id in IDS:
                    one.send({"ev": "test", "id": id, "outcome": "passed", "seconds": 0.0})
        """,
}


def attacking(attack: str) -> str:
    text = ATTACKS[attack].replace("IDS", repr(FAILING))
    return text if "def total" in text else textwrap.dedent(text) + "\n" + BUGGY


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_forged_pass_holds(folder: Path, attack: str) -> None:
    found = verdict(folder, {CODE: attacking(attack)})
    assert not found.holds
    assert found.reasons


CONFTEST = """\
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""


def test_a_conftest_that_calls_everything_passed_is_found_out(folder: Path) -> None:
    found = verdict(folder, {"conftest.py": CONFTEST})
    assert not found.holds
    assert {"a planted failing test fails", "pytest's exit code tells of a failure"} & failed(found)


def test_a_sitecustomize_that_exits_with_0_is_found_out(folder: Path) -> None:
    text = "import atexit, os\natexit.register(os._exit, 0)\n"
    found = verdict(folder, {"sitecustomize.py": text}, "python -m pytest")
    assert not found.holds


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        ("pytest calls no test", "a planted failing test fails"),
        ("only tests of this name pass", "turned around they fail"),
        ("only this file's tests pass", "they pass under another name"),
        ("written into the pipe", "every result is ours"),
        ("our own words are used", "each test ended once"),
    ],
)
def test_the_verdict_says_what_gave_a_forgery_away(folder: Path, attack: str, check: str) -> None:
    assert check in failed(verdict(folder, {CODE: attacking(attack)}))


def test_files_that_did_not_import_must_import_and_pass(tmp_path: Path) -> None:
    files = {"shop/__init__.py": "", CODE: "import nothing\n" + MENDED, FILE: TESTS}
    write(tmp_path, {**files, "conftest.py": ""})
    broken = TestResult(FILE, "error", 0.0, "ModuleNotFoundError: nothing", "ModuleNotFoundError")
    baseline = Baseline(broken=(broken,), test_s=3.0)
    suite = parse("pytest")

    def found(text: str) -> Verdict:
        return judge(lambda s: serve(tmp_path, s), suite, tmp_path, baseline, {CODE: text})

    assert found(MENDED).holds, found(MENDED).reasons
    assert "what can run now passes" in failed(found(BUGGY))
    assert "the test files import" in failed(found("import nothing_else\n" + MENDED))


UNITTEST = """\
import unittest
from shop.price import first, total


class Price(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)

    def test_first(self):
        self.assertEqual(first([3]), 3)
"""


@pytest.mark.parametrize("command", ["python -m unittest", "python -m unittest tests.test_price"])
def test_unittest_is_judged_with_planted_tests(tmp_path: Path, command: str) -> None:
    files = {"shop/__init__.py": "", CODE: BUGGY, FILE: UNITTEST, "tests/__init__.py": ""}
    write(tmp_path, files)
    name = "tests.test_price.Price.test_"
    baseline = Baseline(
        failing=(TestResult(name + "total", "failed", 0.01, kind="AssertionError"),),
        passing=(name + "first",),
        collected=(name + "total", name + "first"),
        test_s=3.0,
    )

    def found(text: str) -> Verdict:
        suite = parse(command)
        return judge(lambda s: serve(tmp_path, s), suite, tmp_path, baseline, {CODE: text})

    mended = found(MENDED)
    assert mended.holds, mended.reasons
    deaf = "import unittest\nunittest.TestCase.assertEqual = lambda *a, **k: None\n" + BUGGY
    assert "a planted failing test fails" in failed(found(deaf))


def test_any_command_must_fail_before_and_pass_twice(tmp_path: Path) -> None:
    check = "from shop.price import total\nassert total([1, 2]) == 3\n"
    write(tmp_path, {"shop/__init__.py": "", CODE: BUGGY, "check.py": check})
    told = TestResult("command", "failed", 0.1)
    baseline = Baseline(failing=(told,), collected=("command",), test_s=3.0)

    def found(text: str) -> Verdict:
        suite = parse("python check.py")
        return judge(lambda s: serve(tmp_path, s), suite, tmp_path, baseline, {CODE: text})

    assert found(MENDED).holds, found(MENDED).reasons
    assert not found(BUGGY + "\n").holds


def test_options_that_choose_tests_are_left_out_for_the_judge() -> None:
    suite = parse("pytest -k total -m 'not slow' --deselect x::y -kfirst --runslow tests")
    assert suite_for(suite, planted.Planted()).args == ("--runslow", "tests")


def test_planted_names_follow_the_salt_and_the_form_of_the_file() -> None:
    plants = planted.plant(
        Suite("pytest"), ["a/b_test.py::test_x"], {"a/b_test.py": "x = 1\n"}, "7f"
    )
    assert all(path.startswith("a/t7f") and path.endswith("_test.py") for path in plants.files)
    assert set(plants.twins.values()) == {"a/b_test.py::test_x"}
    assert plants.turned == {}  # it has no assertion


def test_nothing_is_planted_beside_a_command_or_a_file_that_is_not_there() -> None:
    assert planted.plant(Suite("command"), ["command"], {}, "7f").files == {}
    assert planted.plant(Suite("pytest"), ["gone.py::test_x"], {}, "7f").files == {}


def test_assertions_are_turned_around_only_in_the_functions_named() -> None:
    text = "def test_a():\n    assert x == 1, 'why'\ndef test_b():\n    assert y\n"
    changed = planted.turn(text, {"test_a"})
    assert changed is not None
    assert "assert not x == 1, 'why'" in changed[0]
    assert "assert y" in changed[0]
    assert changed[1] == {"test_a"}


def test_a_test_whose_assertion_may_not_run_is_not_turned() -> None:
    assert planted.turn("def test_a():\n    if x:\n        assert y\n", {"test_a"}) is None
    assert planted.turn("def test_a(:\n", {"test_a"}) is None


def test_a_report_is_read_and_anything_else_is_none() -> None:
    text = (
        '<testsuites><testsuite><testcase classname="a.b" name="test_x[1]"/>'
        '<testcase classname="a.b.C" name="test_y"><failure message="no">x</failure></testcase>'
        '<testcase classname="a.b" name="test_z"><error/></testcase></testsuite></testsuites>'
    )
    assert junit.read(text) == {"a.b.test_x[1]": False, "a.b.C.test_y": True, "a.b.test_z": True}
    assert junit.read("") == {}
    assert junit.read("<a") == {}
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    assert junit.read(bomb) == {}


def test_names_in_the_report_are_those_of_ids() -> None:
    assert junit.name_of("tests/a_test.py::C::test_x[p/q::r]") == "tests.a_test.C.test_x[p/q::r]"


@given(st.text(max_size=80))
def test_any_text_is_a_report_or_none(text: str) -> None:
    assert all(isinstance(bad, bool) for bad in junit.read(text).values())
