"""A run read back and shown, for a terminal and as a page, whatever its files hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import audit, story
from sandbox.agent_step import Step
from sandbox.fixrun import Order, RunFolder
from sandbox.repair.change import Candidate
from sandbox.validate import Tried
from tandem import run_page
from tandem.cli import run
from tandem.errors import UsageError
from tests.browser import BROWSER, Page, read_page, shown_by_browser

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e&amp;"
DIFF = """\
diff --git a/shop.py b/shop.py
--- a/shop.py
+++ b/shop.py
@@ -1,2 +1,2 @@
 def pages(first, last):
-    return list(range(first, last))
+    return list(range(first, last + 1))
"""

pytestmark = pytest.mark.usefixtures("empty_home")


def report(id: str, **others: Any) -> dict[str, Any]:
    found = {
        "diff": DIFF,
        "path": "shop.py",
        "line": 2,
        "template": "number.range",
        "label": "verified",
        "number": 2,
        "rank": 1,
        "checks": [
            {"name": "held-out tests", "passed": None, "why": "too few"},
            {"name": "made inputs", "passed": True, "why": "12 calls"},
            {"name": "tests turned round", "passed": False, "why": "one passes"},
        ],
        "verdict": "holds in a fresh container: 16 checks",
        "flags": ["it makes a file"],
    }
    suspect = {"path": "shop.py", "line": 2, "score": 0.9, "why": ["ran"], "text": "return x"}
    return {
        "v": 1,
        "id": id,
        "ended": "fixed",
        "repository": "/home/me/shop",
        "base": "0123456789abcdef",
        "tests": "pytest",
        "failing": ["tests/test_shop.py::test_pages"],
        "passing": 7,
        "flaky": [],
        "suspects": [suspect],
        "found": [found],
        "seconds": {"search": 1.5, "checks": 0.5},
        "model": "tandem-135m",
        "notes": ["a file was left out"],
        **others,
    }


STEPS: list[dict[str, Any]] = [
    {"kind": "task", "text": "Make these tests pass."},
    {
        "kind": "plan",
        "text": "1. Look at pages.\n2. Mend the end of the range.",
        "usage": {"prompt": 900, "completion": 40, "cost": 0.0125},
    },
    {
        "kind": "act",
        "text": "I look.",
        "tool": "open",
        "arguments": {"path": "shop.py"},
        "usage": {"prompt": 1000, "completion": 60, "cost": 0.0125},
    },
    {"kind": "observe", "tool": "open", "result": "1: def pages", "outcome": "told"},
    {"kind": "reflect", "text": "The end is missing."},
    {"kind": "finish", "text": "solved", "solved": True},
]


def made(text: str | None = None, steps: list[dict[str, Any]] | None = None) -> RunFolder:
    """A run that ended; with `text` every foreign text of it is that."""
    folder = RunFolder.new(Order("/home/me/shop", test="pytest"))
    told = report(folder.id)
    if text is not None:
        told = _with(told, text)
    (folder.root / "report.json").write_text(json.dumps(told))
    for number, stage in enumerate(("failing", "passed", "all"), 1):
        candidate = Candidate("shop.py", 0, 1, "x", text or f"t.{stage}", 0.5)
        folder.add(Tried(number, candidate, stage, 0.1))
    lines = [{"v": 1, "attempt": "1", "step": n, **one} for n, one in enumerate(steps or [], 1)]
    if text is not None:
        lines = [_with(line, text) for line in lines]
    if lines:
        rows = "".join(json.dumps(line) + "\n" for line in lines)
        (folder.root / "trajectory.jsonl").write_text(rows)
    with audit.start(folder.id) as log:
        log.append("order", **vars(folder.order()))
        log.append("baseline", failing=["tests/test_shop.py::test_pages"], passing=7, flaky=[])
        log.append("judged", number=2, label=text or "verified")
        log.append("report", ended="fixed", found=1)
        log.seal()
    return folder


def _with(told: Any, text: str) -> Any:
    if isinstance(told, dict):
        return {name: one if name == "kind" else _with(one, text) for name, one in told.items()}
    if isinstance(told, list):
        return [_with(one, text) for one in told]
    return text if isinstance(told, str) else told


def paged(folder: RunFolder, tmp_path: Path) -> Page:
    file = tmp_path / "run.html"
    assert run(["audit", "show", folder.id, "--html", str(file)]) == 0
    return read_page(file)


def test_a_run_is_read_back_whole() -> None:
    folder = made(steps=STEPS)
    told = story.read(folder.id)
    assert told.intact
    assert told.ended == "fixed"
    assert [one.name for one in told.events][:2] == ["order", "baseline"]
    assert sum(sum(counts.values()) for counts in told.tried.values()) == 3
    assert told.tried["t.passed"]["passed"] == 1
    assert told.spent == story.Spent(2, 1900, 100, 0.025)
    assert [one.kind for one in told.steps] == [one["kind"] for one in STEPS]
    assert told.lacks == ()
    assert story.read() == told == story.read(str(audit.file_of(folder.id)))


def test_the_page_tells_from_the_plan_to_the_verdict(tmp_path: Path) -> None:
    page = paged(made(steps=STEPS), tmp_path)
    for words in (
        "2. Mend the end of the range.",
        "+    return list(range(first, last + 1))",
        "holds in a fresh container: 16 checks",
        "look at: it makes a file",
        "tests/test_shop.py::test_pages",
        "7 tests passed before, all of them with the best patch, too",
        "3 were tried.",
        "2 answers, 1,900 tokens read, 100 written, cost 0.0250",
        "The end is missing.",
        "intact: no line was changed",
        "a file was left out",
        "search",
    ):
        assert words in page.text, words
    assert page.closed
    kinds = [attributes.get("class") for attributes in page.all("span")]
    assert (kinds.count("add"), kinds.count("del"), kinds.count("at")) == (1, 1, 4)


def test_the_page_stands_alone_and_runs_nothing_that_a_run_brings(tmp_path: Path) -> None:
    page = paged(made(HOSTILE, STEPS), tmp_path)
    assert page.addresses == []
    assert page.handlers == []
    assert page.count("script") == 0
    assert page.count("img") == 0
    assert page.closed
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "\u202e" not in page.text
    assert "\x1b" not in page.text


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
def test_a_browser_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    file.write_text(run_page.page(story.read(made(HOSTILE, STEPS).id)))
    page = shown_by_browser(file, "", tmp_path / "profile")
    assert page.count("img") == page.count("script") == 0
    assert "Patches" in page.text


def test_the_terminal_gets_the_same_and_nothing_that_it_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = made(steps=STEPS)
    assert run(["audit", "show", folder.id]) == 0
    out = capsys.readouterr().out
    for words in ("fixed", "intact", "range(first, last + 1)", "FAILED: one passes", "open  told"):
        assert words in out, words
    assert run(["audit", "show", made(HOSTILE, STEPS).id]) == 0
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "\u202e" not in out


def test_a_changed_log_is_said_to_be_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made()
    log = audit.file_of(folder.id)
    log.write_text(log.read_text().replace("fixed", "fiXed"))
    file = tmp_path / "run.html"
    assert run(["audit", "show", folder.id, "--html", str(file)]) == 1
    assert "not intact" in capsys.readouterr().err
    assert "NOT intact: line" in read_page(file).text


def test_a_run_whose_folder_is_gone_is_shown_from_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made()
    for file in folder.root.iterdir():
        file.unlink()
    folder.root.rmdir()
    assert run(["audit", "show", folder.id]) == 0
    assert "only the newest runs keep theirs" in " ".join(capsys.readouterr().out.split())
    page = paged(folder, tmp_path)
    assert "tests/test_shop.py::test_pages" in page.text
    assert story.read(folder.id).ended == "fixed"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{",
        '{"found": 3, "suspects": "x", "notes": null, "seconds": [], "failing": {}}',
        '{"found": [1, {"checks": 5, "flags": 7, "diff": null}], "suspects": [{}], "seconds": {"a": "b"}}',
        '{"suspects": [{"score": 1e999, "why": 3}], "failing": [1, null], "ended": ["x"]}',
    ],
)
def test_damaged_files_are_no_reason_to_show_nothing(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(steps=STEPS)
    (folder.root / "report.json").write_text(damage)
    with (folder.root / "trajectory.jsonl").open("a") as stream:
        stream.write('{"step": "x", "usage": [1], "arguments": 7}\n[]\n{"v": 1, "ki')
    with (folder.root / "tried.jsonl").open("a") as stream:
        stream.write('{"candidate": 3}\n{"stage": []}\nnull\n')
    assert paged(folder, tmp_path).closed
    assert run(["audit", "show", folder.id]) == 0
    assert folder.id in capsys.readouterr().out


def test_a_run_that_was_killed_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    folder = RunFolder.new(Order("/home/me/shop"))
    with audit.start(folder.id) as log:
        log.append("order", **vars(folder.order()))
        log.append("copy", files=3)
    file = tmp_path / "run.html"
    assert run(["audit", "show", folder.id, "--html", str(file)]) == 1
    assert "it did not come to its end" in read_page(file).text
    assert "report.json: the run did not come so far" in read_page(file).text


def test_a_step_takes_what_is_there() -> None:
    told = {"step": 3, "kind": "observe", "arguments": {"é": 1}, "usage": {"prompt": 5}}
    step = Step.of(told)
    assert (step.number, step.kind, step.usage["prompt"]) == (3, "observe", 5.0)
    assert "é" in step.arguments
    assert Step.of({"step": float("nan"), "text": 3, "arguments": "{broken"}) == Step(
        0, "", "3", arguments="{broken"
    )


@pytest.mark.parametrize("id", ["20200101-000000-aaaa", "no such", "../nowhere"])
def test_a_run_that_is_not_there_is_told(id: str) -> None:
    made()
    with pytest.raises(UsageError):
        story.read(id)
    assert run(["audit", "show", id]) == 2


def test_without_any_run_that_is_told() -> None:
    assert run(["audit", "show"]) == 2
