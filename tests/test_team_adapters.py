"""A team's adapter from `push` on one machine to `pull`, and an editor, on another."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from completion import activations, adapters, identity, signing
from finetune import registry
from tandem import config, trace
from tests import team
from tests.lsp_client import USER_SETTINGS, editors, until
from tests.team import NAME, Team, git, repository
from tests.test_adapters_cli import run_adapters
from tests.wire import wait_until

CODE = "def load(path):\n    return pa"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team.team(tmp_path_factory.mktemp("team")) as made:
        token(made, made.dev)
        config.save_user({"model": "tiny"})
        yield made


def token(ours: Team, home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "gateway-token"
    file.write_text(ours.running.tokens["ann"])
    return file


@pytest.fixture
def colleague(ours: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of somebody else, with the same model and a clone of the repository elsewhere."""
    home = tmp_path / "colleague"
    models = home / "cache" / "models"
    models.mkdir(parents=True)
    shutil.copytree(ours.store.folder, models / "tiny", copy_function=shutil.copy2)
    git(tmp_path, "clone", str(ours.source), "their-clone")
    monkeypatch.setenv("TANDEM_HOME", str(home))
    config.save_user({"model": "tiny"})
    token(ours, home)
    return home


def pushed(ours: Team) -> str:
    """The name here of what was pushed; everything on the tuning developer's machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(ours.dev))
        adapter = ours.adapter()
        registry.activate(adapter.name, ours.source, ours.store.base)
        options = ["--to", ours.running.url, "--token-file", str(ours.dev / "gateway-token")]
        told = run_adapters("push", "--as", NAME, *options, cwd=ours.source)
    assert told.returncode == 0, told.stderr
    assert "engine: loaded" in told.stdout
    return adapter.name


def at(ours: Team, home: Path, flag: str = "--from") -> list[str]:
    return [flag, ours.running.url, "--token-file", str(home / "gateway-token")]


def test_a_repository_is_the_same_on_every_clone(ours: Team, tmp_path: Path) -> None:
    known = identity.of(ours.source)
    assert len(known) == 32
    git(tmp_path, "clone", str(ours.source), "clone")
    clone = tmp_path / "clone"
    git(clone, "remote", "set-url", "origin", "https://ann:secret@host/team/app.git")
    git(clone, "checkout", "-b", "side")
    (clone / "more").mkdir()
    (clone / "more" / "c.py").write_text("c = 1\n")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "more")
    assert identity.of(clone) == identity.of(clone / "more") == known
    git(tmp_path, "clone", "--depth", "1", f"file://{ours.source}", "shallow")
    assert identity.of(tmp_path / "shallow") == ""
    assert identity.of(repository(tmp_path / "other")) not in ("", known)
    assert identity.of(tmp_path) == ""


def test_a_repository_s_own_settings_run_nothing(tmp_path: Path) -> None:
    folder, mark = repository(tmp_path / "evil"), tmp_path / "ran"
    for key in ("core.fsmonitor", "core.pager", "alias.rev-list", "core.sshCommand"):
        git(folder, "config", key, f"!touch {mark}" if key.startswith("alias") else f"touch {mark}")
    assert identity.of(folder)
    assert not mark.exists()


def test_the_key_is_for_its_owner_alone(colleague: Path) -> None:
    told = run_adapters("key")
    assert told.stdout.strip() == signing.own_key()
    file = signing.key_file()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    told = run_adapters("key")
    assert told.returncode != 0
    assert f"chmod 600 {file}" in told.stderr


def test_pull_wants_a_trusted_key_then_installs_and_uses_it(
    ours: Team, colleague: Path, tmp_path: Path
) -> None:
    pushed(ours)
    clone = tmp_path / "their-clone"
    told = run_adapters("pull", *at(ours, colleague), cwd=clone)
    key = next(word for word in told.stderr.split() if word.startswith("ed25519:")).rstrip(",")
    assert told.returncode != 0
    assert f"tandem adapters trust {key} NAME" in told.stderr
    assert adapters.names() == []
    assert not [*Path(adapters.paths.adapters_dir()).glob(".tmp*")]
    assert run_adapters("trust", key, "ann of the team").returncode == 0
    told = run_adapters("pull", *at(ours, colleague), cwd=clone)
    assert told.returncode == 0, told.stderr
    assert "signed by ann of the team" in told.stdout
    (name,) = adapters.names()
    assert name.startswith(f"{NAME}.2")
    assert activations.active_for(clone, "tiny") == name
    assert adapters.read(name).manifest.repository == str(clone)
    again = run_adapters("pull", *at(ours, colleague), cwd=clone)
    assert "it was here already" in again.stdout


def test_pull_takes_an_older_version_only_if_that_is_said(
    ours: Team, colleague: Path, tmp_path: Path
) -> None:
    clone, options = tmp_path / "their-clone", at(ours, colleague)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(ours.dev))
        key = signing.own_key()
    signing.trust(key, "team")
    pushed(ours)
    assert run_adapters("pull", *options, cwd=clone).returncode == 0
    first = activations.active_for(clone, "tiny")
    pushed(ours)
    assert run_adapters("pull", *options, cwd=clone).returncode == 0
    second = activations.active_for(clone, "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(ours.dev))
        told = run_adapters("rollback", NAME, *at(ours, ours.dev, "--at"))
    assert told.returncode == 0, told.stderr
    assert str(first).removeprefix(f"{NAME}.") in told.stdout
    told = run_adapters("pull", *options, cwd=clone)
    assert told.returncode != 0
    assert "add --older" in told.stderr
    assert activations.active_for(clone, "tiny") == second
    assert run_adapters("pull", "--older", *options, cwd=clone).returncode == 0
    assert activations.active_for(clone, "tiny") == first
    assert run_adapters("rollback", cwd=clone).returncode == 0
    assert activations.active_for(clone, "tiny") == second


def test_pull_over_another_base_or_for_another_repository_changes_nothing(
    ours: Team, colleague: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(ours.dev))
        signing_key = signing.own_key()
    signing.trust(signing_key, "team")
    pushed(ours)
    other = repository(tmp_path / "another")
    assert run_adapters("pull", *at(ours, colleague), cwd=other).returncode != 0
    weights = colleague / "cache" / "models" / "tiny" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    told = run_adapters("pull", *at(ours, colleague), cwd=tmp_path / "their-clone")
    assert told.returncode != 0
    assert adapters.names() == []


def test_push_refuses_what_lost_and_says_what_is_missing(ours: Team, colleague: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(ours.dev))
        figures = ours.adapter().manifest.figures | {"gain_low": -0.1}
        lost = ours.adapter(figures=figures).name
        told = run_adapters("push", lost, *at(ours, ours.dev, "--to"))
        assert "The gate refuses" in told.stderr
        told = run_adapters("push", lost)
        assert "Which gateway?" in told.stderr
        told = run_adapters("push", lost, "--to", "http://127.0.0.1:9/v1")
        assert told.returncode != 0
    told = run_adapters("team", *at(ours, colleague, "--at"), "--json")
    assert told.returncode == 0, told.stderr
    assert {row["name"] for row in json.loads(told.stdout)} <= {NAME}


async def test_an_editor_gets_the_team_s_adapter_for_its_clone(
    ours: Team, colleague: Path, tmp_path: Path
) -> None:
    """Over stdio, by the gateway alone: nothing is pulled. A file elsewhere gets the base."""
    pushed(ours)
    wait_until(lambda: NAME in ours.models())
    told = f'model = "tiny"\nendpoint = "{ours.running.url}"\n'
    told += f'token = "{ours.running.tokens["ann"]}"\n'
    config.paths.user_config_file().write_text(told + USER_SETTINGS)
    inside, outside = tmp_path / "their-clone" / "new.py", tmp_path / "alone.py"

    async with editors(colleague) as start:
        editor = await start()
        for file in (outside, inside):
            editor.open(file.as_uri(), CODE)
            await editor.inline(file.as_uri(), 1, 13)

        def models(file: Path) -> list[str]:
            return [event["model"] for event in trace.read() if event["file"] == str(file)]

        def known() -> bool:
            return bool(models(inside)) and models(inside)[-1] == NAME

        while not known():  # the first may not wait for git
            await editor.inline(inside.as_uri(), 1, 13)
        await until(lambda: models(outside) == ["tiny"])
    event = [event for event in trace.read() if event["file"] == str(inside)][-1]
    assert "adapter" not in event["details"]
