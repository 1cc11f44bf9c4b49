"""Settings to the command that starts vLLM, its arguments and its environment; nothing is run.

Tokens go by the environment, never as an argument: every user of a machine sees arguments.
Flags are those of vLLM 0.32 (`tests/test_vllm_flags.py` asks its own parser).
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from completion.vllm import environment
from completion.vllm.environment import Environment
from completion.vllm.lent import Lends
from completion.vllm.served import Adapter, largest_rank
from completion.vllm.settings import CPU_BLOCK, Settings, Speculation
from tandem.errors import ConfigError

INSIDE = Path(__file__).parent / "inside"
DOOR = "TANDEM_DOOR"
# Longest run of tokens that n-gram guessing looks for in the prompt, and the shortest: one token
# alone is found everywhere, and what follows it is seldom what follows here.
_LOOKUP_MAX, _LOOKUP_MIN = 4, 2
# What vLLM 0.32 asks for.
_ARCTIC = "0.1.1"


@dataclass(frozen=True)
class Plan:
    """One start of vLLM."""

    settings: Settings
    environment: Environment
    name: str
    folder: Path
    port: int
    adapters: tuple[Adapter, ...] = ()
    speculate: bool = True
    lends: Lends | None = None


def slots(plan: Plan) -> int:
    """What `--max-loras` must be; 0 without adapters.

    One more than can be in use: on a CPU, vLLM 0.32 applies the adapter in the last slot to
    requests without one that share a pass with others (vllm PRs #48421, #49656), and an empty
    slot does nothing. Raises ConfigError for a setting that would fill it.
    """
    wanted, number = plan.settings.adapters, len(plan.adapters)
    lent = wanted.lent if wanted.adapter_folder is not None else 0
    if not number and not lent:
        return 0
    number += lent
    whole = number + wanted.spare + 1
    if not wanted.slots:
        return whole
    if plan.environment.cpu and wanted.slots <= number:
        raise ConfigError(
            f"adapters.slots is {wanted.slots}, and on a CPU {number} adapters need {number + 1}.",
            "Leave it out of vllm.toml.",
        )
    return min(wanted.slots, whole)


def most_rank(plan: Plan) -> int:
    """What `--max-lora-rank` must be."""
    wanted = plan.settings.adapters
    least = wanted.most_rank if wanted.adapter_folder is not None else 1
    return largest_rank(list(plan.adapters), least)


def arguments(plan: Plan) -> list[str]:
    """The whole command but for adapters, which are loaded once it is up. Raises ConfigError."""
    known = plan.settings
    parts = [str(plan.environment.program), "serve", str(plan.folder)]
    parts += ["--served-model-name", plan.name, "--host", known.host, "--port", str(plan.port)]
    parts += ["--middleware", "tandem_door.Door", "--disable-fastapi-docs"]
    parts += ["--disable-uvicorn-access-log", "--enable-prompt-tokens-details"]
    parts += ["--shutdown-timeout", str(known.drain_seconds), "--dtype", known.dtype]
    parts += _switch("enable-prefix-caching", known.prefix_caching)
    parts += _switch("enable-chunked-prefill", known.chunked_prefill)
    parts += _numbers(
        {
            "max-model-len": known.context,
            "block-size": _block(plan),
            "max-num-seqs": known.sequences,
            "max-num-batched-tokens": known.batch_tokens,
            "tensor-parallel-size": known.tensor_parallel if known.tensor_parallel > 1 else 0,
            "data-parallel-size": known.data_parallel if known.data_parallel > 1 else 0,
        }
    )
    if known.quantization:
        _kernels_for(known.quantization, plan.environment.cpu)
        parts += ["--quantization", known.quantization]
    if known.kv_cache_dtype != "auto":
        parts += ["--kv-cache-dtype", known.kv_cache_dtype]
    if not plan.environment.cpu:
        parts += ["--gpu-memory-utilization", f"{known.memory:g}"]
    if known.eager:
        parts.append("--enforce-eager")
    if plan.speculate and known.speculation.method != "off":
        parts += ["--speculative-config", json.dumps(_speculation(plan))]
    if number := slots(plan):
        parts += ["--enable-lora", "--max-loras", str(number)]
        parts += ["--max-lora-rank", str(most_rank(plan))]
        if known.data_parallel > 1:  # adapters cannot be loaded through several of its servers
            parts += ["--api-server-count", "1"]
    return parts + known.more


def variables(plan: Plan, folder: Path) -> dict[str, str]:
    """What is set besides `secrets`. `folder` is vLLM's own, for caches and sockets."""
    set_by_us = {
        "PYTHONPATH": str(INSIDE),
        "VLLM_CACHE_ROOT": str(folder / "cache"),
        "VLLM_SERVER_DEV_MODE": "0",
        **environment.OFFLINE,
    }
    if plan.adapters or plan.settings.adapters.adapter_folder is not None:
        set_by_us["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if plan.environment.cpu:
        set_by_us["VLLM_CPU_KVCACHE_SPACE"] = str(plan.settings.cache_gb)
        set_by_us |= environment.ALL_CORES
    return set_by_us


def secrets(plan: Plan, token: str, key: str, remote: bool) -> dict[str, str]:
    """The users' `token`, and for `inside/tandem_door` who may enter: `key` is the runner's."""
    door: dict[str, Any] = {"port": plan.port, "remote": remote, "hosts": plan.settings.hosts}
    if plan.lends is not None:
        door["lends"] = plan.lends.model_dump(mode="json")
    return {"VLLM_API_KEY": token, DOOR: json.dumps({**door, "key": key})}


def shown(plan: Plan, folder: Path, token_file: Path, remote: bool) -> str:
    """The command as a shell takes it, a line for each part; the token stays in its file."""
    door = secrets(plan, "", "", remote)[DOOR]
    lines = [f"{name}={shlex.quote(value)}" for name, value in variables(plan, folder).items()]
    lines.append(f'VLLM_API_KEY="$(cat {shlex.quote(str(token_file))})"')
    lines.append(f"{DOOR}={shlex.quote(door)}")
    command = arguments(plan)
    lines.append(shlex.join(command[:3]))
    for word in command[3:]:
        if word.startswith("--"):
            lines.append(f"  {shlex.quote(word)}")
        else:
            lines[-1] += f" {shlex.quote(word)}"
    if plan.adapters:
        modules = (f"{one.name}={one.folder}" for one in plan.adapters)
        lines.append(f"  --lora-modules {shlex.join(modules)}")
    return " \\\n".join(lines)


def inherited(outside: Mapping[str, str]) -> dict[str, str]:
    """Of our own environment what vLLM may see: nothing of ours, and no Python of ours."""
    return {
        name: value
        for name, value in outside.items()
        if not name.startswith(("TANDEM_", "PYTHON")) and name != "VIRTUAL_ENV"
    }


def _block(plan: Plan) -> int:
    block = plan.settings.block
    if not plan.environment.cpu:
        return block
    if block % CPU_BLOCK:
        raise ConfigError(
            f"block is {block}, and vLLM on a CPU takes multiples of {CPU_BLOCK}.",
            "Leave it out of vllm.toml.",
        )
    return block or CPU_BLOCK


def _speculation(plan: Plan) -> dict[str, Any]:
    wanted: Speculation = plan.settings.speculation
    told: dict[str, Any] = {"method": wanted.method, "num_speculative_tokens": wanted.tokens}
    if wanted.method == "ngram":
        told |= {"prompt_lookup_max": _LOOKUP_MAX, "prompt_lookup_min": _LOOKUP_MIN}
    if wanted.method == "suffix" and not plan.environment.suffix:
        raise ConfigError(
            "Suffix decoding needs the package arctic-inference beside vLLM.",
            f"Run: {plan.environment.program.parent / 'pip'} install arctic-inference=={_ARCTIC}",
        )
    if wanted.method == "draft":
        told["method"] = "draft_model"
    if wanted.model is not None and wanted.method != "off":
        told["model"] = str(wanted.model.expanduser().absolute())
    return told


def _kernels_for(quantization: str, cpu: bool) -> None:
    if cpu and quantization == "fp8":
        raise ConfigError(
            "quantization is fp8, which vLLM's build for CPUs has no kernels for.",
            "Leave it out of vllm.toml, or name the folder of an AWQ or GPTQ checkpoint.",
        )


def _switch(name: str, on: bool) -> list[str]:
    return [f"--{name}" if on else f"--no-{name}"]


def _numbers(values: Mapping[str, int]) -> list[str]:
    return [part for name, value in values.items() if value for part in (f"--{name}", str(value))]
