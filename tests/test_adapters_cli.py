"""`tandem adapters`, as a person runs it: its two streams and its exit code.

In this process where no other is needed: each new one imports for seconds.
"""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from completion import activations, adapters
from tandem import cli, config
from tests import tiny_adapters
from tests.tiny_adapters import Store


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: str = "", cwd: Path | None = None) -> Result:
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "250")
        patch.setattr("sys.stdin", io.StringIO(stdin))
        patch.chdir(cwd or Path.cwd())
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = cli.run(list(arguments))
    return Result(code, out.getvalue(), error.getvalue())


def run_adapters(*arguments: str, **options: Any) -> Result:
    return run("adapters", *arguments, **options)


@pytest.fixture
def store(empty_home: Path) -> Store:
    config.save_user({"model": "tiny"})
    return Store()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / ".git").mkdir(parents=True)
    (folder / "src").mkdir()
    return folder


def weak(store: Store) -> dict[str, Any]:
    figures = tiny_adapters.manifest_of("x", store.base).figures
    return figures | {"gain_low": -0.01, "general_mean": -0.04, "general_low": -0.09}


def test_an_empty_store_says_how_to_fill_it(empty_home: Path) -> None:
    result = run_adapters("list")
    assert (result.returncode, result.stderr) == (0, "")
    assert "tandem tune REPO" in result.stdout
    assert json.loads(run_adapters("list", "--json").stdout) == []


def test_use_list_show_rollback(store: Store, repository: Path) -> None:
    store.add("first", 1, repository)
    store.add("second", 2, repository)
    used = run_adapters("use", "first")
    assert used.returncode == 0, used.stderr
    assert f"{repository} now uses first" in used.stdout
    assert f"tandem adapters rollback --repo {repository}" in used.stdout
    assert run_adapters("use", "second", cwd=repository).returncode == 0

    listed = json.loads(run_adapters("list", "--json").stdout)
    assert [(row["name"], row["state"]) for row in listed] == [
        ("first", "ready"),
        ("second", "ready"),
    ]
    assert [row["in_use_for"] for row in listed] == [[], [str(repository)]]
    assert listed[0]["gate"] == {"passed": True, "refusals": []}
    text = " ".join(run_adapters("list").stdout.split())
    assert "* second ready tiny +5.0 points (+2.0 points to +8.0 points)" in text

    shown = run_adapters("show", "second").stdout
    for word in ("passes", "method lora, rank 4", str(repository), "of the repository", "+5.0"):
        assert word in shown
    data = json.loads(run_adapters("show", "second", "--json").stdout)
    assert data["base_hash"] == store.base.hash
    assert [entry["action"] for entry in data["history"]] == ["use"]

    back = run_adapters("rollback", cwd=repository / "src")
    assert back.stdout == f"{repository} now uses first.\n"
    again = run_adapters("rollback", "--repo", str(repository))
    assert again.stdout == f"{repository} now uses tiny without an adapter.\n"
    empty = run_adapters("rollback", "--repo", str(repository))
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "uses no adapter over tiny" in empty.stderr


