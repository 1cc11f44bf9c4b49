"""What an agent may change and read; the settings and a person's yes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.policy import Policy
from sandbox.ruling import Answer, Ruling
from sandbox.twice import flags
from tandem.sections import AgentConfig

FILES = ("app.py", "src/core.py", "src/keys/store.py", "tests/test_app.py", "pyproject.toml")
AWS = "AKIA" + "Q3EXYZABCDEF2345"


def policy(
    *, judges: tuple[str, ...] = (), own: tuple[str, ...] = (), **settings: object
) -> Policy:
    return Policy(AgentConfig(**settings), FILES, judges, own)  # pyright: ignore[reportArgumentType]


def changed(path: str, after: str | None = "x = 2\n", **settings: list[str]) -> Ruling:
    before = "x = 1\n" if path in FILES else None
    return Policy(AgentConfig.model_validate(settings), FILES).change(path, before, after)


@pytest.mark.parametrize("path", ["app.py", "src/core.py", "src/new.py", "docs/a.md", "README.md"])
def test_source_may_be_changed(path: str) -> None:
    assert changed(path) == Ruling()


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_app.py",
        "tests/new_test.py",
        "pyproject.toml",
        "uv.lock",
        "requirements.txt",
        "package.json",
        "package-lock.json",
        "go.mod",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "setup.py",
        "Makefile",
        "jest.config.js",
    ],
)
def test_tests_ci_locks_and_dependencies_are_asked_about(path: str) -> None:
    found = changed(path)
    assert found.answer is Answer.ASK
    assert path in found.reasons[0]


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "/etc/passwd",
        "a/../../b",
        "",
        ".git/hooks/pre-commit",
        ".git/config",
        "src/.GIT/config",
        ".gitattributes",
        "conftest.py",
        "tests/conftest.py",
        "sitecustomize.py",
        "x.pth",
        ".husky/pre-commit",
        ".pre-commit-config.yaml",
        ".vscode/tasks.json",
        ".envrc",
        ".env",
        "id_rsa",
        "AGENTS.md",
        ".tandem.toml",
        "json.py",
        "APP.py",
        "app.py/x",
        "a\nb.py",
        "a.so",
    ],
)
def test_what_runs_by_itself_or_leads_out_is_refused(path: str) -> None:
    assert changed(path).answer is Answer.REFUSE


def test_a_test_that_judges_is_asked_about_whatever_its_name() -> None:
    assert policy(judges=("src/core.py",)).change("src/core.py", "a\n", "b\n").answer is Answer.ASK


def test_a_new_test_that_was_ordered_needs_no_question_but_an_old_one_does() -> None:
    ours = policy(own=("tests/test_issue.py", "tests/test_app.py"))
    assert ours.change("tests/test_issue.py", None, "x\n") == Ruling()
    assert ours.change("tests/test_app.py", "x\n", "y\n").answer is Answer.ASK
    assert ours.patch({"tests/test_issue.py": "x\n"}, {}) == Ruling()
    assert ours.patch({"tests/test_app.py": "y\n"}, {"tests/test_app.py": "x\n"}) != Ruling()
    assert policy(own=("conftest.py",)).change("conftest.py", None, "x\n").answer is Answer.REFUSE


def test_removal_is_asked_about() -> None:
    found = changed("app.py", None)
    assert (found.answer, found.reasons) == (Answer.ASK, ("app.py: the file would be removed",))
    rules = policy()
    assert rules.patch({"app.py": None}, {"app.py": "x\n"}).answer is Answer.REFUSE
    assert rules.patch({"app.py": None}, {"app.py": "x\n"}, ["app.py"]) == Ruling()


def test_nothing_changed_is_no_change() -> None:
    assert changed("app.py", "x = 1\n").answer is Answer.REFUSE


@pytest.mark.parametrize("path", ["src/keys/store.py", "src/keys/new.py", "src/Keys/new.py"])
def test_what_the_settings_protect_is_refused(path: str) -> None:
    found = changed(path, protected=["/src/keys/"])
    assert found.answer is Answer.REFUSE
    assert "your settings protect it" in found.reasons[0]
    assert changed("src/core.py", protected=["/src/keys/"]) == Ruling()


def test_what_is_not_among_the_allowed_is_refused() -> None:
    assert changed("src/core.py", allowed=["/src/"]) == Ruling()
    assert changed("app.py", allowed=["/src/"]).answer is Answer.REFUSE
    found = changed("src/keys/x.py", allowed=["/src/"], protected=["keys/"])
    assert found.answer is Answer.REFUSE


def test_a_secret_may_not_come_into_a_file() -> None:
    found = changed("app.py", f"x = '{AWS}'\n")
    assert found.answer is Answer.REFUSE
    assert AWS not in str(found)
    was = f"x = '{AWS}'\ny = 1\n"
    assert policy().change("app.py", was, was.replace("1", "2")) == Ruling()


def test_what_was_hidden_from_the_model_is_not_overwritten() -> None:
    was = f"x = '{AWS}'\n"
    found = policy().change("app.py", was, "x = 'REDACTED'\ny = 2\n")
    assert "written over" in found.reasons[0]


@pytest.mark.parametrize("text", ["a\x1b[2J\n", "a\x00\n", "a" * 6_000, "\ud800"])
def test_text_that_cannot_be_shown_is_refused(text: str) -> None:
    assert changed("app.py", text).answer is Answer.REFUSE


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("app.py", Answer.ALLOW),
        ("tests/test_app.py", Answer.ALLOW),
        (".env", Answer.REFUSE),
        ("deploy/id_rsa", Answer.REFUSE),
        ("../x", Answer.REFUSE),
        ("/root/.ssh/id_rsa", Answer.REFUSE),
        (".git/config", Answer.REFUSE),
        (".env/x", Answer.REFUSE),
    ],
)
def test_secrets_and_what_is_outside_are_not_read(path: str, answer: Answer) -> None:
    assert policy().read(path).answer is answer


def test_a_patch_is_looked_at_again_and_what_nobody_granted_is_refused() -> None:
    old = {"app.py": "x\n", "tests/test_app.py": "x\n"}
    new: dict[str, str | None] = {"app.py": "y\n", "tests/test_app.py": "y\n"}
    rules = policy()
    found = rules.patch(new, old)
    assert (found.answer, len(found.reasons)) == (Answer.REFUSE, 1)
    assert rules.patch(new, old, ["tests/test_app.py"]) == Ruling()
    assert rules.patch({".git/config": "x\n"}, {}, [".git/config"]).answer is Answer.REFUSE
    assert rules.patch({"app.py": f"k = '{AWS}'\n"}, old, ["app.py"]).answer is Answer.REFUSE
    assert policy(protected=["app.py"]).patch({"app.py": "y\n"}, old).answer is Answer.REFUSE
    assert rules.patch({}, old).answer is Answer.REFUSE


def flagged(line: str) -> list[str]:
    return [one.what for one in flags({"app.py": f"x\n{line}\n"}, {"app.py": "x\n"})]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("os.system('ls')", "starts a program"),
        ("subprocess.run(cmd)", "starts a program"),
        ("require('child_process')", "starts a program"),
        ("exec.Command(name)", "starts a program"),
        ("urllib.request.urlopen(u)", "reaches the network"),
        ("fetch ('/x')", "reaches the network"),
        ("u = 'https://example.com'", "reaches the network"),
        ("eval(text)", "runs text as code"),
        ("__import__('o' + 's')", "runs text as code"),
        ("pickle.loads(data)", "runs text as code"),
        ("base64.b64decode(x)", "decodes what cannot be read"),
        ("x = '" + "A" * 130 + "'", "decodes what cannot be read"),
        ("os.environ['KEY']", "reads the environment or a home folder"),
        ("open('~/.ssh/id_rsa')", "reads the environment or a home folder"),
        ("requests.get(u, verify=False)", "switches a check off"),
        ("if 'pytest' in sys.modules: return", "switches a check off"),
        ("x = 1" + " " * 80 + "; y()", "goes on far to the right"),
        ("x = 1 # " + "a" * 200, "goes on far to the right"),
        ("x = 'a\u202eb'", "\\u202e turns text around"),
    ],
)
def test_code_that_reaches_out_is_to_be_looked_at_twice(line: str, what: str) -> None:
    assert what in flagged(line)


@pytest.mark.parametrize(
    "line",
    ["return first + last", "def evaluate(x): ...", "self.exec(x)", "compiled = re.compile(x)"],
)
def test_plain_code_is_not_flagged(line: str) -> None:
    assert flagged(line) == []


def test_what_was_there_before_is_not_flagged() -> None:
    old = {"app.py": "os.system('ls')\n"}
    assert flags({"app.py": "os.system('ls')\nx = 1\n"}, old) == []


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "src",
        ".git",
        ".GIT",
        "git~1",
        "．git",
        "conftest.py",
        "C:",
        "x.py",
        "\0",
        "~",
    ]
)


@settings(deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=6), absolute=st.booleans())
def test_no_path_leads_out_or_into_git(parts: list[str], absolute: bool) -> None:
    path = "/" * absolute + "/".join(parts)
    rules = policy()
    leads = absolute or {"..", ".", "", "\0"} & {*parts}
    git = {".git", ".GIT", "git~1", "．git"} & {*parts}
    if leads or git:
        assert rules.change(path, None, "x\n").answer is Answer.REFUSE
        assert rules.read(path).answer is Answer.REFUSE
        assert rules.patch({path: "x\n"}, {}, [path]).answer is Answer.REFUSE


@settings(deadline=None)
@given(path=st.text(max_size=30), text=st.text(max_size=60))
def test_what_is_refused_as_a_change_never_leaves_in_a_patch(path: str, text: str) -> None:
    rules = policy()
    if rules.change(path, None, text).answer is Answer.REFUSE:
        assert rules.patch({path: text}, {}, [path]).answer is Answer.REFUSE
