"""Probes of what stays on the host: each holds, and each tells when its wall is gone."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import allowed, apply, audit, beneath, git, pristine, worktree
from sandbox.patch import Patch
from sandbox.probes import after, bench, incoming, leaving
from sandbox.probes.bench import Broken, Found
from sandbox.probes.table import named
from sandbox.worktree import Snapshot
from tandem import secrets, trace

NOBODY: Any = None  # these probes start no container
Patcher = pytest.MonkeyPatch


NO = allowed.Refusal("", "no")


def judged(name: str) -> Found:
    return named(name).judge(NOBODY)


def follow_links(patch: Patcher) -> None:
    patch.setattr(beneath, "_FOLDER", os.O_RDONLY | os.O_DIRECTORY)
    patch.setattr(apply, "_back_up", lambda *_: "refs/none")


def let_links_out(patch: Patcher) -> None:
    patch.setattr(worktree, "_leads_out", lambda *_: False)
    patch.setattr(worktree, "_is_outside", lambda *_: False)


def clone_instead(patch: Patcher) -> None:
    def cloned(repository: Path, into: Path, commit: str = "") -> Snapshot:
        subprocess.run(
            ["git", "clone", "--quiet", "--no-hardlinks", str(repository), str(into)], check=True
        )
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=into, check=True)
        return Snapshot(into, commit, commit, ("module.py",))

    patch.setattr(worktree, "snapshot", cloned)


def seal_unseen(patch: Patcher) -> None:
    real = audit.verify

    def only_lines(file: Path) -> audit.Verdict:
        found = real(file)
        return audit.Verdict(found.id, found.line == 0, found.lines, found.head)

    patch.setattr(audit, "verify", only_lines)


class Starts:
    """A sandbox that starts whatever it is given."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def close(self) -> None: ...


# Each wall, as the probe's name and what takes it out.
WALLS: list[tuple[str, Callable[[Patcher], None]]] = [
    ("git-programs", lambda patch: patch.setattr(git, "_CONFIG", ())),
    ("git-redirect", lambda patch: patch.setattr(git, "belongs", lambda folder: True)),
    ("git-history", clone_instead),
    ("copy-links", let_links_out),
    ("copy-secrets", lambda patch: patch.setattr(secrets, "is_secret_name", lambda name: False)),
    ("archive-slip", lambda patch: patch.setattr(pristine, "entries", lambda tar: {})),
    ("patch-paths", lambda patch: patch.setattr(beneath, "parts", lambda path: path.split("/"))),
    ("patch-paths", lambda patch: patch.setattr(allowed, "_plain", lambda name: name)),
    ("patch-kinds", lambda patch: patch.setattr(leaving, "parse", lambda diff: (diff,))),
    ("patch-through-link", follow_links),
    ("patch-start-files", lambda patch: patch.setattr(allowed, "_PARTS", ())),
    ("patch-start-files", lambda patch: patch.setattr(allowed, "_shadows", lambda plain: [])),
    ("patch-tests", lambda patch: patch.setattr(allowed, "is_test", lambda path: False)),
    ("hidden-text", lambda patch: patch.setattr(allowed, "flags", lambda *_: [])),
    ("hidden-text", lambda patch: patch.setattr(allowed, "shown", lambda text: text)),
    ("log-secrets", lambda patch: patch.setattr(trace, "scrub", lambda value: value)),
    ("log-secrets", lambda patch: patch.setattr(trace, "_named", lambda key, item: item)),
    ("log-tampering", seal_unseen),
    ("no-image", lambda patch: patch.setattr(after, "Sandbox", Starts)),
]


@pytest.mark.parametrize("name", sorted({name for name, _ in WALLS} - {"no-image"}))
def test_the_attack_fails(name: str, empty_home: Path) -> None:
    found = judged(name)
    assert not found.worked, found.detail
    assert found.detail
    assert "\n" not in found.detail


@pytest.mark.parametrize(("name", "take_out"), WALLS)
def test_the_attack_is_seen_to_work_where_its_wall_is_gone(
    name: str, take_out: Callable[[Patcher], None], empty_home: Path, monkeypatch: Patcher
) -> None:
    take_out(monkeypatch)
    standing: Any = bench.Bench("none", NOBODY)
    assert named(name).judge(standing).worked


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        # Where everything is refused, or nothing is there to be found, a probe says nothing.
        ("patch-paths", lambda patch: patch.setattr(allowed, "MAX_BYTES", 0)),
        ("patch-tests", lambda patch: patch.setattr(allowed, "_reasons", lambda *_: [NO])),
        ("hidden-text", lambda patch: patch.setattr(allowed, "flags", lambda *_: ["no"])),
        ("git-history", lambda patch: patch.setattr(incoming, "everything", lambda folder: b"")),
        (
            "log-tampering",
            lambda patch: patch.setattr(audit, "_chain", lambda *_: (0, "", 1, "no")),
        ),
        ("log-secrets", lambda patch: patch.setattr(trace, "scrub", lambda value: {})),
    ],
)
def test_a_probe_whose_own_control_fails_is_broken(
    name: str, spoil: Callable[[Patcher], None], empty_home: Path, monkeypatch: Patcher
) -> None:
    spoil(monkeypatch)
    with pytest.raises(Broken, match="its control failed"):
        judged(name)


def test_probes_leave_the_users_logs_alone(empty_home: Path) -> None:
    with audit.start("mine") as log:
        log.seal()
    judged("log-tampering")
    judged("log-secrets")
    assert [file.name for file in audit.all_files()] == ["mine.jsonl"]
    assert audit.verify(audit.file_of("mine")).intact


def test_a_daemon_that_is_not_there_is_refused_in_words() -> None:
    found = judged("no-daemon")
    assert not found.worked
    assert "does not answer" in found.detail


def test_what_a_probe_shows_can_be_printed() -> None:
    evil = Patch({"a\x1b[2J.py": "x\n"})
    assert "\x1b" not in str(allowed.refusals(evil, {})[0])
