"""vLLM's settings and the command they become. Its own parser is asked in test_vllm_flags.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from completion.vllm import command, settings
from completion.vllm.command import Plan
from completion.vllm.environment import Environment
from completion.vllm.served import Adapter
from completion.vllm.settings import Settings
from tandem.errors import ConfigError

GPU = Environment(Path("/opt/vllm/bin/vllm"), "0.32.0", cpu=False, suffix=False)
CPU = replace(GPU, version="0.32.0+cpu", cpu=True)
TWO = (Adapter("a", Path("/copies/a-1"), 4), Adapter("b", Path("/copies/b-2"), 20))


def plan(environment: Environment = GPU, found: tuple[Adapter, ...] = (), **values: Any) -> Plan:
    known = Settings.model_validate(values)
    return Plan(known, environment, "m", Path("/models/m"), 8017, found)


def flags(made: Plan) -> dict[str, str]:
    """Each flag with what follows it."""
    words = command.arguments(made)[3:]
    pairs = zip(words, [*words[1:], "--"], strict=True)
    return {a: "" if b.startswith("--") else b for a, b in pairs if a.startswith("--")}


def guess(made: Plan) -> dict[str, Any]:
    return json.loads(flags(made)["--speculative-config"])


def test_the_folder_is_served_under_its_name_on_this_machine_alone() -> None:
    words = command.arguments(plan())
    assert words[:3] == ["/opt/vllm/bin/vllm", "serve", "/models/m"]
    told = flags(plan())
    assert (told["--served-model-name"], told["--host"], told["--port"]) == (
        "m",
        "127.0.0.1",
        "8017",
    )


def test_caches_and_chunks_are_on_and_can_be_turned_off() -> None:
    assert {"--enable-prefix-caching", "--enable-chunked-prefill"} <= flags(plan()).keys()
    off = flags(plan(prefix_caching=False, chunked_prefill=False))
    assert {"--no-enable-prefix-caching", "--no-enable-chunked-prefill"} <= off.keys()


def test_cached_tokens_are_told_in_usage() -> None:
    assert "--enable-prompt-tokens-details" in flags(plan())


@pytest.mark.parametrize(
    ("values", "flag", "told"),
    [
        ({"context": 4096}, "--max-model-len", "4096"),
        ({"sequences": 16}, "--max-num-seqs", "16"),
        ({"batch_tokens": 2048}, "--max-num-batched-tokens", "2048"),
        ({"tensor_parallel": 2}, "--tensor-parallel-size", "2"),
        ({"data_parallel": 4}, "--data-parallel-size", "4"),
        ({"quantization": "fp8"}, "--quantization", "fp8"),
        ({"quantization": "awq"}, "--quantization", "awq"),
        ({"quantization": "gptq"}, "--quantization", "gptq"),
        ({"kv_cache_dtype": "fp8"}, "--kv-cache-dtype", "fp8"),
        ({"dtype": "float16"}, "--dtype", "float16"),
        ({"memory": 0.5}, "--gpu-memory-utilization", "0.5"),
        ({"drain_seconds": 7}, "--shutdown-timeout", "7"),
        ({"eager": True}, "--enforce-eager", ""),
        ({"more": ["--seed", "3"]}, "--seed", "3"),
    ],
)
def test_each_setting_is_a_flag(values: dict[str, Any], flag: str, told: str) -> None:
    assert flags(plan(**values))[flag] == told


def test_what_is_not_set_is_left_to_vllm() -> None:
    silent = {"--max-model-len", "--max-num-seqs", "--tensor-parallel-size", "--quantization"}
    silent |= {"--data-parallel-size", "--kv-cache-dtype", "--block-size", "--enable-lora"}
    assert not silent & flags(plan()).keys()


@pytest.mark.parametrize(
    ("values", "method"),
    [
        ({"method": "ngram"}, "ngram"),
        ({"method": "eagle3", "model": "/models/head"}, "eagle3"),
        ({"method": "draft", "model": "/models/small"}, "draft_model"),
    ],
)
def test_each_way_to_guess_has_its_configuration(values: dict[str, Any], method: str) -> None:
    told = guess(plan(speculation={**values, "tokens": 3}))
    assert (told["method"], told["num_speculative_tokens"]) == (method, 3)
    assert told.get("model") == values.get("model")
    assert ("prompt_lookup_max" in told) == (method == "ngram")


def test_suffix_decoding_says_which_package_it_needs() -> None:
    wanted = {"method": "suffix"}
    assert guess(plan(replace(GPU, suffix=True), speculation=wanted))["method"] == "suffix"
    with pytest.raises(ConfigError, match="pip install arctic-inference"):
        command.arguments(plan(speculation=wanted))


@pytest.mark.parametrize("values", [{"method": "eagle3"}, {"method": "ngram", "model": "/m"}])
def test_a_model_to_guess_with_is_there_where_it_is_needed_and_only_there(
    values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"speculation: .*model"):
        settings.load(None, {"speculation": values})


def test_speculation_can_be_off_by_setting_or_by_verdict() -> None:
    assert "--speculative-config" not in flags(plan(speculation={"method": "off"}))
    assert "--speculative-config" not in flags(replace(plan(), speculate=False))


def test_one_more_slot_than_adapters_is_never_filled() -> None:
    """The guard against a base request that gets the last slot's adapter (VLLM on a CPU)."""
    tight = plan(CPU, TWO, adapters={"spare": 0})
    assert flags(tight)["--max-loras"] == "3"
    assert flags(plan(CPU, TWO))["--max-loras"] == "5"
    with pytest.raises(ConfigError, match="2 adapters need 3"):
        command.arguments(plan(CPU, TWO, adapters={"slots": 2}))
    assert flags(plan(GPU, TWO, adapters={"slots": 2}))["--max-loras"] == "2"


