"""Each flag that we write, asked of the parser of the vLLM that is installed."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from completion.vllm import command, environment
from completion.vllm.command import Plan
from completion.vllm.environment import Environment
from completion.vllm.served import Adapter
from completion.vllm.settings import Settings

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

TWO = (Adapter("a", Path("/copies/a-1"), 4), Adapter("b", Path("/copies/b-2"), 20))
ASK = """
import argparse, dataclasses, io, contextlib, json, sys, typing
from vllm.config import speculative
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser

def methods(kind):
    for one in typing.get_args(kind):
        yield from ([one] if isinstance(one, str) else methods(one))

parser = ServeSubcommand().subparser_init(FlexibleArgumentParser().add_subparsers())
wrong = []
for words in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(words)
        wrong.append("")
    except SystemExit:
        wrong.append(said.getvalue()[-300:])
fields = [one.name for one in dataclasses.fields(speculative.SpeculativeConfig)]
kinds = [*methods(speculative.SpeculativeMethod)]
print(json.dumps({"wrong": wrong, "methods": kinds, "fields": fields}))
"""


@pytest.fixture(scope="module")
def found() -> Environment:
    return environment.find(Path(os.environ["TANDEM_TEST_VLLM"]))


def ask(found: Environment, commands: list[list[str]], cache: Path) -> dict[str, Any]:
    done = subprocess.run(
        [found.program.parent / "python", "-c", ASK],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        env={**os.environ, "VLLM_CACHE_ROOT": str(cache), "VLLM_NO_USAGE_STATS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_vllm_takes_every_flag_that_settings_become(found: Environment, tmp_path: Path) -> None:
    gpu = replace(found, cpu=False, suffix=True)
    wanted: list[dict[str, Any]] = [
        {},
        {"host": "0.0.0.0", "dtype": "float16", "context": 4096, "eager": True, "block": 32},
        {"sequences": 16, "batch_tokens": 2048, "memory": 0.5, "kv_cache_dtype": "fp8"},
        {"tensor_parallel": 2, "data_parallel": 4, "quantization": "fp8"},
        {"quantization": "awq", "prefix_caching": False, "chunked_prefill": False},
        {"quantization": "gptq", "speculation": {"method": "off"}},
        {"speculation": {"method": "suffix", "tokens": 8}},
        {"speculation": {"method": "eagle3", "model": "/models/head"}},
        {"speculation": {"method": "draft", "model": "/models/small"}},
        {"adapters": {"slots": 2, "adapter_folder": "/shelf"}},
    ]
    commands = []
    for values in wanted:
        settings = Settings.model_validate(values)
        for where, adapters in ((found, ()), (gpu, ()), (gpu, TWO)):
            if where is found and settings.speculation.method == "suffix" and not found.suffix:
                continue
            if where is found and (settings.adapters.slots or settings.quantization == "fp8"):
                continue  # refused: the last slot on a CPU stays empty, and it has no fp8
            plan = Plan(settings, where, "m", Path("/models/m"), 8017, adapters)
            commands.append(command.arguments(plan)[2:])
    told = ask(found, [*commands, ["/models/m", "--no-such-flag"]], tmp_path)
    *ours, foreign = told["wrong"]
    assert "--no-such-flag" in foreign
    assert [(words, said) for words, said in zip(commands, ours, strict=True) if said] == []
    guesses = [json.loads(words[words.index(GUESS) + 1]) for words in commands if GUESS in words]
    assert {guess["method"] for guess in guesses} == {"ngram", "suffix", "eagle3", "draft_model"}
    for guess in guesses:
        assert guess["method"] in told["methods"]
        assert guess.keys() <= {*told["fields"]}


GUESS = "--speculative-config"
