"""Instances and predictions in SWE-bench's format: read, laid out, told; nothing runs here."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.messages import Run
from sandbox.suite import TestResult
from sandbox.swebench import evaluate, instance, predict
from sandbox.swebench.instance import Instance
from tandem.cli import run
from tandem.errors import TandemError, UsageError

CODE = "def double(x):\n    return x + 2\n"
PATCH = """\
--- a/code.py
+++ b/code.py
@@ -1,2 +1,2 @@
 def double(x):
-    return x + 2
+    return x * 2
"""
TEST_PATCH = """\
diff --git a/tests/test_code.py b/tests/test_code.py
new file mode 100644
--- /dev/null
+++ b/tests/test_code.py
@@ -0,0 +1,5 @@
+from code import double
+
+
+def test_double():
+    assert double(3) == 6
"""


@pytest.fixture
def repos(tmp_path: Path) -> Path:
    clone = tmp_path / "repos" / "me__code"
    clone.mkdir(parents=True)
    (clone / "code.py").write_text(CODE)
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one"),
    ):
        subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True)
    return clone.parent


def told(repos: Path, **others: Any) -> dict[str, Any]:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repos / "me__code", capture_output=True, text=True
    )
    return {
        "instance_id": "me__code-1",
        "repo": "me/code",
        "base_commit": done.stdout.strip(),
        "problem_statement": "double adds",
        "test_patch": TEST_PATCH,
        "FAIL_TO_PASS": '["tests/test_code.py::test_double"]',
        "PASS_TO_PASS": [],
        "patch": PATCH,
        **others,
    }


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "instances.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_lists_of_tests_come_as_lists_or_as_json_text(repos: Path, tmp_path: Path) -> None:
    (one,) = instance.read(written(tmp_path, told(repos)))
    assert one.fail_to_pass == ("tests/test_code.py::test_double",)
    assert one.test_files == ["tests/test_code.py"]
    assert Instance.of(one.as_json()) == one


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"repo": 3}, "are texts"),
        ({"base_commit": "HEAD; rm"}, "no commit's hash"),
        ({"FAIL_TO_PASS": "no list"}, "Line 1"),
        ({"PASS_TO_PASS": [3]}, "lists of tests"),
        ({"instance_id": ""}, "are texts"),
    ],
)
def test_what_is_no_instance_is_told_with_its_line(
    repos: Path, tmp_path: Path, others: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match="Line 1") as caught:
        instance.read(written(tmp_path, told(repos, **others)))
    assert why in str(caught.value)


def test_a_missing_field_is_named(repos: Path, tmp_path: Path) -> None:
    row = told(repos)
    del row["test_patch"]
    with pytest.raises(UsageError, match="lacks 'test_patch'"):
        instance.read(written(tmp_path, row))


def test_the_same_id_twice_is_refused(repos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        instance.read(written(tmp_path, told(repos), told(repos)))


@pytest.mark.parametrize("name", ["test_x (a.B)", "../out.py::test", "-p evil::x", "/etc/x.py::t"])
def test_tests_that_pytest_would_not_name_so_are_refused(repos: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no test"):
        Instance.of(told(repos, FAIL_TO_PASS=[name])).test_files  # noqa: B018


def test_a_commit_is_laid_out_from_a_clone(repos: Path, tmp_path: Path) -> None:
    one = Instance.of(told(repos))
    copy = one.laid_out(repos, tmp_path / "copy")
    assert copy.text("code.py") == CODE
    assert instance.changed(one.patch, copy).files == {"code.py": CODE.replace("+", "*")}
    with pytest.raises(UsageError, match="no clone of you/code"):
        Instance.of(told(repos, repo="you/codes")).laid_out(repos, tmp_path / "other")
    with pytest.raises(UsageError, match="no clone"):
        Instance.of(told(repos, repo="../repos")).laid_out(repos, tmp_path / "other")


def test_predictions_are_read_the_later_ones_count(tmp_path: Path) -> None:
    file = tmp_path / "preds.jsonl"
    rows = [{"instance_id": "a", "model_patch": p} for p in ("x", None, "y")]
    file.write_text("\n".join(map(json.dumps, rows)) + '\n{"instance_id": "b", "mod')
    assert instance.read_predictions(file) == {"a": "y"}
    file.write_text('{"instance_id": 3}\n' + json.dumps(rows[0]) + "\n")
    with pytest.raises(UsageError, match="Line 1"):
        instance.read_predictions(file)


def solved(folder: Path, test: str, one: Instance) -> str:
    if one.id == "bad":
        raise TandemError("The sandbox is gone.")
    assert (folder / "code.py").read_text() == CODE
    assert (folder / "tests" / "test_code.py").exists() == bool(test)
    patch = PATCH if "test_double" in test else ""
    return json.dumps({"instance_id": one.id, "model_name_or_path": "t", "model_patch": patch})


def test_each_instance_gets_a_line_and_errors_do_not_end_it(repos: Path, tmp_path: Path) -> None:
    ones = [Instance.of(told(repos, instance_id=id)) for id in ("a", "bad", "c")]
    out = tmp_path / "preds.jsonl"
    done = list(predict.predict(ones, repos, out, solved, oracle_tests=True))
    assert [(one.id, one.patched) for one in done] == [("a", True), ("bad", False), ("c", True)]
    assert done[1].why == "The sandbox is gone."
    assert instance.read_predictions(out) == {"a": PATCH, "bad": "", "c": PATCH}


def test_instances_that_have_a_line_are_passed_over(repos: Path, tmp_path: Path) -> None:
    ones = [Instance.of(told(repos, instance_id=id)) for id in ("a", "b")]
    out = tmp_path / "preds.jsonl"
    list(predict.predict(ones[:1], repos, out, solved, oracle_tests=True))
    with out.open("a") as stream:
        stream.write('{"instance_id": "b", "model_pa')  # a crash cut it off
    done = list(predict.predict(ones, repos, out, solved, oracle_tests=True))
    assert [one.id for one in done] == ["b"]
    assert len(out.read_text().splitlines()) == 2
    assert list(predict.predict(ones, repos, out, solved, oracle_tests=True)) == []


def test_without_oracle_tests_the_fix_sees_none_of_them(repos: Path, tmp_path: Path) -> None:
    one = Instance.of(told(repos))
    (done,) = predict.predict([one], repos, tmp_path / "p.jsonl", solved, oracle_tests=False)
    assert done.why == "no fix was found"


def test_a_test_patch_that_does_not_fit_is_told(repos: Path, tmp_path: Path) -> None:
    one = Instance.of(told(repos, test_patch=PATCH.replace("x + 2", "x - 2")))
    (done,) = predict.predict([one], repos, tmp_path / "p.jsonl", solved, oracle_tests=True)
    assert "does not fit" in done.why


def test_only_when_all_named_tests_pass_is_it_resolved(repos: Path) -> None:
    one = Instance.of(told(repos, FAIL_TO_PASS=["t.py::a"], PASS_TO_PASS=["t.py::b"]))

    def outcome(foreign: int = 0, **ended: Any) -> evaluate.Outcome:
        results = tuple(TestResult(f"t.py::{id}", how, 0.1) for id, how in ended.items())
        return evaluate._outcome(one, Run(results, foreign=foreign))

    assert outcome(a="passed", b="passed").status == "resolved"
    assert outcome(a="passed", b="failed").why == "t.py::b failed"
    assert outcome(a="skipped", b="passed").status == "unresolved"
    assert outcome(b="passed").why == "t.py::a did not run"
    assert "did not come from the runner" in outcome(1, a="passed", b="passed").why
    assert outcome(a="failed").why == "t.py::a failed and 1 more"


def test_the_report_has_the_fields_of_swebench(repos: Path) -> None:
    ones = [Instance.of(told(repos, instance_id=id)) for id in ("a", "b", "c")]
    predictions = {"a": "", "b": "no diff", "other": "x"}
    outcomes = list(evaluate.evaluate(ones, predictions, repos))
    report = evaluate.report(outcomes, predictions, ones)
    assert [one.status for one in outcomes] == ["empty patch", "error", "not predicted"]
    assert report["error_ids"] == ["b"]
    assert report["empty_patch_ids"] == ["a"]
    assert report["incomplete_ids"] == ["c"]
    assert report["submitted_ids"] == ["a", "b", "other"]
    assert report["resolved_instances"] == 0
    assert report["instances"]["b"]["patch_successfully_applied"] is False
    assert "was not applied" in report["instances"]["b"]["reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fix", "--swebench", "FILE", "--oracle-tests"], "--out"),
        (["fix", "--swebench", "FILE", "--oracle-tests", "--out", "OUT"], "--repos"),
        (["fix", "--swebench", "nowhere", "--oracle-tests", "--out", "OUT"], "cannot be read"),
        (["swebench", "evaluate", "gold", "FILE"], "--repos"),
        (["swebench", "evaluate", "nowhere", "FILE", "--repos", "REPOS"], "cannot be read"),
        (["swebench", "evaluate", "gold", "FILE", "--repos", "nowhere"], "no folder"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    repos: Path,
    tmp_path: Path,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"FILE": str(written(tmp_path, told(repos))), "OUT": str(tmp_path / "o.jsonl")}
    names["REPOS"] = str(repos)
    assert run([names.get(word, word) for word in words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