def test_the_largest_rank_is_rounded_up_to_one_that_vllm_has() -> None:
    assert flags(plan(found=TWO))["--max-lora-rank"] == "32"
    assert flags(plan(found=TWO[:1]))["--max-lora-rank"] == "8"


def test_copies_of_a_model_with_adapters_have_one_server() -> None:
    """vLLM loads no adapter at run time through several."""
    assert flags(plan(found=TWO, data_parallel=2))["--api-server-count"] == "1"
    assert "--api-server-count" not in flags(plan(data_parallel=2))


def test_blocks_on_a_cpu_are_multiples_of_32() -> None:
    assert flags(plan(CPU))["--block-size"] == "32"
    assert flags(plan(CPU, block=64))["--block-size"] == "64"
    with pytest.raises(ConfigError, match="multiples of 32"):
        command.arguments(plan(CPU, block=16))
    assert flags(plan(GPU, block=16))["--block-size"] == "16"


def test_fp8_is_refused_where_vllm_has_no_kernels_for_it() -> None:
    with pytest.raises(ConfigError, match="no kernels"):
        command.arguments(plan(CPU, quantization="fp8"))
    assert flags(plan(GPU, quantization="fp8"))["--quantization"] == "fp8"
    assert flags(plan(CPU, quantization="awq"))["--quantization"] == "awq"


def test_no_token_is_an_argument_or_printed() -> None:
    made = plan(CPU, TWO)
    secret = command.secrets(made, "the-token", "the-key", remote=False)
    assert secret["VLLM_API_KEY"] == "the-token"
    words = " ".join(command.arguments(made))
    shown = command.shown(made, Path("/state"), Path("/state/token file"), remote=False)
    for text in (words, shown, json.dumps(command.variables(made, Path("/state")))):
        assert "the-token" not in text
        assert "the-key" not in text
    assert "$(cat '/state/token file')" in shown
    with pytest.raises(ConfigError, match="--api-key"):
        settings.load(None, {"more": ["--api-key=x"]})


def test_the_printed_command_has_the_adapters() -> None:
    shown = command.shown(plan(found=TWO), Path("/s"), Path("/t"), remote=False)
    assert "--lora-modules a=/copies/a-1 b=/copies/b-2" in shown


def test_it_asks_nobody_outside_and_tells_nobody() -> None:
    told = command.variables(plan(CPU), Path("/state"))
    assert {told[name] for name in ("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS")} == {"1"}
    assert told["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in command.variables(plan(GPU), Path("/state"))


def test_nothing_of_our_own_environment_reaches_it() -> None:
    outside = {"PATH": "/bin", "TANDEM_TOKEN": "x", "PYTHONPATH": "/ours", "VIRTUAL_ENV": "/v"}
    assert command.inherited(outside) == {"PATH": "/bin"}


def test_flags_go_before_the_file_and_within_a_table(tmp_path: Path) -> None:
    file = tmp_path / "vllm.toml"
    file.write_text('context = 100\ndtype = "float32"\n[speculation]\ntokens = 3\n')
    known = settings.load(file, {"context": 200, "speculation": {"method": "off"}})
    assert (known.context, known.dtype) == (200, "float32")
    assert (known.speculation.tokens, known.speculation.method) == (3, "off")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("contxt = 1", "contxt"),
        ("dtype = 'int4'", "dtype"),
        ("[speculation]\ntokens = 0", "speculation.tokens"),
        ("memory = 2.0", "memory"),
        ("= 1", "Cannot read"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_that_names_it(
    text: str, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "vllm.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named) as caught:
        settings.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_means_the_defaults_and_a_named_one_must_exist(
    empty_home: Path, tmp_path: Path
) -> None:
    assert settings.load() == Settings()
    with pytest.raises(ConfigError, match="There is no"):
        settings.load(tmp_path / "none.toml")
