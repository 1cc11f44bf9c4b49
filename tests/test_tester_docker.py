"""The test server, the suspects and the verdict in real containers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import suspects, tester
from sandbox.baseline import Baseline
from sandbox.container import Sandbox
from sandbox.pool import Pool
from sandbox.suite import TestResult, parse
from sandbox.verdict import Verdict, judge_in
from tests import test_verdict as shop
from tests.docker_support import SMALL, docker_client, image, make_sandbox, tar_of  # noqa: F401
from tests.local_tests import write

FILES = {"shop/__init__.py": "", shop.CODE: shop.BUGGY, shop.FILE: shop.TESTS, "conftest.py": ""}
BYTES = {name: text.encode() for name, text in FILES.items()}
SUITE = parse("python -m pytest")
ALL = {*shop.FAILING, shop.FIRST}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def test_candidates_run_one_after_another_in_a_container(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
) -> None:
    server = tester.in_sandbox(make_sandbox(BYTES), SUITE, folder)
    assert set(server.prepare().collected) == ALL
    for n in range(5):
        text = shop.BUGGY.replace("-=", f"+= {n} *")
        assert server.run(files={shop.CODE: text}, fail_fast=True).passed == (n == 1)
    run = server.run(
        [shop.FIRST], {shop.CODE: shop.BUGGY.replace("return prices[0]", "while 1: 1")}, test_s=1.0
    )
    assert run.results[0].outcome == "timeout"
    covered = server.run(coverage=True).covered
    assert covered[shop.FIRST][shop.CODE] == {8, 9}
    assert server.starts == 1
    server.close()


def test_a_server_that_a_test_killed_comes_back_clean(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
) -> None:
    server = tester.in_sandbox(make_sandbox(BYTES), SUITE, folder)
    deadly = shop.BUGGY.replace("    return prices[0]", "    import os; os.kill(-1, 9)")
    run = server.run([shop.FIRST], {shop.CODE: deadly}, all_s=10)
    assert not run.passed
    assert server.run([shop.FIRST]).passed
    server.close()


def test_suspects_are_found_from_a_folder_a_suite_and_a_pool(image: str, folder: Path) -> None:  # noqa: F811
    with Pool(image, tar_of(BYTES), SMALL, size=1) as pool:
        found = suspects.find(folder, SUITE, pool)
    assert {result.id for result in found.baseline.failing} == set(shop.FAILING)
    assert found.baseline.passing == (shop.FIRST,)
    best = found.suspects[0]
    assert (best.path, suspects.line_of(found.sources, best)) == (shop.CODE, "found -= price")


def verdict(sandbox: Sandbox, folder: Path, text: str) -> Verdict:
    return judge_in(sandbox, SUITE, folder, shop.BASELINE, {shop.CODE: text})


def test_other_failing_tests_of_the_same_file_do_not_count_if_one_was_named(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
) -> None:
    more = shop.TESTS + "\n\ndef test_other():\n    assert first([]) is None\n"
    (folder / shop.FILE).write_text(more)
    suite = parse(f"python -m pytest {shop.FILE} -k 'total or first'")
    sandbox = make_sandbox({**BYTES, shop.FILE: more.encode()})
    found = judge_in(sandbox, suite, folder, shop.BASELINE, {shop.CODE: shop.MENDED})
    assert found.holds, found.reasons


@pytest.mark.parametrize("command", ["python -m unittest", "python -c 'import check'"])
def test_other_suites_are_judged_in_containers_too(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    tmp_path: Path,
    command: str,
) -> None:
    check = "from shop.price import total\nassert total([1, 2]) == 3\n"
    files = {**FILES, shop.FILE: shop.UNITTEST, "tests/__init__.py": "", "check.py": check}
    write(tmp_path, files)
    suite = parse(command)
    with_unittest = suite.kind == "unittest"
    failing = "tests.test_price.Price.test_total" if with_unittest else "command"
    passing = ("tests.test_price.Price.test_first",) if with_unittest else ()
    told = TestResult(failing, "failed", 0.1, kind="AssertionError")
    baseline = Baseline((told,), passing, collected=(failing, *passing), test_s=5.0)
    for text, holds in ((shop.MENDED, True), (shop.BUGGY + "\n", False)):
        sandbox = make_sandbox({name: text.encode() for name, text in files.items()})
        found = judge_in(sandbox, suite, tmp_path, baseline, {shop.CODE: text})
        assert found.holds == holds, found.reasons


def test_a_mended_program_is_judged_so_in_a_fresh_container(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
) -> None:
    found = verdict(make_sandbox(BYTES), folder, shop.MENDED)
    assert found.holds, found.reasons
    told = {check.name: check.told for check in found.checks}
    assert told["Docker tells of the planted failure"] == "exit code 1"
    assert told["Docker tells of success"] == "exit code 0"


@pytest.mark.parametrize(
    "attack",
    [
        "exit at the end",
        "pytest calls no test",
        "the supervisor is killed",
        "written into the pipe",
    ],
)
def test_no_forged_pass_holds_in_a_container(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
    attack: str,
) -> None:
    found = verdict(make_sandbox(BYTES), folder, shop.attacking(attack))
    assert not found.holds
    assert found.reasons


def test_the_supervisor_cannot_be_reached_into(
    make_sandbox: Callable[..., Sandbox],  # noqa: F811
    folder: Path,
) -> None:
    # The server's memory and descriptors are closed to the tests, though they share its user.
    text = shop.BUGGY.replace(
        "    return prices[0]",
        "    import os\n"
        "    for name in ('mem', 'fd/1', 'environ'):\n"
        "        try:\n"
        "            os.close(os.open(f'/proc/{os.getppid()}/{name}', os.O_RDWR))\n"
        "        except OSError:\n"
        "            continue\n"
        "        return name\n"
        "    return 3",
    )
    server = tester.in_sandbox(make_sandbox(BYTES), SUITE, folder)
    run = server.run([shop.FIRST], {shop.CODE: text})
    assert run.passed, run.results
    server.close()
