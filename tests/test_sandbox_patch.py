"""Patches: text to diff and back, beside the real git; and what may not leave a sandbox."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox import allowed, patch
from sandbox.allowed import flags, is_test, refusals, shown
from sandbox.patch import FileDiff, Patch, PatchError, apply, parse

# Few different lines, so that diffs have context; ends of all kinds, also what splitlines splits at.
line = st.sampled_from(
    ["a", "b", "", "  c", "-- d", "++ e", "\\ f", "@@ g", "é\u2028h", "i\r", "j\x0c"]
)
text = st.builds(
    lambda lines, end: "\n".join(lines) + (end if lines else ""),
    st.lists(line, max_size=25),
    st.sampled_from(["\n", "", "\r\n"]),
)
path = st.sampled_from(["a.py", "src/b.py", "sp ace/c d.py", "é.py"])
old_texts = st.dictionaries(path, text, max_size=4)
new_texts = st.dictionaries(path, st.none() | text, max_size=4)


def meant(old: dict[str, str], new: dict[str, str | None]) -> dict[str, str | None]:
    """What is left of new texts if files that are not there cannot go, and equal ones do not count."""
    return {path: text for path, text in new.items() if old.get(path) != text}


@settings(max_examples=400, deadline=None)
@given(old_texts, new_texts)
@example({"a.py": ""}, {"a.py": None})
@example({}, {"a.py": ""})
@example({"a.py": "x"}, {"a.py": "x\n"})
@example({"a.py": "x\r\n"}, {"a.py": "x\n"})
def test_a_diff_that_is_parsed_and_applied_gives_the_new_texts(
    old: dict[str, str], new: dict[str, str | None]
) -> None:
    diff = Patch(new).diff(old)
    assert apply(parse(diff), old).files == meant(old, new)
    assert apply(parse(diff), old).diff(old) == diff


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(old_texts, new_texts)
def test_git_reads_our_diffs_as_we_mean_them(
    tmp_path: Path, old: dict[str, str], new: dict[str, str | None]
) -> None:
    diff = Patch(new).diff(old)
    folder = tmp_path / str(time.monotonic_ns())
    for name, content in {**old, "keep": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode())
    if diff:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=folder,
            input=diff.encode(),
            env={"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path)},
            check=True,
        )
    for name in {*old, *new}:
        expected = new[name] if name in new else old[name]
        file = folder / name
        assert (file.read_bytes().decode() if file.exists() else None) == expected


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(old=text, new=text)
def test_we_read_gits_diffs(tmp_path: Path, old: str, new: str) -> None:
    folder = tmp_path / str(time.monotonic_ns())
    for side, content in (("a", old), ("b", new)):
        (folder / side).mkdir(parents=True)
        (folder / side / "x.py").write_bytes(content.encode())
    done = subprocess.run(
        [
            "git",
            "-c",
            "core.quotePath=false",
            "diff",
            "--no-index",
            "--no-prefix",
            "a/x.py",
            "b/x.py",
        ],
        cwd=folder,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull},
        check=False,
    )
    diff = done.stdout.decode()
    assert apply(parse(diff), {"x.py": old}).files == ({"x.py": new} if old != new else {})


def test_what_diff_u_writes_is_read() -> None:
    diff = "--- a.py\t2026-01-01 00:00:00.0 +0000\n+++ a.py\t2026-01-02 00:00:00.0 +0000\n@@ -1 +1 @@\n-x\n+y\n"
    assert apply(parse(diff), {"a.py": "x\n"}).files == {"a.py": "y\n"}


def test_far_changes_have_hunks_of_their_own_and_near_ones_share_one() -> None:
    old = "".join(f"{number}\n" for number in range(30))
    near = old.replace("5\n", "five\n", 1).replace("9\n", "nine\n", 1)
    far = old.replace("5\n", "five\n", 1).replace("\n25\n", "\ntwenty-five\n", 1)
    assert Patch({"a": near}).diff({"a": old}).count("@@ -") == 1
    assert Patch({"a": far}).diff({"a": old}).count("@@ -") == 2


def test_a_diff_is_small_where_the_change_is() -> None:
    old = "same\n" * 50_000 + "x\n" + "same\n" * 50_000
    diff = Patch({"a": old.replace("x", "y")}).diff({"a": old})
    assert diff.splitlines()[3:] == [
        "@@ -49998,7 +49998,7 @@",
        *(" same", " same", " same", "-x", "+y", " same", " same", " same"),
    ]


def test_a_huge_change_is_one_hunk() -> None:
    old = {"a": "x\n\n" * 5_000}
    new = Patch({"a": "\ny\n" * 5_000})
    assert new.diff(old).count("@@ -") == 1
    assert apply(parse(new.diff(old)), old).files == new.files


HEAD = "diff --git a/a.py b/a.py\n"
BODY = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n"


@pytest.mark.parametrize(
    ("diff", "why"),
    [
        (f"{HEAD}old mode 100644\nnew mode 100755\n", "permissions"),
        (f"{HEAD}new file mode 120000\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+/etc\n", "link"),
        (f"{HEAD}new file mode 160000\n", "submodule"),
        (f"{HEAD}new file mode 100755\n", "program"),
        (f"{HEAD}new file mode 104755\n", "permissions"),
        (f"{HEAD}index 1..2 120000\n{BODY}", "link"),
        (f"{HEAD}GIT binary patch\nliteral 3\n", "binary"),
        (f"{HEAD}Binary files a/a.py and b/a.py differ\n", "binary"),
        ("diff --git a/a.py b/b.py\nsimilarity index 90%\n", "renames"),
        (f"{HEAD}rename from a.py\nrename to b.py\n", "renames"),
        (f"{HEAD}copy from a.py\ncopy to b.py\n", "copies"),
        ("--- a/a.py\n+++ b/b.py\n@@ -1 +1 @@\n-x\n+y\n", "renames"),
        (f"diff --git a/b.py b/b.py\n{BODY}", "two files"),
        (f"{HEAD}new file mode 100644\n{BODY}", "disagree"),
        ('--- "a/\\t.py"\n+++ "b/\\t.py"\n@@ -1 +1 @@\n-x\n+y\n', "quoted"),
        (f"Here is the fix:\n{BODY}", "beginning"),
        (f"{BODY}Hope this helps!\n", "beginning"),
        (HEAD, "nothing"),
        (f"{HEAD}index 1..2\n", "nothing"),
        (f"{HEAD}evil line\n{BODY}", "no line of a diff"),
        ("--- a/a.py\n", "\\+\\+\\+"),
        ("--- a/a.py\n@@ -1 +1 @@\n", "\\+\\+\\+"),
        ("--- a/a.py\n+++ b/a.py\n", "nothing"),
        ("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-x\n+y\n", "no file"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-x\n+y\n", "ends within"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1,2 +1 @@\n-x\n+y\n+z\n-w\n", "other lines"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\nx\n", "no line of a hunk"),
        ("--- a/a.py\n+++ b/a.py\n@@ -x +1 @@\n-x\n+y\n", "header"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1,99999999999 +1 @@\n", "header"),
        (f"{BODY}{BODY}", "twice"),
    ],
)
def test_what_is_more_than_text_of_plain_files_is_refused(diff: str, why: str) -> None:
    with pytest.raises(PatchError, match=why) as caught:
        parse(diff)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab -+@\\/\n,01", max_size=60), st.integers(0, 90))
def test_any_text_is_a_diff_or_is_refused(noise: str, at: int) -> None:
    diff = f"{HEAD}{BODY}"
    for one in (noise, diff[:at] + noise + diff[at:], diff[:at] + noise):
        try:
            found = parse(one)
        except PatchError:
            continue
        assert all(isinstance(file, FileDiff) for file in found)


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ({}, "There is no"),
        ({"a.py": "z\n"}, "does not fit 'a.py' at line 1"),
        ({"a.py": "x"}, "does not fit"),
        ({"a.py": ""}, "does not fit"),
    ],
)
def test_a_diff_of_other_text_is_refused(old: dict[str, str], why: str) -> None:
    with pytest.raises(PatchError, match=why):
        apply(parse(BODY), old)


def test_a_new_file_goes_over_none_and_a_removed_one_is_known_whole() -> None:
    made = Patch({"n.py": "x\n"}).diff({})
    with pytest.raises(PatchError, match="there already"):
        apply(parse(made), {"n.py": ""})
    gone = Patch({"n.py": None}).diff({"n.py": "x\n"})
    with pytest.raises(PatchError, match="not be empty"):
        apply(parse(gone), {"n.py": "x\nmore\n"})


def test_hunks_out_of_order_are_refused() -> None:
    old = {"a.py": "".join(f"{number}\n" for number in range(20))}
    hunks = "@@ -15 +15 @@\n-14\n+x\n", "@@ -2 +2 @@\n-1\n+y\n"
    with pytest.raises(PatchError, match="overlap"):
        apply(parse("--- a/a.py\n+++ b/a.py\n" + "".join(hunks)), old)


def test_text_without_end_stays_at_the_end() -> None:
    diff = f"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n{patch.NO_END}\n"
    with pytest.raises(PatchError, match="no end"):
        apply(parse(diff), {"a.py": "x\nz\n"})


def reasons(
    new: dict[str, str | None], old: dict[str, str] | None = None, **options: object
) -> str:
    return "; ".join(map(str, refusals(Patch(new), old or {}, **options)))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "src/app.py",
            "README.md",
            "pkg/testing.py",
            "contest.py",
            "latest/api.py",
            "src/gitlog.py",
        ),
        *(
            "pkg/types.py",
            "src/pkg/json.py",
            "a.b/c-d.js",
            "café.py",
            "secrets.py",
            "src/specifier.py",
        ),
    ],
)
def test_plain_source_may_leave(name: str) -> None:
    assert reasons({name: "x = 1\n"}, {name: "x = 0\n"}) == ""
    if "/" in name and name != "secrets.py":
        assert reasons({name: "x = 1\n"}) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *(
            (name, "leads out")
            for name in ("/etc/passwd", "../x.py", "a/../../x.py", "a//b.py", "./a.py")
        ),
        *((name, "leads out") for name in ("", "a/", "a/./b.py", "a\0b.py")),
        *(
            (name, "characters")
            for name in (
                "a\nb.py",
                "a\x1b[31m.py",
                "a\\..\\b.py",
                'quo"te.py',
                "a\u202eyp.b",
                "x" * 1_100,
            )
        ),
        *(
            (name, "git's own")
            for name in (".git/hooks/pre-commit", "sub/.git/config", ".gitattributes")
        ),
        *((name, "git's own") for name in (".gitmodules", ".gitignore", ".git-credentials")),
        *(
            (name, "git's own")
            for name in (".GIT/config", ".git./config", "git~1/config", ".git::$INDEX/x")
        ),
        *((name, "git's own") for name in ("．ｇｉｔ/config",)),
        *(
            (name, "Python or pytest")
            for name in ("conftest.py", "src/ConfTest.py", "sitecustomize.py")
        ),
        *(
            (name, "Python or pytest")
            for name in ("usercustomize.py", "lib/x.pth", "x.dist-info/entry_points.txt")
        ),
        *(
            (name, "build or of the tests")
            for name in ("pytest.ini", "tox.ini", "setup.py", "pyproject.toml")
        ),
        *(
            (name, "build or of the tests")
            for name in ("Makefile", "package.json", "build.rs", "go/build.gradle")
        ),
        *(
            (name, "of CI")
            for name in (".circleci/config.yml", "Jenkinsfile", ".github/workflows/ci.yml")
        ),
        *((name, "of CI") for name in (".gitlab-ci.yml", ".travis.yml")),
        *((name, "git runs") for name in (".husky/pre-commit", ".pre-commit-config.yaml")),
        *(
            (name, "build or of the tests")
            for name in (
                "go.mod",
                "Cargo.toml",
                "requirements/dev.txt",
                "vite.config.ts",
                "uv.lock",
            )
        ),
        *(
            (name, "an editor")
            for name in (".vscode/tasks.json", ".idea/x.xml", ".envrc", ".devcontainer/x.json")
        ),
        *(
            (name, "an editor")
            for name in ("Dockerfile", ".dir-locals.el", ".tandem.toml", "x.code-workspace")
        ),
        *(
            (name, "agents")
            for name in ("AGENTS.md", "CLAUDE.md", ".cursorrules", ".cursor/rules/x.mdc")
        ),
        *(
            (name, "binary")
            for name in ("x.so", "__pycache__/a.cpython-311.pyc", "model.pkl", "a.whl")
        ),
        *((name, "secrets") for name in (".env", "deploy.pem", "id_rsa")),
        *(
            (name, "in place of")
            for name in ("json.py", "src/random.py", "unittest/__init__.py", "pytest.py")
        ),
        *((name, "in place of") for name in ("_pytest/__init__.py", "Coverage.py")),
    ],
)
def test_what_runs_by_itself_may_not_leave(name: str, why: str) -> None:
    assert why in reasons({name: "x\n"})


GRANTABLE = ("tests/test_a.py", "pyproject.toml", "uv.lock", ".github/workflows/ci.yml")
NEVER = ("conftest.py", ".git/hooks/pre-commit", ".husky/x", "AGENTS.md", ".env", "x.so", "../x.py")


@pytest.mark.parametrize("name", GRANTABLE)
def test_a_person_may_let_tests_builds_and_ci_out(name: str) -> None:
    patch = Patch({name: "x\n"})
    assert [one.can_grant for one in refusals(patch, {})] == [True]
    assert refusals(patch, {}, judges=[name], granted=[name]) == []
    assert refusals(patch, {}, granted=["a.py"]) != []


@pytest.mark.parametrize("name", NEVER)
def test_nobody_may_let_out_what_runs_by_itself(name: str) -> None:
    found = refusals(Patch({name: "x\n"}), {}, granted=[name])
    assert found
    assert not any(one.can_grant for one in found)


def test_what_is_granted_is_still_looked_at() -> None:
    found = refusals(Patch({"tests/test_a.py": "x\x1b\n"}), {}, granted=["tests/test_a.py"])
    assert "control character" in str(found[0])


def test_a_file_that_is_there_may_be_named_as_a_module_of_the_standard_library() -> None:
    assert reasons({"random.py": "x\n"}, {"random.py": "y\n"}) == ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "test_a.py",
            "a_test.go",
            "tests/helper.py",
            "pkg/test/data.json",
            "a.test.ts",
            "x.spec.js",
        ),
        *(
            "python_testcases/load.py",
            "__tests__/a.js",
            "src/foo_spec.rb",
            "FooTest.java",
            "tests.py",
        ),
        *("Test/x.cs", "spec/fixtures/y.yml", "testdata/x.golden"),
    ],
)
def test_tests_may_not_be_changed_by_what_they_judge(name: str) -> None:
    assert is_test(name)
    assert "a test may not be changed" in reasons({name: "x\n"}, {name: "y\n"})
    assert "a test may not be changed" in reasons({name: None}, {name: "y\n"})
    assert reasons({name: "x\n"}, {name: "y\n"}, tests_judge=False) == ""


@pytest.mark.parametrize(
    "name", ["src/latest.py", "contest/a.py", "attest.py", "testify.py", "a/protest.c"]
)
def test_other_names_are_no_tests(name: str) -> None:
    assert not is_test(name)


def test_what_judges_is_refused_whatever_its_name() -> None:
    assert "judges" in reasons(
        {"check/data.json": "x\n"}, {"check/data.json": "y\n"}, judges={"check/data.json"}
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SRC/app.py", "only in how it is written"),
        ("src/ａpp.py", "only in how it is written"),
        ("src", "a folder has this name"),
        ("src/app.py/x.py", "a file is where its folder would be"),
    ],
)
def test_a_new_name_is_not_an_alias_of_one_that_is_there(name: str, why: str) -> None:
    assert why in reasons({name: "x\n"}, {"src/app.py": ""})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\0b\n", "control character \\u0000"),
        ("print('\x1b[2J')\n", "control character \\u001b"),
        ("x\x9b31m\n", "control character \\u009b"),
        ("x = '" + "y" * 6_000 + "'\n", "characters"),
        ("half \ud800\n", "not UTF-8"),
    ],
)
def test_what_is_no_plain_text_may_not_leave(text: str, why: str) -> None:
    assert why in reasons({"a.py": text}, {"a.py": "x\n"})


def test_a_control_character_that_is_there_already_may_stay() -> None:
    assert reasons({"a.py": "\x1b[0m\ny\n"}, {"a.py": "\x1b[0m\nx\n"}) == ""


def test_too_many_and_too_much_is_refused() -> None:
    many = {f"src/{number}.py": "x\n" for number in range(allowed.MAX_FILES + 1)}
    assert "more than 20 files" in reasons(dict(many))
    much = "x = 1\n" * 40_000
    assert "more than 200,000 bytes" in reasons({"a.py": much})
    assert "more than 200,000 bytes" in reasons({"a.py": much}, {"a.py": ""})
    assert reasons({"a.py": much + "y\n"}, {"a.py": much}) == ""
    assert "nothing is changed" in reasons({"a.py": "x"}, {"a.py": "x"})


def test_unchanged_files_are_no_reason() -> None:
    old = {"conftest.py": "x\n", "a.py": "x\n"}
    assert reasons({"conftest.py": "x\n", "a.py": "y\n"}, old) == ""


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("if access == 'user\u202e \u2066// admin\u2069 \u2066':\n", "\\u202e turns text around"),
        ("x\u200by = 1\n", "\\u200b cannot be seen"),
        ("x = '\u3164'\n", "\\u3164 cannot be seen"),
        ("x = 'a\U000e0041b'\n", "\\U000e0041 cannot be seen"),
        ("\ufeffx = 1\n", "\\ufeff cannot be seen"),
        ("pаss = 1\n", "'pаss' mixes alphabets"),
        ("x = 1\u2028y = 2\n", "\\u2028 cannot be seen"),
    ],
)
def test_what_hides_in_added_lines_is_flagged(line: str, what: str) -> None:
    found = flags(Patch({"a.py": f"# fine\n{line}"}), {"a.py": "# fine\n"})
    assert what in [one.what for one in found]
    assert {(one.path, one.line) for one in found} == {("a.py", 2)}
    assert flags(Patch({"a.py": f"{line}new\n"}), {"a.py": line}) == []


def test_plain_text_of_all_languages_is_not_flagged() -> None:
    fine = "x = 'naïve Привет 你好 שלום'  # ≤ → 🎉\n"
    assert flags(Patch({"a.py": fine, "gone.py": None}), {"gone.py": "x"}) == []


def test_a_terminal_is_not_told_what_to_do() -> None:
    evil = "+\x1b]0;title\x07\x1b[2Jx\u202e\u200b\ufeff\r\x9b1A\n\t+fine é\n"
    told = shown(evil)
    assert (
        told
        == "+\\u001b]0;title\\u0007\\u001b[2Jx\\u202e\\u200b\\ufeff\\u000d\\u009b1A\n\t+fine é\n"
    )


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_what_is_shown_has_nothing_hidden(text: str) -> None:
    told = shown(text)
    assert all(c.isprintable() or c in "\n\t" for c in told)
    assert not any(allowed._is_hidden(c) or c == "\x1b" for c in told)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="./ab\\~gitGIT\u200d", max_size=12))
def test_any_path_is_judged(name: str) -> None:
    told = reasons({name: "x\n"}, {"src/app.py": ""})
    if name.startswith("/") or ".." in name.split("/") or ".git" in name.lower().split("/"):
        assert told
