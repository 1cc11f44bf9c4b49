"""Tests under unittest's own loader and discovery; ids are `module.Class.method`."""

import sys
import unittest
from unittest.loader import _FailedTest  # type: ignore[attr-defined]

from sandbox.inside.say import Say


def run(args: list[str], say: Say, only_collect: bool) -> int:
    """Run what `say` wants; 0 if all passed, 1 if not, 5 if there was none."""
    # The loader prints nothing and does not exit: module=None means discovery as `args` say it.
    program = _Program.__new__(_Program)
    program.parseArgs(["python -m unittest", *args])
    tests = list(_flat(program.test))
    good = [test for test in tests if not isinstance(test, _FailedTest)]
    for test in tests:
        if isinstance(test, _FailedTest):
            say.broken(test._testMethodName, getattr(test, "_exception", None), "not imported")
    say.collected([test.id() for test in good])
    if only_collect:
        return 0
    wanted = [test for test in good if say.wants(test.id())]
    result = Result(say)
    # A suite runs the fixtures of modules and classes.
    unittest.TestSuite(wanted).run(result)
    return 5 if not tests else int(not result.wasSuccessful() or len(good) < len(tests))


class _Program(unittest.TestProgram):
    """The command line of `python -m unittest`, read but not run."""

    def __init__(self) -> None:  # never called
        super().__init__()

    test: unittest.TestSuite
    module = None
    progName = "python -m unittest"
    testNames = None
    defaultTest = None
    testLoader = unittest.defaultTestLoader
    verbosity = 1
    failfast = catchbreak = buffer = tb_locals = None
    exit = False
    testNamePatterns = None
    warnings = "default" if sys.warnoptions else None
    durations = None


class Result(unittest.TestResult):
    def __init__(self, say: Say) -> None:
        super().__init__()
        self.say = say
        self.worst: tuple[str, BaseException | None, str] = ("passed", None, "")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.worst = ("passed", None, "")
        module = sys.modules.get(type(test).__module__)
        self.say.start(test.id(), getattr(module, "__file__", "") or "")

    def stopTest(self, test: unittest.TestCase) -> None:
        self.say.end(*self.worst)
        if self.say.stopped:
            self.stop()
        super().stopTest(test)

    def addError(self, test, err) -> None:
        if isinstance(test, unittest.TestCase):
            self._bad("error", err)
        else:  # a fixture of a class or a module failed: its tests do not run
            self.say.broken(str(test), err[1], "")
        super().addError(test, err)

    def addFailure(self, test, err) -> None:
        self._bad("failed", err)
        super().addFailure(test, err)

    def addSubTest(self, test, subtest, err) -> None:
        if err is not None:
            self._bad("failed", err)
        super().addSubTest(test, subtest, err)

    def addSkip(self, test, reason: str) -> None:
        if isinstance(test, unittest.TestCase):
            self.worst = ("skipped", None, reason)
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err) -> None:
        self.worst = ("skipped", None, "expected failure")
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test) -> None:
        self.worst = ("failed", None, "passed, though a failure was expected")
        super().addUnexpectedSuccess(test)

    def _bad(self, outcome: str, err) -> None:
        if self.worst[0] in ("passed", "skipped"):
            self.worst = (outcome, err[1], "")


def _flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test
