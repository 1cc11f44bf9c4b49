"""The embedded engine beside what people run today: transformers, llama.cpp, vLLM.

Every engine is a process of its own with the same weights, threads and prompts, asked in turn.
Parts: plain speed of each weight form; a replay of real keystrokes; drafts on and off; the replay
under load; growth; memory. `python -m benchmarks.peers` fetches llama.cpp.

    python -m benchmarks.engine [--files FOLDER ...] [--only PART ...] [--vllm FOLDER]
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.parts import Part, growth, load, memory, replay, soak, speculation, speed
from benchmarks.parts.keystrokes import Prompter, files_in, keystrokes
from benchmarks.peers import Missing, Peer, llama_cpp, transformers, weights
from benchmarks.peers.ours import Ours, offers, weight_forms
from benchmarks.peers.vllm import VLLM
from benchmarks.peers.weights import Weights
from completion import models
from completion.engine.tokenizer import Tokenizer
from completion.engine.weights import fast_bfloat16, usable_cores
from completion.families import examine
from completion.templates import for_model
from tandem.config import CompletionConfig, EngineConfig
from tandem.errors import TandemError

PARTS = ("speed", "replay", "speculation", "load", "growth", "memory")
SEED = 5


@dataclass
class Bench:
    """What all parts work with. `missing` says why a peer is not there."""

    weights: Weights
    options: argparse.Namespace
    stack: ExitStack
    missing: dict[str, str]

    @property
    def model(self) -> Path:
        return self.weights.folder

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.model)

    @cached_property
    def context(self) -> int:
        """Tokens; what the settings and the model allow."""
        wanted = EngineConfig.model_fields["context"].default
        return min(wanted, examine(self.model).context)

    @cached_property
    def files(self) -> list[Path]:
        return files_in(self.options.files, SEED, 2 if self.options.quick else 9)

    @cached_property
    def prompts(self) -> speed.Prompts:
        text = "\n".join(file.read_text("utf-8", "replace") for file in self.files)
        return speed.Prompts(self.tokenizer.encode(text))

    @cached_property
    def prompter(self) -> Prompter:
        budget = CompletionConfig().prompt_tokens
        room = self.context - 64
        template = for_model("", self.options.template)
        return Prompter(template, self.tokenizer.count, min(budget, room))

    def add(self, start: Callable[[], Peer], name: str) -> Iterator[Peer]:
        """The peer if it starts, closed at the end; else the reason is kept."""
        try:
            peer = start()
        except Missing as error:
            self.missing[name] = str(error)
            return
        self.stack.callback(peer.close)
        yield peer

    def threads(self) -> int:
        return self.options.threads or usable_cores()

    def ours(self, dtype: str = "auto", **settings: object) -> Iterator[Peer]:
        """Plain: without drafts, where that can be said."""
        threads = self.threads()
        yield from self.add(
            lambda: Ours(self.model, dtype, threads=threads, **settings), f"engine {dtype}"
        )

    def llama_cpp(self, context: int) -> Iterator[Peer]:
        yield from self.add(
            lambda: llama_cpp.start(self.weights.gguf, self.threads(), context), "llama.cpp"
        )

    def vllm(self, context: int) -> Iterator[Peer]:
        if self.options.vllm is None:
            self.missing["vLLM"] = "not asked for; see --vllm"
            return
        dtype = "bfloat16" if fast_bfloat16() else "float32"
        yield from self.add(
            lambda: VLLM(self.options.vllm, self.model, self.threads(), context, dtype), "vLLM"
        )


def plain_speed(bench: Bench) -> Part:
    quick = bench.options.quick
    plain = {speculation.SETTING: False} if offers(speculation.SETTING) else {}
    peers = [*bench.add(lambda: transformers.start(bench.model, bench.threads()), "transformers")]
    for dtype in weight_forms():
        peers += bench.ours(dtype, **plain)
    peers += [*bench.llama_cpp(bench.context), *bench.vllm(bench.context)]
    lengths = [n for n in speed.PREFILL if n < bench.context - 64] or [bench.context // 2]
    return speed.measure(peers, bench.prompts, 1 if quick else 5, 16 if quick else 48, lengths)


def replayed(bench: Bench) -> Part:
    keys = keystrokes(bench.files, SEED, bench.options.keys)
    peers = [*bench.ours(), *bench.llama_cpp(bench.context), *bench.vllm(bench.context)]
    return replay.measure(peers, keys, bench.prompter)


def drafted(bench: Bench) -> Part:
    keys = keystrokes(bench.files, SEED, min(bench.options.keys, 100))
    count = 3 if bench.options.quick else 20
    # Few files have functions that will do.
    many = files_in(bench.options.files, SEED, 6 * count)
    rewrites = speculation.edits(many, SEED, count, bench.tokenizer.count)
    return speculation.measure(bench.model, keys, bench.prompter, rewrites, bench.threads())


def loaded(bench: Bench) -> Part:
    keys = keystrokes(bench.files, SEED, min(bench.options.keys, 30))
    peers = [*bench.ours(), *bench.llama_cpp(bench.context)]
    return load.measure(peers, keys, bench.prompter)


def grown(bench: Bench) -> Part:
    context = min(max(growth.LENGTHS) + 128, examine(bench.model).context)
    ours = Ours(bench.model, threads=bench.threads(), context=context, queue=64)
    bench.stack.callback(ours.close)
    peers = [ours, *bench.llama_cpp(context)]
    part = growth.measure(peers, ours, bench.prompts, 1 if bench.options.quick else 3, context)
    if bench.options.plot:
        growth.draw(part.figures, bench.options.plot, common.machine())
    return part


def held(bench: Bench) -> Part:
    peers: list[Peer] = [*bench.llama_cpp(bench.context)]
    for peer in peers:
        peer.answer(bench.prompts.fresh(bench.context - 32), 24)
    return memory.measure(bench.model, bench.prompts, bench.context, peers)


def soaked(bench: Bench) -> Part:
    return soak.measure(bench.model, bench.prompts, bench.options.soak, bench.context)


RUNS: dict[str, Callable[[Bench], Part]] = dict(
    zip(PARTS, (plain_speed, replayed, drafted, loaded, grown, held), strict=True)
)


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"engine: {error}")


def _end(*_: object) -> None:
    """Engines in the background would outlive us if the stack that closes them did not unwind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends it twice
    sys.exit(128 + signal.SIGTERM)


