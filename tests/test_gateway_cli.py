"""`tandem gateway` from the command line: settings, tokens, figures."""

import json
from pathlib import Path

import pytest

from gateway import config, tokens
from tandem import paths
from tandem.cli import run
from tests.gateways import backend, gateway
from tests.scripted_backend import scripted


def test_init_writes_settings_that_load_and_never_over_others(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gateway", "init", "--user", 'a "b"']) == 0
    settings = config.load(paths.config_dir() / "gateway.toml")
    assert [*settings.users] == ['a "b"']
    assert settings.backends[0].bearer()
    assert run(["gateway", "init"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_token_is_shown_once_and_takes_the_older_ones_place(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gateway", "token", "me"]) == 2
    assert "tandem gateway init" in capsys.readouterr().err
    run(["gateway", "init"])
    capsys.readouterr()
    made = []
    for _ in range(2):
        assert run(["gateway", "token", "me"]) == 0
        made.append(capsys.readouterr().out.strip())
    known = tokens.Tokens(tokens.default_file())
    assert [known.user(token) for token in made] == [None, "me"]
    assert tokens.default_file().stat().st_mode & 0o777 == 0o600
    assert run(["gateway", "token", "somebody"]) == 2
    assert "not in the gateway's settings" in capsys.readouterr().err
    assert run(["gateway", "token", "me", "--revoke"]) == 0
    assert known.user(made[1]) is None
    assert run(["gateway", "--port", "1", "token", "me"]) == 2


def test_a_damaged_file_of_tokens_lets_nobody_in(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["gateway", "init"])
    run(["gateway", "token", "me"])
    token = capsys.readouterr().out.splitlines()[-1]
    for text in ("{", '{"v": 2, "tokens": {}}', '{"v": 1, "tokens": {"a": 1}}', "[]"):
        tokens.default_file().write_text(text)
        assert tokens.Tokens(tokens.default_file()).user(token) is None
    assert run(["gateway", "token", "me"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_other_machines_are_let_in_only_on_demand(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["gateway", "init"])
    file = config.default_file()
    file.write_text(file.read_text().replace('"127.0.0.1" ', '"0.0.0.0" '))
    assert run(["gateway", "--port", "0"]) == 2
    assert "can be reached by other machines" in capsys.readouterr().err


def test_stats_add_up_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted("m") as script:
        rows = [backend("one", script.url, price_in=1000.0, price_out=0.0)]
        with gateway(tmp_path, rows) as running:
            for user, temperature in (("ann", 0), ("ann", 0), ("bob", 0.5)):
                with running.client(user) as client:
                    body = {"model": "m", "prompt": "a", "temperature": temperature}
                    assert client.post("completions", json=body).status_code == 200
            running.settled(3)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    assert run(["gateway", "stats", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["groups"]["ann"]["answer_hit_rate"] == 0.5
    assert told["groups"]["ann"]["cost"] == told["groups"]["ann"]["saved"] == 0.1
    assert told["all"]["requests"] == 3
    assert told["all"]["prefix_hit_rate"] == 0.6
    for by in ("tenant", "model", "backend"):
        assert run(["gateway", "stats", "--by", by]) == 0
        assert "60%" in capsys.readouterr().out
    assert run(["gateway", "stats", "--days", "0"]) == 0
    assert "No request" in capsys.readouterr().out