def test_as_a_process_it_does_the_same(store: Store, repository: Path) -> None:
    store.add("first", 1, repository)
    for arguments, code in ((["use", "first"], 0), (["list"], 0), (["use", "nobody"], 2)):
        command = [sys.executable, "-m", "tandem", "adapters", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == code, result.stderr
    assert "There is no adapter nobody" in result.stderr
    assert activations.active_for(repository, "tiny") == "first"


def test_the_gate_s_refusal_is_one_line_and_force_is_told(store: Store, repository: Path) -> None:
    store.add("weak", 1, repository, figures=weak(store))
    refused = run_adapters("use", "weak")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    for word in ("The gate refuses weak", "not above zero", "-4.0 points", "--force"):
        assert word in refused.stderr
    assert activations.active_for(repository, "tiny") is None
    forced = run_adapters("use", "weak", "--force")
    assert forced.returncode == 0
    assert "--force overruled the gate: its gain" in forced.stderr
    assert activations.active_for(repository, "tiny") == "weak"
    shown = run_adapters("show", "weak").stdout
    assert "refuses: its gain" in shown
    assert "(--force: its gain" in shown


def test_another_repository_can_be_named(store: Store, repository: Path, tmp_path: Path) -> None:
    store.add("first", 1, repository)
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    used = run_adapters("use", "first", "--repo", str(other))
    assert f"Its figures were taken on {repository}" in used.stderr
    assert activations.active_for(other, "tiny") == "first"
    assert activations.active_for(repository, "tiny") is None


def test_a_folder_that_is_no_repository_is_refused(store: Store, tmp_path: Path) -> None:
    store.add("first", 1, tmp_path / "gone")
    used = run_adapters("use", "first")
    assert used.returncode == 2
    assert "is in no repository. Name one with --repo." in used.stderr


def test_a_stale_adapter_is_listed_with_the_command_that_retunes_it(
    store: Store, repository: Path
) -> None:
    store.add("first", 1, repository)
    run_adapters("use", "first")
    store.change_base()
    result = run_adapters("list")
    assert result.returncode == 0
    assert "stale" in result.stdout
    assert f"Run: tandem tune {repository}" in result.stderr
    used = run_adapters("use", "first", "--force")
    assert used.returncode == 1
    assert "stale" in used.stderr
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    [check] = [check for check in checks if check["name"] == "adapter"]
    assert "stale" in check["detail"]
    assert check["fix"] == f"tandem tune {repository}"


def test_doctor_tells_the_adapters_in_use(store: Store, repository: Path) -> None:
    store.add("first", 1, repository)
    run_adapters("use", "first")
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    [check] = [check for check in checks if check["name"] == "adapter"]
    assert (check["ok"], check["detail"]) == (True, f"{repository} uses first")


def test_damaged_adapters_are_listed_and_can_be_removed(store: Store, repository: Path) -> None:
    (store.add("first", 1, repository).folder / adapters.FILE).write_text("{")
    (store.add("second", 2, repository).folder / "adapter_model.bin").write_bytes(b"")
    listed = json.loads(run_adapters("list", "--json").stdout)
    assert [row["state"] for row in listed] == ["damaged", "unusable"]
    assert "pickle" in listed[1]["reason"]
    assert "first" in run_adapters("list").stdout
    shown = run_adapters("show", "first")
    assert shown.returncode == 1
    assert "tandem adapters remove first" in shown.stderr
    for name in ("first", "second"):
        assert run_adapters("remove", name, "--yes").returncode == 0
    assert adapters.names() == []


def test_remove_asks_and_says_where_it_is_in_use(store: Store, repository: Path) -> None:
    store.add("first", 1, repository)
    run_adapters("use", "first")
    no = run_adapters("remove", "first", stdin="n\n")
    assert no.returncode == 1
    assert f"in use for {repository}" in no.stdout
    assert adapters.names() == ["first"]
    yes = run_adapters("remove", "first", stdin="y\n")
    assert yes.returncode == 0
    assert f"{repository} uses the base model again." in yes.stdout
    assert adapters.names() == []
    assert activations.active_for(repository, "tiny") is None


@pytest.mark.parametrize("command", ["show", "use", "remove"])
@pytest.mark.parametrize("name", ["nobody", "../../config", "a/b"])
def test_an_unknown_name_is_wrong_usage(store: Store, command: str, name: str) -> None:
    options = ["--yes"] if command == "remove" else []
    result = run_adapters(command, name, *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_a_base_that_is_not_installed_is_told(store: Store, repository: Path) -> None:
    folder = store.add("first", 1, repository).folder
    text = (folder / adapters.FILE).read_text()
    (folder / adapters.FILE).write_text(text.replace('"base": "tiny"', '"base": "org/big"'))
    used = run_adapters("use", "first")
    assert used.returncode == 1
    assert "tandem models pull org/big" in used.stderr
    [row] = json.loads(run_adapters("list", "--json").stdout)
    assert row["state"] == "unusable"


def test_uninstall_removes_adapters_too(store: Store, repository: Path) -> None:
    store.add("first", 1, repository)
    run_adapters("use", "first")
    folder = adapters.folder_of("first").parent
    result = run("uninstall", "--yes")
    assert result.returncode == 0, result.stderr
    assert f"{folder}" in result.stdout
    assert not folder.exists()


def test_help_does_not_import_the_heavy_libraries(empty_home: Path) -> None:
    code = (
        "import sys; from tandem import cli; cli.run(['adapters', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'peft', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_list_does_not_import_torch(store: Store) -> None:
    store.add("first", 1)
    code = (
        "import sys; from tandem import cli; cli.run(['adapters', 'list']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
