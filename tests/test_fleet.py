"""Settings of many replicas and the file that they become; no Ray is needed for these."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from completion.fleet import app_file, door, environment, keys, runner, settings
from completion.fleet.adapters import ListedAdapters
from completion.fleet.settings import Settings
from completion.vllm.served import Model
from tandem.cli import app
from tandem.errors import ConfigError, EngineError


def made(**values: Any) -> dict[str, Any]:
    told = app_file.made(
        Settings.model_validate(values), "m", Path("/models/m"), Path("/cache/adapters.json")
    )
    return json.loads(app_file.text(told))


def test_replicas_of_ours_scale_between_bounds_and_keep_prefixes_together() -> None:
    told = made(scaling={"least": 2, "most": 5, "ongoing": 3}, cpus=2, busiest=9, drain_seconds=7)
    [one] = told["applications"]
    assert one["import_path"] == "completion.fleet.embedded:build"
    options = one["args"]["deployment"]
    scaling = options["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (2, 5)
    assert scaling["target_ongoing_requests"] == 3
    assert options["max_ongoing_requests"] == 9
    assert options["graceful_shutdown_timeout_s"] == 7
    assert options["ray_actor_options"]["num_cpus"] == 2
    assert options["request_router_config"]["request_router_class"].endswith("PrefixRouter")


def test_vllm_replicas_are_ray_s_own_with_its_prefix_router_and_adapters() -> None:
    told = made(
        replica="vllm",
        gpus=1,
        engine={"tensor_parallel_size": 2},
        adapters={"each": 8, "most_rank": 48},
    )
    [one] = told["applications"]
    assert one["import_path"] == "ray.serve.llm:build_openai_app"
    [config] = one["args"]["llm_configs"]
    assert config["model_loading_config"] == {"model_id": "m", "model_source": "/models/m"}
    assert config["engine_kwargs"]["tensor_parallel_size"] == 2
    assert config["engine_kwargs"]["enable_lora"]
    assert config["lora_config"]["max_num_adapters_per_replica"] == 8
    assert config["engine_kwargs"]["max_loras"] == 8
    assert config["engine_kwargs"]["max_lora_rank"] == 64  # vLLM has none for 48
    assert config["experimental_configs"]["tandem_adapters"]["loads"] == 0
    router = config["deployment_config"]["request_router_config"]["request_router_class"]
    assert router == "completion.fleet.vllm_router.TextRouter"
    assert "placement_group_config" not in config
    none = made(replica="vllm", adapters={"each": 0})["applications"][0]["args"]
    assert "lora_config" not in none["llm_configs"][0]
    assert "enable_lora" not in none["llm_configs"][0]["engine_kwargs"]
    assert "server_cls" not in none["llm_configs"][0]


def test_without_gpus_vllm_replicas_ask_for_cpus_and_keep_a_slot_empty() -> None:
    told = made(
        replica="vllm",
        cpus=2,
        adapters={"each": 8},
        variables={"VLLM_CPU_KVCACHE_SPACE": "4"},
    )
    [config] = told["applications"][0]["args"]["llm_configs"]
    assert config["placement_group_config"] == {"bundles": [{"CPU": 2}]}
    assert config["deployment_config"]["ray_actor_options"] == {"num_cpus": 0}
    assert config["engine_kwargs"]["max_loras"] == 9
    assert config["experimental_configs"]["tandem_adapters"]["loads"] == 8
    variables = config["runtime_env"]["env_vars"]
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert variables["HF_HUB_OFFLINE"] == "1"


def test_it_listens_here_alone_and_has_no_token_in_it(tmp_path: Path) -> None:
    told = made()
    assert told["http_options"] == {"host": "127.0.0.1", "port": 8017}
    adapters = ListedAdapters(
        Model("m", tmp_path, tmp_path), Settings(), tmp_path / "a.json", print
    )
    given = runner.variables(Settings(), "the-token", 8017, False, adapters)
    assert "the-token" in given[door.TOLD]
    assert "the-token" not in app_file.text(told)
    assert given["RAY_AUTH_MODE"] == "token"
    assert given["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replicas = 3", "replicas: Extra inputs"),
        ("[scaling]\nleast = 3\nmost = 2", "`least` is above `most`"),
        ("[adapters]\neach = 3", "adapters.each is of vllm replicas"),
        (
            'replica = "vllm"\n[adapters]\neach = 0\nadapter_folder = "/a"',
            "none can be lent from adapter_folder",
        ),
        ("port = 70000", "port: "),
        ("x = [", "Cannot read"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_that_names_it(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as raised:
        settings.load(file)
    assert str(file) in str(raised.value)


def test_no_file_means_the_defaults_and_a_named_one_must_exist(empty_home: Path) -> None:
    assert settings.load() == Settings()
    with pytest.raises(ConfigError, match="There is no"):
        settings.load(empty_home / "other.toml")


@pytest.mark.parametrize(
    ("versions", "replica", "said"),
    [
        ({"ray": ""}, "embedded", "has no Ray"),
        ({"vllm": ""}, "vllm", "has no vLLM"),
        ({"torch": ""}, "embedded", "has no torch"),
    ],
)
def test_an_environment_that_lacks_something_is_an_error(
    tmp_path: Path, versions: dict[str, str], replica: str, said: str
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    told = {"ray": "2.60.0", "vllm": "0.32.0", "torch": "2.13.0"} | versions
    python.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    python.chmod(0o755)
    with pytest.raises(EngineError, match=said):
        environment.find(tmp_path, replica)
    with pytest.raises(EngineError, match="There is no Python"):
        environment.find(tmp_path / "none", replica)


def key(**body: Any) -> str:
    return keys.key_of(json.dumps(body).encode(), "base")


def test_requests_of_an_adapter_belong_together_and_those_of_the_base_by_their_beginning() -> None:
    assert key(model="a", prompt="x") == key(model="a", prompt="y")
    assert key(model="a", prompt="x") != key(model="b", prompt="x")
    assert key(model="base", prompt="x") != key(model="base", prompt="y")
    assert key(model="base", prompt="x") == key(prompt="x")
    assert key(model="a", prompt="x") != key(model="base", prompt="x")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b'{"model": 3}', b"[" * 9999])
def test_what_is_no_request_has_some_key_and_does_no_harm(body: bytes) -> None:
    assert isinstance(keys.key_of(body, "base"), str)


def test_print_shows_the_file_and_needs_no_ray(fresh_home: Path) -> None:
    told = CliRunner().invoke(app, ["serve", "--backend", "ray", "--print"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["applications"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--dtype", "float32"], "--dtype is of vLLM"), (["--background"], "--background is of")],
)
def test_flags_of_others_are_refused(fresh_home: Path, flags: list[str], said: str) -> None:
    told = CliRunner().invoke(app, ["serve", "--backend", "ray", *flags])
    assert told.exit_code != 0
    assert said in f"{told.output}{told.exception}"
