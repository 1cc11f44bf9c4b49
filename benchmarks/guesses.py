"""What a guessed token costs vLLM on this machine, and what guessing brings: docs/vllm.md.

    TANDEM_TEST_VLLM=~/.cache/tandem-test/vllm python -m benchmarks.guesses [--method suffix]
        [--quick] [--json FILE]

`make test-vllm` makes that environment. One vLLM guesses, by n-grams unless told otherwise, another
does not; both answer the same requests, one at a time: text that repeats what the prompt has, and
text drawn at random that repeats little. A pass that checks k guesses is taken to last
t * (1 + k * c), t being a plain pass; t and c are fitted (least squares) to the times and counts of
the answers of the one that guesses, of each kind the half that took least for a pass: what else runs
on the machine only makes some slower. CPU time would not do, because vLLM's processes spin while
they wait for each other. Then guessing pays while more than the share c of guesses is right.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks import common
from completion.vllm import acceptance
from completion.vllm.settings import Speculation
from tandem import paths
from tests.lsp_client import make_home
from tests.vllm_server import VLLM, vllm

MODEL = "tandem-135m"
TOKENS, QUICK_TOKENS = 96, 32
REQUESTS, QUICK_REQUESTS = 8, 3
REPEATING = "\n".join(f"def area_{n}(w, h):\n    return w * h * {n}\n" for n in range(12))
NOVEL = "# Notes on whatever comes to mind, no word twice:\n"
KINDS = {"repeats": "text that repeats the prompt", "novel": "text drawn at random"}


@dataclass(frozen=True)
class Answer:
    """`seconds` from the first token to the last; `passes` in that time, `drafted` and `accepted`
    tokens of the whole answer."""

    text: str
    seconds: float
    tokens: int
    passes: float
    drafted: float
    accepted: float


def ask(server: VLLM, prompt: str, tokens: int, **fields: Any) -> Answer:
    before = server.counts()
    body = {"model": MODEL, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {server.token}"}
    moments: list[float] = []
    with httpx.Client(headers=headers, timeout=600, trust_env=False) as client:
        url = f"{server.url}/completions"
        with client.stream("POST", url, json={**body, **fields, "stream": True}) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith("data: {") and json.loads(line[6:])["choices"]:
                    moments.append(time.perf_counter())
    after = server.counts()
    drafted, accepted = after.drafted - before.drafted, after.accepted - before.accepted
    seconds = moments[-1] - moments[0]
    return Answer(prompt, seconds, tokens, tokens - 1 - accepted, drafted, accepted)


def asked(server: VLLM, requests: int, tokens: int) -> dict[str, list[Answer]]:
    """By kind of text. The first of each is not counted."""
    found: dict[str, list[Answer]] = {"repeats": [], "novel": []}
    for number in range(requests + 1):
        mark = f"# {number}\n"
        repeats = ask(server, mark + REPEATING, tokens, temperature=0)
        novel = ask(server, mark + NOVEL, tokens, temperature=1.0, seed=number)
        if number:
            found["repeats"].append(repeats)
            found["novel"].append(novel)
    return found


def fit(answers: Sequence[Answer]) -> tuple[float, float]:
    """Seconds of a plain pass, and what a guess costs as a share of it."""
    passes = np.array([[one.passes, one.drafted] for one in answers])
    seconds = np.array([one.seconds for one in answers])
    (plain, guess), *_ = np.linalg.lstsq(passes, seconds, rcond=None)
    return float(plain), float(guess / plain)


def quickest(answers: Sequence[Answer]) -> list[Answer]:
    """Half of them, by time for a pass."""
    return sorted(answers, key=lambda one: one.seconds / one.passes)[: (len(answers) + 1) // 2]


def rate(answers: Sequence[Answer]) -> float:
    """Tokens a second, median."""
    return statistics.median((one.tokens - 1) / one.seconds for one in answers)


def share(answers: Sequence[Answer]) -> float:
    return sum(one.accepted for one in answers) / max(1, sum(one.drafted for one in answers))


def run(method: str, requests: int, tokens: int) -> dict[str, list[Answer]]:
    settings = f'context = 1024\n[speculation]\nmethod = "{method}"\n'
    settings += "least_accepted = 0\n" if method != "off" else ""
    with tempfile.TemporaryDirectory() as name:
        home = make_home(Path(name) / "home", paths.models_dir() / MODEL)
        with vllm(home, MODEL, settings) as server:
            return asked(server, requests, tokens)


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--method", choices=("ngram", "suffix"), default="ngram", help="guesses by")
    arguments: argparse.Namespace = parser.parse_args()
    assert "TANDEM_TEST_VLLM" in os.environ, "TANDEM_TEST_VLLM names no environment with vLLM"
    requests = QUICK_REQUESTS if arguments.quick else REQUESTS
    tokens = QUICK_TOKENS if arguments.quick else TOKENS
    guessing = run(arguments.method, requests, tokens)
    # A second start takes longer than a quick run may.
    plain = {} if arguments.quick else run("off", requests, tokens)
    seconds, cost = fit([one for answers in guessing.values() for one in quickest(answers)])
    rows: list[list[Any]] = []
    for kind, answers in guessing.items():
        without = rate(plain[kind]) if plain else None
        rows += [
            [KINDS[kind], ""],
            ["- guesses a pass", sum(a.drafted for a in answers) / sum(a.passes for a in answers)],
            ["- of them right", f"{share(answers):.0%}"],
            ["- tokens a second, guessing", rate(answers)],
        ]
        rows += [["- tokens a second, not", without]] if without else []
        rows += [["- guessing against not", f"{rate(answers) / without:.2f} x"]] if without else []
    rows += [
        ["a plain pass, ms", seconds * 1000],
        ["a guess, share of a plain pass", f"{cost:.2f}"],
        [
            "what tandem takes it for",
            f"{acceptance.needed(Speculation(method=arguments.method), cpu=True):.2f}",
        ],
    ]
    common.report(
        f"vLLM on this CPU, {arguments.method}, float32, one request at a time",
        ["what", ""],
        rows,
        ("cost_of_a_guess", f"{cost:.3f}"),
        {
            "guessing": {kind: [asdict(one) for one in found] for kind, found in guessing.items()},
            "plain": {kind: [asdict(one) for one in found] for kind, found in plain.items()},
            "plain_pass_s": seconds,
            "cost": cost,
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
