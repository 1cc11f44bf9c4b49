"""A run's best patch on its way out: what the rules refuse is neither offered nor written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import accept, audit
from sandbox.fixrun import Order, RunFolder
from tandem.errors import TandemError
from tests.repositories import MadeRepository

OLD = {"a.py": "x = 1\n", "b.py": "y = 1\n"}
DIFF = """--- a/a.py
+++ b/a.py
@@ -1 +1 @@
-x = 1
+x = 2
--- a/b.py
+++ b/b.py
@@ -1 +1 @@
-y = 1
+y = 2
"""


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    made = MadeRepository(tmp_path / "repository")
    made.commit(OLD)
    return made


@pytest.fixture
def run(made: MadeRepository, empty_home: Path) -> RunFolder:
    """A run that has ended with a patch of two files."""
    run = RunFolder.new(Order(str(made.folder)))
    run.copy()
    (run.root / "report.json").write_text(json.dumps({"found": [{"diff": DIFF}]}))
    with audit.start(run.id) as log:
        log.seal()
    return run


def logged(run: RunFolder, event: str) -> list[dict[str, Any]]:
    lines = map(json.loads, audit.file_of(run.id).read_text().splitlines())
    return [line["data"] for line in lines if line["event"] == event]


def test_the_texts_of_all_files_are_offered_and_nothing_is_written(
    run: RunFolder, made: MadeRepository
) -> None:
    texts = accept.offer(run.id, by="an editor")
    assert texts.old == OLD
    assert texts.new == {"a.py": "x = 2\n", "b.py": "y = 2\n"}
    assert logged(run, "offered") == [{"files": ["a.py", "b.py"], "by": "an editor"}]
    assert made.git("status", "--short") == ""
    assert audit.verify(audit.file_of(run.id)).intact


@pytest.mark.parametrize(
    "way",
    [lambda id: accept.offer(id, by="an editor"), lambda id: accept.write(id, accept.Told())],
    ids=["offered", "written"],
)
def test_what_a_rule_refuses_is_told_with_the_reason_and_logged(
    run: RunFolder, made: MadeRepository, way: Callable[[str], Any]
) -> None:
    made.write({".tandem.toml": "[agent]\nprotected = ['/b.py']\n"})
    with pytest.raises(TandemError, match=r"Nothing was applied: b\.py: your settings protect it"):
        way(run.id)
    [decision] = logged(run, "decision")
    assert (decision["yes"], decision["by"], decision["subject"]) == (False, "rules", "a.py, b.py")
    assert (made.folder / "a.py").read_text() == OLD["a.py"]


def test_after_a_yes_all_files_are_written(run: RunFolder, made: MadeRepository) -> None:
    done = accept.write(run.id, accept.Told(), by="a test")
    assert sorted(done.files) == ["a.py", "b.py"]
    assert (made.folder / "b.py").read_text() == "y = 2\n"
    assert logged(run, "applied")[0]["by"] == "a test"