def _arguments() -> argparse.Namespace:
    parser = common.parser(__doc__ or "")
    add = parser.add_argument
    add("--model", default=models.DEFAULT, help="of the store, or a folder")
    add("--files", type=Path, nargs="+", metavar="FOLDER", help="source code to type in")
    add("--keys", type=int, default=0, help="so many keys in the replay")
    add("--only", nargs="+", choices=PARTS, default=[], help="these parts and no others")
    add("--soak", type=int, default=0, metavar="N", help="only send N requests, watching memory")
    add("--plot", type=Path, metavar="FILE", help="growth as a picture, SVG or PNG")
    add("--threads", type=int, default=0, help="of every engine; 0 means all cores")
    add("--template", default="", help="FIM template; the model's own if not given")
    add("--gguf", type=Path, metavar="FILE", help="the same weights for llama.cpp")
    add("--vllm", type=Path, metavar="FOLDER", help="a virtual environment with vLLM")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    quick = arguments.quick
    arguments.keys = arguments.keys or (16 if quick else 450)
    arguments.files = arguments.files or [common.REPOSITORY / "completion"]
    found = weights.of(arguments.model, arguments.gguf)
    arguments.template = arguments.template or found.template
    wanted = arguments.only or (["speed", "replay", "memory"] if quick else PARTS)
    runs = {"soak": soaked} if arguments.soak else {name: RUNS[name] for name in wanted}
    figures: dict[str, object] = {"model": found.name, "template": arguments.template}
    missing: dict[str, str] = {}
    calibration = common.calibration_ms()
    for name, measure in runs.items():
        began = time.monotonic()
        with ExitStack() as stack:
            part = measure(Bench(found, arguments, stack, missing))
        common.show(part.title, part.columns, part.rows)
        print(f"# {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        figures[name] = part.figures
    figures["missing"] = missing
    figures["calibration_ms"] = {"before": calibration, "after": common.calibration_ms()}
    rows = [[name, why] for name, why in missing.items()] or [["nothing", ""]]
    common.report("Not measured", ["", ""], rows, _headline(figures), figures, arguments.json)


def _headline(figures: dict[str, Any]) -> tuple[str, str]:
    """The first of these that was measured."""
    if (found := figures.get("speed")) and (reference := found.get(transformers.NAME)):
        times = [row["decode_ms"] for name, row in found.items() if name.startswith("engine ")]
        best = min((ms for ms in times if ms), default=0.0)
        if best and reference["decode_ms"]:
            gain = reference["decode_ms"] / best
            return "engine_decode_over_transformers_float32", f"{gain:.2f}"
    if found := figures.get("replay"):
        return "engine_replay_p50_ms", f"{found['engine auto']['p50_ms']:.1f}"
    if found := figures.get("soak"):
        return "engine_soak_growth_mb", f"{found['grown_mb']:.1f}"
    return "engine_parts_measured", str(sum(name in figures for name in PARTS))


if __name__ == "__main__":
    main()
