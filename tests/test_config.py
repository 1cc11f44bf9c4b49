"""Settings: the order of the layers, and what a stranger's repository may not set."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem import config, paths
from tandem.config import Config
from tandem.errors import ConfigError


@pytest.fixture
def user_file(empty_home: Path) -> Path:
    file = paths.user_config_file()
    file.parent.mkdir(parents=True)
    return file


@pytest.fixture
def repository(empty_home: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


def write(repository: Path, text: str) -> Path:
    file = repository / config.REPO_FILE
    file.write_text(text)
    return file


def test_without_any_file_the_defaults_hold(empty_home: Path) -> None:
    assert config.load(environment={}) == Config()


def test_each_layer_wins_over_the_one_below(user_file: Path, repository: Path) -> None:
    user_file.write_text("[completion]\nmax_tokens = 60\nmax_lines = 10\n[engine]\nthreads = 1\n")
    write(repository, "[completion]\nmax_tokens = 50\nmax_lines = 9\n")
    environment = {"TANDEM_COMPLETION__MAX_LINES": "8"}
    options = {"engine": {"threads": 3}}
    found = config.load(repository, options, environment)
    assert found.completion.max_tokens == 50
    assert found.completion.max_lines == 8
    assert found.engine.threads == 3


def test_environment_reaches_every_level_and_lists_are_split() -> None:
    environment = {
        "TANDEM_MODEL": "m",
        "TANDEM_ENGINE__IDLE_MINUTES": "2.5",
        "TANDEM_COMPLETION__DISABLED_LANGUAGES": "markdown,plaintext",
        "TANDEM_HOME": "/x",
        "TANDEM_DEBUG": "1",
        "TANDEM_NOTICES": "x",
        "TANDEM_SOMETHING_ELSE": "x",
        "HOME": "/root",
    }
    found = config.load(environment=environment)
    assert (found.model, found.engine.idle_minutes) == ("m", 2.5)
    assert found.completion.disabled_languages == ["markdown", "plaintext"]
    assert found.notices == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = [", "Cannot read"),
        ("modle = 'x'", "modle: Extra inputs"),
        ("[engine]\nthreads = -1", "engine.threads"),
        ("[engine]\nthreads = 'many'", "engine.threads"),
        ("engine = 3", "engine"),
        ("[model]\nx = 1", "model"),
        ("[completion]\nmax_tokens = 0", "completion.max_tokens"),
        ("[completion]\nunknown = 0", "completion.unknown"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(user_file: Path, text: str, message: str) -> None:
    user_file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(environment={})
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_settings_file_that_is_not_utf8_is_named(user_file: Path) -> None:
    user_file.write_bytes(b"model = '\xff'")
    with pytest.raises(ConfigError, match=r"Cannot read .*config.toml"):
        config.load(environment={})


def test_a_section_over_a_value_is_refused(user_file: Path) -> None:
    user_file.write_text("model = 'x'")
    with pytest.raises(ConfigError, match="'model' is no section"):
        config.load(options={"model": {"x": 1}}, environment={})


def test_the_token_does_not_show_when_settings_are_printed(empty_home: Path) -> None:
    found = config.load(environment={"TANDEM_TOKEN": "hush-hush"})
    assert "hush" not in repr(found) + str(found) + found.model_dump_json()
    assert found.token.get_secret_value() == "hush-hush"


# What a repository may set

HARMFUL = [
    "model = '/tmp/evil'",
    "endpoint = 'https://evil.example/v1'",
    "token = 'x'",
    "template = 'starcoder2'",
    "[engine]\nqueue = 1",
    "[completion]\nmax_tokens = 1000",
    "[completion]\nmax_lines = 100",
    "[completion]\nprompt_tokens = 60000",
    "[completion]\ntimeout_ms = 900000",
    "[agent]\ncommands = ['make']",
]


@pytest.mark.parametrize("text", HARMFUL)
def test_an_untrusted_repository_cannot_set_it_and_a_notice_says_so(
    repository: Path, text: str
) -> None:
    file = write(repository, text)
    found = config.load(repository, environment={})
    assert found == Config(notices=found.notices)
    [notice] = found.notices
    assert "not trusted" in notice
    assert f"tandem trust {file}" in notice


@pytest.mark.parametrize("text", HARMFUL)
def test_a_trusted_repository_can_set_it(repository: Path, text: str) -> None:
    config.trust(write(repository, text))
    found = config.load(repository, environment={})
    assert found.notices == []
    assert found != Config()


def test_trust_ends_with_the_next_change_of_the_file(repository: Path) -> None:
    config.trust(write(repository, "model = 'a'"))
    assert config.load(repository, environment={}).model == "a"
    write(repository, "model = 'b'")
    assert config.load(repository, environment={}).model == Config().model


def test_trust_of_one_repository_is_none_of_another(repository: Path, tmp_path: Path) -> None:
    config.trust(write(repository, "model = 'a'"))
    other = tmp_path / "other"
    other.mkdir()
    write(other, "model = 'a'")
    assert config.load(other, environment={}).model == Config().model


def test_an_untrusted_repository_can_ask_for_less(repository: Path) -> None:
    write(
        repository,
        "[completion]\nenabled = false\nmax_tokens = 8\ndisabled_languages = ['markdown']\n",
    )
    found = config.load(repository, environment={})
    assert (found.completion.enabled, found.completion.max_tokens) == (False, 8)
    assert found.completion.disabled_languages == ["markdown"]
    assert found.notices == []


def test_an_untrusted_repository_can_make_it_quieter_but_not_louder(repository: Path) -> None:
    write(
        repository,
        "[completion]\ntrigger = 'manual'\nprefetch = false\ndisabled_paths = ['/vendor/']\n"
        "gate = false\ndisplay_gate = false\ndebounce = false\nin_comments = true\n",
    )
    found = config.load(repository, environment={})
    quiet = found.completion
    assert (quiet.trigger, quiet.prefetch, quiet.disabled_paths) == ("manual", False, ["/vendor/"])
    assert (quiet.gate, quiet.display_gate, quiet.debounce) == (True, True, True)
    assert not quiet.in_comments
    assert "completion.gate" in found.notices[0]


def test_an_untrusted_repository_cannot_undo_what_the_user_switched_off(
    user_file: Path, repository: Path
) -> None:
    user_file.write_text("[completion]\nenabled = false\ndisabled_languages = ['c']\n")
    write(repository, "[completion]\nenabled = true\ndisabled_languages = []\n")
    found = config.load(repository, environment={})
    assert found.completion.enabled is False
    assert found.completion.disabled_languages == ["c"]


AGENT = (
    "[agent]\napprove = 'commands'\nallowed = ['/src/', '*.md']\nprotected = ['/src/keys/']\n"
    "commands = ['pytest', 'ls']\nrefused = ['make']\n"
)


def test_an_untrusted_repository_can_tie_an_agent_down(user_file: Path, repository: Path) -> None:
    user_file.write_text(AGENT)
    write(
        repository,
        "[agent]\napprove = 'each'\nallowed = ['/src/']\nprotected = ['/db/']\n"
        "commands = ['ls']\nrefused = ['rm']\n",
    )
    found = config.load(repository, environment={})
    assert found.notices == []
    assert found.agent == config.AgentConfig(
        approve="each",
        allowed=["/src/"],
        protected=["/db/", "/src/keys/"],
        commands=["ls"],
        refused=["make", "rm"],
    )


@pytest.mark.parametrize(
    "text",
    [
        "approve = 'final'",
        "allowed = []",
        "allowed = ['/src/', '/etc/']",
        "commands = ['pytest', 'curl']",
    ],
)
def test_an_untrusted_repository_cannot_untie_an_agent(
    user_file: Path, repository: Path, text: str
) -> None:
    user_file.write_text(AGENT)
    base = config.load(environment={}).agent
    write(repository, f"[agent]\n{text}\n")
    found = config.load(repository, environment={})
    assert found.agent == base
    assert "agent." in found.notices[0]


def test_what_the_user_protects_a_repository_cannot_give_free(
    user_file: Path, repository: Path
) -> None:
    user_file.write_text(AGENT)
    write(repository, "[agent]\nprotected = []\nrefused = []\n")
    found = config.load(repository, environment={}).agent
    assert (found.protected, found.refused) == (["/src/keys/"], ["make"])


@pytest.mark.parametrize("glob", ["!/src/", " !x", "", "#x"])
def test_a_glob_that_takes_another_back_is_an_error(repository: Path, glob: str) -> None:
    write(repository, f"[agent]\nprotected = ['{glob}']\n")
    with pytest.raises(ConfigError, match=r"agent\.protected"):
        config.load(repository, environment={})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(1, 1024), lines=st.integers(1, 200), timeout=st.integers(100, 10**6))
def test_an_untrusted_repository_never_gets_more(
    repository: Path, tokens: int, lines: int, timeout: int
) -> None:
    write(
        repository,
        f"[completion]\nmax_tokens = {tokens}\nmax_lines = {lines}\ntimeout_ms = {timeout}\n",
    )
    got, base = config.load(repository, environment={}).completion, Config().completion
    assert got.max_tokens == min(tokens, base.max_tokens)
    assert got.max_lines == min(lines, base.max_lines)
    assert got.timeout_ms == min(timeout, base.timeout_ms)


def test_a_broken_repository_file_is_named(repository: Path) -> None:
    file = write(repository, "[completion")
    with pytest.raises(ConfigError, match="Cannot read") as caught:
        config.load(repository, environment={})
    assert str(file) in caught.value.message


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', "null"])
def test_a_damaged_trust_file_trusts_nobody(repository: Path, content: str) -> None:
    file = write(repository, "model = 'a'")
    paths.private_dir(paths.state_dir())
    (paths.state_dir() / "trusted.json").write_text(content)
    assert config.load(repository, environment={}).model == Config().model
    config.trust(file)
    assert config.load(repository, environment={}).model == "a"


# The user's file, changed by a command


def test_saving_keeps_comments_and_other_settings(user_file: Path) -> None:
    user_file.write_text("# mine\nmodel = 'old'\n\n[engine]\n# slow\nthreads = 1\n")
    config.save_user({"model": "new", "endpoint": "http://x/v1"})
    text = user_file.read_text()
    assert "# mine" in text
    assert "# slow" in text
    assert tomllib.loads(text) == {
        "model": "new",
        "endpoint": "http://x/v1",
        "engine": {"threads": 1},
    }
    assert oct(user_file.stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    "text", ["model = '''\nold\n'''\n", '"model" = "old"\n', "model = 'a'\n[engine]\nthreads = 1\n"]
)
def test_saving_changes_the_value_or_nothing_at_all(user_file: Path, text: str) -> None:
    user_file.write_text(text)
    try:
        config.save_user({"model": "new"})
    except ConfigError as error:
        assert "by hand" in error.hint  # noqa: PT017
        assert user_file.read_text() == text
    else:
        assert config.load(environment={}).model == "new"


def test_saving_a_wrong_value_changes_nothing(user_file: Path) -> None:
    user_file.write_text("model = 'old'\n")
    with pytest.raises(ConfigError):
        config.save_user({"no_such_setting": "x"})
    assert user_file.read_text() == "model = 'old'\n"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_saved_and_read_back(empty_home: Path, text: str) -> None:
    config.save_user({"model": text})
    assert config.load(environment={}).model == text
