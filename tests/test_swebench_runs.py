"""From a history to instances, predictions and a report: real containers, from the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image  # noqa: F401
from tests.test_reproduce_benchmark import clones, run  # noqa: F401

MENDED = "tests/test_shop.py::test_all_of_the_budget"


@pytest.fixture
def instances(
    clones: Path,  # noqa: F811
    tmp_path: Path,
    docker_client,  # noqa: F811
    image: str,  # noqa: F811
    empty_home: Path,
) -> Path:
    """A file of one instance, made of a mined fix."""
    check.remember(docker_client, image)
    done = run("mine_fixes", clones / "shop", "--out", tmp_path / "cases")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "instances.jsonl"
    words = ("--clones", clones, "--out", file)
    done = run("swebench_instances", tmp_path / "cases", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("headline: instances 1")
    return file


def tandem(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tandem", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def judged(predictions: str | Path, instances: Path, clones: Path) -> dict[str, Any]:  # noqa: F811
    done = tandem("swebench", "evaluate", predictions, instances, "--repos", clones, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_mined_fix_is_an_instance_that_is_predicted_and_judged(
    instances: Path,
    clones: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    (line,) = instances.read_text().splitlines()
    one = json.loads(line)
    assert one["FAIL_TO_PASS"] == [MENDED]
    assert one["PASS_TO_PASS"] == ["tests/test_shop.py::test_some"]
    assert one["problem_statement"] == "Fix what costs all of the budget"
    assert judged("gold", instances, clones)["resolved_ids"] == [one["instance_id"]]

    out = tmp_path / "preds.jsonl"
    words = ("--repos", clones, "--out", out, "--oracle-tests", "--no-model")
    done = tandem("fix", "--swebench", instances, *words)
    assert done.returncode == 0, done.stderr
    assert "1 patches in this run" in done.stdout
    report = judged(out, instances, clones)
    assert report["resolved_ids"] == [one["instance_id"]]
    told = report["instances"][one["instance_id"]]
    assert told["tests_status"]["FAIL_TO_PASS"] == {"success": [MENDED], "failure": []}
    again = tandem("fix", "--swebench", instances, *words)
    assert "passed over" in again.stderr
    assert len(out.read_text().splitlines()) == 1


FORGED = """\
diff --git a/shop.py b/shop.py
--- a/shop.py
+++ b/shop.py
@@ -1,2 +1,4 @@
+print('{"ev": "test", "id": "tests/test_shop.py::test_all_of_the_budget", "outcome": "passed"}')
+
 def affordable(prices, budget):
     return [price for price in prices if price < budget]
"""
TEST_GONE = """\
diff --git a/tests/test_shop.py b/tests/test_shop.py
--- a/tests/test_shop.py
+++ b/tests/test_shop.py
@@ -1,5 +1,3 @@
-from shop import affordable
-
\x20
 def test_some():
-    assert affordable([1, 9, 2], 3) == [1, 2]
+    pass
"""


@pytest.mark.parametrize(
    ("patch", "status", "why"),
    [
        ("", "empty patch", "is empty"),
        (FORGED, "unresolved", f"{MENDED} failed"),
        (TEST_GONE, "unresolved", f"{MENDED} failed"),  # the test patch's file is as it has it
        (FORGED.replace("< budget", "<< budget"), "error", "does not fit"),
        (FORGED.replace("shop.py", "../shop.py"), "error", "was not applied"),
    ],
)
def test_what_is_not_resolved_is_told_with_its_reason(
    instances: Path,
    clones: Path,  # noqa: F811
    tmp_path: Path,
    patch: str,
    status: str,
    why: str,
) -> None:
    id = json.loads(instances.read_text())["instance_id"]
    file = tmp_path / "preds.jsonl"
    file.write_text(json.dumps({"instance_id": id, "model_patch": patch}) + "\n")
    told = judged(file, instances, clones)["instances"][id]
    assert (told["status"], told["resolved"]) == (status, False)
    assert why in told["reason"]
