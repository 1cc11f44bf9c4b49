"""Tests under pytest: its session begun once, results told as they come."""

import importlib.util
import os
import sys

import pytest
from _pytest.config import _prepareconfig

from sandbox.inside.say import Say

QUIET = ["-p", "no:cacheprovider", "-p", "no:faulthandler", "--tb=native", "-q", "--color=no"]
QUIET += ["--continue-on-collection-errors"]


def begin(args: list[str], root: str) -> pytest.Session:
    """A session just before it collects: plugins and the first conftest files are loaded.

    Where the repository's own `addopts` name plugins that are not there, they are left out.
    """
    # Coverage takes our place as a tracer, and a report after each run.
    cover = ["--no-cov"] if importlib.util.find_spec("pytest_cov") else []
    mine = [*QUIET, *cover, f"--rootdir={root}", *args]
    sys.argv = ["pytest", *args]
    try:
        config = _prepareconfig(list(mine))  # it adds to its argument
    except pytest.UsageError:
        config = _prepareconfig([*mine, "-o", "addopts="])
    # As `_pytest.main.wrap_session` does it, up to the part that differs from run to run.
    session = pytest.Session.from_config(config)
    config._do_configure()
    config.hook.pytest_sessionstart(session=session)
    return session


def collect(session: pytest.Session) -> set[str]:
    """All tests of the session, as `run` finds them then; their ids."""
    session.config.hook.pytest_collection(session=session)
    return {item.nodeid for item in session.items}


def run(session: pytest.Session, say: Say, only_collect: bool) -> int:
    """Run what `say` wants; pytest's exit code. The session is used up.

    The process ends after it, so nothing is torn down but the fixtures.
    """
    config = session.config
    if say.ids is not None:
        # A file's other tests are left out after it was collected: ids need no quoting then.
        config.args = sorted({_file(test, config) for test in say.ids})
    config.option.collectonly = only_collect
    config.pluginmanager.register(Reporter(say), "tandem-reporter")
    try:
        if getattr(session, "items", None):  # collected before
            session.items = [item for item in session.items if say.wants(item.nodeid)]
            say.collected([item.nodeid for item in session.items])
        else:
            config.hook.pytest_collection(session=session)
        config.hook.pytest_runtestloop(session=session)
    except session.Failed:
        return 1
    except pytest.exit.Exception as error:
        say.broken("", error, "")
        return 2
    return 1 if session.testsfailed else 0 if session.testscollected else 5


class Reporter:
    def __init__(self, say: Say) -> None:
        self.say = say
        self.worst: tuple[str, BaseException | None, str] = ("passed", None, "")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items: list) -> None:
        self.say.collected([item.nodeid for item in items])
        if self.say.ids is not None:
            out = [item for item in items if not self.say.wants(item.nodeid)]
            items[:] = [item for item in items if self.say.wants(item.nodeid)]
            if out:
                config.hook.pytest_deselected(items=out)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        outcome = yield
        report = outcome.get_result()
        if report.failed:
            error = getattr(report, "call", None)
            value = error.excinfo.value if error and error.excinfo else None
            value = getattr(value, "__cause__", None) or value  # pytest wraps an ImportError
            self.say.broken(report.nodeid, value, str(report.longrepr))
            if self.say.fail_fast:
                self.say.done(2)
                os._exit(0)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        self.worst = ("passed", None, "")
        self.say.start(item.nodeid, str(item.path))
        yield
        self.say.end(*self.worst)
        if self.say.stopped:
            item.session.shouldfail = "enough was seen"  # stops with less ado than `shouldstop`

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        error = call.excinfo.value if call.excinfo else None
        if report.failed:
            bad = "failed" if report.when == "call" else "error"
            if self.worst[0] not in ("failed", "error"):
                self.worst = (bad, error, str(report.longrepr)[:2000] if error is None else "")
        elif report.skipped and self.worst[0] == "passed":
            self.worst = ("skipped", None, str(error or getattr(report, "wasxfail", "")))


def _file(test: str, config: pytest.Config) -> str:
    return os.path.join(str(config.rootpath), test.split("::")[0])
