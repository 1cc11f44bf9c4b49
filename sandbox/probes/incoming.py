"""Probes of how a repository comes in: what git would run, what is copied, what leads out.

Each first shows that the attack works on who is not careful.
"""

import contextlib
import io
import re
import subprocess
import tarfile

from sandbox import apply, pristine, worktree
from sandbox.patch import Patch
from sandbox.probes.bench import Bench, Found, expect
from sandbox.probes.places import SECRET, a_folder, everything, plain_git, repository
from tandem.errors import UsageError


def git_programs(bench: Bench) -> Found:
    with a_folder() as folder:
        made = repository(folder)
        sign, program = folder / "ran", folder / "program"
        program.write_text(f"#!/bin/sh\ntouch {sign}\ncat\n")
        program.chmod(0o755)
        (made / ".gitattributes").write_text("* filter=evil diff=evil\n")
        for name in ("post-index-change", "reference-transaction", "post-checkout", "pre-commit"):
            (made / ".git/hooks").mkdir(exist_ok=True)
            (made / ".git/hooks" / name).write_text(program.read_text())
            (made / ".git/hooks" / name).chmod(0o755)
        names = ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "gpg.program")
        names += (
            "filter.evil.clean",
            "filter.evil.smudge",
            "filter.evil.process",
            "alias.ls-files",
        )
        names += ("diff.evil.textconv", "credential.helper", "core.alternateRefsCommand")
        config = made / ".git/config"
        with config.open("a") as stream:
            for name in names:
                section, key = name.rsplit(".", 1)
                head = re.sub(r"^(\w+)\.(.+)$", r'\1 "\2"', section)
                stream.write(f"[{head}]\n\t{key} = {program}\n")
        copy = worktree.snapshot(made, folder / "copy")
        worktree.snapshot(made, folder / "head", "HEAD")
        patch = Patch({"module.py": "value = 2\n"})
        done = apply.apply(made, patch, {"module.py": copy.text("module.py")})
        apply.undo(made, done.id)
        if sign.exists():
            return Found(True, "a program that the repository names ran on the host")
        with contextlib.suppress(subprocess.CalledProcessError):
            plain_git(made, "status")
        expect(sign.exists(), "plain git runs nothing here")
    return Found(
        False, f"none of {len(names)} settings and 4 hooks ran; plain git status runs some"
    )


def git_folder_redirect(bench: Bench) -> Found:
    """A `.git` file that names another repository of the user's."""
    with a_folder() as folder:
        private, evil = repository(folder), folder / "evil"
        (private / "private.txt").write_text(SECRET)
        plain_git(private, "add", ".")
        plain_git(private, "commit", "--quiet", "--message", "private")
        evil.mkdir()
        (evil / ".git").write_text(f"gitdir: {private}/.git\n")
        expect(b"private.txt" in plain_git(evil, "ls-tree", "HEAD"), "git does not follow it")
        try:
            worktree.snapshot(evil, folder / "copy", "HEAD")
        except UsageError:
            return Found(False, "refused: the folder that it names does not name it back")
    return Found(True, "another repository's files were copied")


def git_history(bench: Bench) -> Found:
    """Find the later fix in the copy: objects, refs, reflog, stash, alternates."""
    with a_folder() as folder:
        made = repository(folder)
        base = plain_git(made, "rev-parse", "HEAD").decode().strip()
        (made / "module.py").write_text(f"value = '{SECRET}'\n")
        plain_git(made, "commit", "--all", "--quiet", "--message", SECRET)
        copy = worktree.snapshot(made, folder / "copy", base)
        expect(SECRET.encode() in everything(made), "the original does not have it either")
        if SECRET.encode() in everything(copy.root):
            return Found(True, "the later fix is in the copy")
        refs = plain_git(copy.root, "for-each-ref") + plain_git(copy.root, "reflog")
        commits = plain_git(copy.root, "rev-list", "--all", "HEAD").split()
        if refs or len(commits) != 1:
            return Found(True, f"{len(commits)} commits, refs: {refs[:80]!r}")
    return Found(False, "one commit, no refs, no reflog, none of the later text")


def snapshot_links(bench: Bench) -> Found:
    with a_folder() as folder:
        made = repository(folder)
        (folder / "private").mkdir()
        (folder / "private/key.txt").write_text(SECRET)
        (made / "here").symlink_to(".")
        links = {"out": "../private/key.txt", "absolute": str(folder / "private/key.txt")}
        links |= {"around": "here/../private/key.txt", "folder": "../private"}
        for name, target in links.items():
            (made / name).symlink_to(target)
        expect((made / "around").read_text() == SECRET, "the link leads nowhere")
        copy = worktree.snapshot(made, folder / "deep/er/copy")
        if SECRET.encode() in everything(copy.root) or set(links) & set(copy.files):
            return Found(True, "a file outside came along")
    return Found(False, f"{len(links)} links that lead out were left out")


def snapshot_secrets(bench: Bench) -> Found:
    with a_folder() as folder:
        made = repository(folder)
        names = (".env", "deploy.pem", "id_rsa", ".netrc", ".npmrc", "config/credentials.json")
        for name in names:
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_text(SECRET)
        copy = worktree.snapshot(made, folder / "copy")
        if SECRET.encode() in everything(copy.root):
            return Found(True, "a secret file came along")
        told = {path for path, _ in copy.left_out}
    return Found(not set(names) <= told, f"{len(names)} secret files left out and told")


def archive_slip(bench: Bench) -> Found:
    """Names in an archive that lead out of the folder it is for, links to write through, devices."""
    taken = []
    for name, kind in (
        ("../x", tarfile.REGTYPE),
        ("/x", tarfile.REGTYPE),
        ("a/../../x", tarfile.REGTYPE),
        ("hard", tarfile.LNKTYPE),
        ("device", tarfile.BLKTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as archive:
            expect(name in archive.getnames(), f"no archive can hold {name}")
        with contextlib.suppress(ValueError):
            pristine.entries(buffer.getvalue())
            taken.append(name)
    return Found(bool(taken), f"taken: {', '.join(taken)}" if taken else "6 kinds are refused")
