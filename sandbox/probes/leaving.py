"""Probes of what may leave a sandbox: patches, what is shown of them, and how they are written."""

import contextlib
from collections.abc import Mapping

from sandbox import allowed, apply
from sandbox.patch import Patch, PatchError, parse
from sandbox.probes.bench import Bench, Found, expect
from sandbox.probes.places import a_folder, repository
from tandem.errors import TandemError


def _refused(files: Mapping[str, str], old: Mapping[str, str]) -> Found:
    """Whether each is refused by itself; a plain source file must not be."""
    expect(
        not allowed.refusals(Patch({"src/app.py": "x = 1\n"}), {}), "plain source is refused too"
    )
    let = [p for p, text in files.items() if not allowed.refusals(Patch({p: text}), old)]
    told = ", ".join(map(allowed.shown, let))
    return Found(
        bool(let), f"may leave: {told}" if let else f"{len(files)} of {len(files)} refused"
    )


def patch_paths(bench: Bench) -> Found:
    names = (
        "../x.py",
        "/etc/x.py",
        "a/../../x.py",
        "a//x.py",
        "./x.py",
        "a\\..\\x.py",
        "SRC/app.py",
    )
    names += (
        ".git/hooks/pre-commit",
        ".GIT/config",
        "git~1/config",
        ".g\u200dit/config",
        "a\0.py",
        "src",
    )
    return _refused(dict.fromkeys(names, "x\n"), {"src/app.py": "x\n"})


def patch_kinds(bench: Bench) -> Found:
    """Links, permissions, renames, submodules and binaries in a diff."""
    head = "diff --git a/m.py b/m.py\n"
    body = "--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-x\n+y\n"
    expect(len(parse(head + body)) == 1, "a plain diff is refused too")
    evil = (
        f"{head}new file mode 120000\n--- /dev/null\n+++ b/m.py\n@@ -0,0 +1 @@\n+/etc/passwd\n",
        f"{head}old mode 100644\nnew mode 104755\n{body}",
        f"{head}new file mode 160000\n",
        f"{head}GIT binary patch\nliteral 1\n",
        "diff --git a/m.py b/n.py\nsimilarity index 100%\nrename from m.py\nrename to n.py\n",
        '--- "a/../m.py"\n+++ "b/../m.py"\n@@ -1 +1 @@\n-x\n+y\n',
    )
    taken = 0
    for diff in evil:
        with contextlib.suppress(PatchError):
            parse(diff)
            taken += 1
    return Found(
        taken > 0, f"{taken} of {len(evil)} were read" if taken else f"{len(evil)} are refused"
    )


def patch_start_files(bench: Bench) -> Found:
    names = ("conftest.py", "src/conftest.py", "sitecustomize.py", "usercustomize.py", "x.pth")
    names += (
        "pytest.ini",
        "tox.ini",
        "setup.cfg",
        "setup.py",
        "pyproject.toml",
        "Makefile",
        "json.py",
    )
    names += (
        ".github/workflows/ci.yml",
        ".gitattributes",
        ".gitmodules",
        ".vscode/tasks.json",
        ".envrc",
    )
    names += ("pytest.py", "AGENTS.md", ".pre-commit-config.yaml", "package.json", "a.so", ".env")
    return _refused(dict.fromkeys(names, "x\n"), {})


def patch_tests(bench: Bench) -> Found:
    names = (
        "tests/test_a.py",
        "test_a.py",
        "a_test.py",
        "tests/data.json",
        "a.spec.ts",
        "pkg/tests/x.py",
    )
    old: dict[str, str] = dict.fromkeys(names, "assert True\n")
    return _refused(dict.fromkeys(names, "pass\n"), old)


def patch_hidden_text(bench: Bench) -> Found:
    """Escapes, text that is turned around, and characters that cannot be seen, in a shown diff."""
    evil = (
        "\u202eevil\u202c",
        "a\u200bb",
        "\ufeffx",
        "p\u0430ss",
        "a\U000e0041b",
        "x\u2066y\u2069",
    )
    plain = allowed.flags(Patch({"a.py": "x = 'naïve'\n"}), {})
    expect(not plain, "plain text is flagged too")
    missed = [ascii(one) for one in evil if not allowed.flags(Patch({"a.py": f"{one}\n"}), {})]
    shown = allowed.shown("".join(evil) + "\x1b]0;title\x07\x1b[2J\x9b1A\r")
    missed += [ascii(c) for c in shown if not c.isprintable()]
    return Found(
        bool(missed),
        f"missed: {', '.join(missed)}" if missed else f"{len(evil)} flagged, escapes spelled out",
    )


def write_through_link(bench: Bench) -> Found:
    """A folder that has become a link by the time that the patch is written."""
    with a_folder() as folder:
        made = repository(folder)
        (made / "src").mkdir()
        (made / "src/a.py").write_text("x\n")
        outside = folder / "outside"
        outside.mkdir()
        (outside / "a.py").write_text("x\n")
        (made / "src/a.py").unlink()
        (made / "src").rmdir()
        (made / "src").symlink_to(outside)
        expect((made / "src/a.py").read_text() == "x\n", "the link leads nowhere")
        with contextlib.suppress(TandemError):
            apply.apply(
                made, Patch({"src/a.py": "evil\n", "src/b.py": "evil\n"}), {"src/a.py": "x\n"}
            )
        if (outside / "a.py").read_text() != "x\n" or (outside / "b.py").exists():
            return Found(True, "a file outside was written")
    return Found(False, "a link on the way is an error, for reading and for writing")
