"""Training on the GPU machine, out of an unpacked bundle: base, train, evaluate, compress, ship.

One command takes `--minutes` for all of that. A run may take several commands (`--commands`):
what was learned stays on that machine's disk, and the same command goes on. A later lease goes
on from what an earlier one shipped (`--start`). Needs torch, transformers, numpy, safetensors and
tokenizers; everything else travels in the bundle.
"""

import argparse
import contextlib
import hashlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from finetune import (
    attention,
    checkpoint,
    compress,
    curve,
    device,
    forced,
    gpu_options,
    results,
    start,
    train,
)
from finetune.recipe import Recipe
from finetune.replay import replay
from finetune.squeeze import squeeze
from finetune.store import FILE, SampleSet
from tandem.errors import TandemError, UsageError

HERE = Path(__file__).parent.parent
FACTS, RECIPE, DATA, QUESTIONS = "bundle.json", "recipe.json", "data", "questions.json"

Weights = dict[str, torch.Tensor]


class Job:
    """One command. `bundle` is the unpacked bundle's folder, `work` what outlives the command."""

    def __init__(self, bundle: Path, work: Path, say: Callable[[str], None]) -> None:
        self.data, self.work, self.say = bundle / DATA, work, say
        self.facts: dict[str, Any] = json.loads((bundle / FACTS).read_text("utf-8"))
        self.device = device.choose()
        self.width = device.width("auto", self.device)
        self.seconds: dict[str, float] = {}
        self._clock = time.monotonic()

    def lap(self, name: str) -> None:
        """What was done since the last lap took this long."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._clock, 1)
        self._clock = now
        self.say(f"{name}: {self.seconds[name]} s")

    def base(self) -> Path:
        """The base model's folder, converted once, and exactly what Tandem makes elsewhere."""
        from completion.convert import convert

        folder = self.work / "base"
        if not folder.exists():
            with checkpoint.writing(folder) as made:
                convert(self.data / "base.gguf", made, lambda *_: None)
                with (made / "model.safetensors").open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
                if found != self.facts["base_sha256"]:
                    raise TandemError("The base model came out different from its hash.")
        return folder

    def samples(self, base: Path, share: float, astray: Path | None) -> Path:
        """The folder of what is trained on: the bundle's samples, and of all tokens about `share`
        answers to the bundle's questions, made once and repeated as needed. The base gives them,
        and half of them the shipped file `astray`, if there is one: they lead to where that goes
        astray, and the base's distribution there shows the way back (see `finetune.chat`)."""
        asked, folder = self.data / QUESTIONS, self.work / "samples"
        if not asked.exists() or not share:
            return self.data / "train"
        if not folder.exists():
            with checkpoint.writing(folder) as made:
                prompts = json.loads(asked.read_text("utf-8"))
                half = len(prompts) // 2 if astray else len(prompts)
                chat = replay(self._model(base, None), prompts[:half])
                if astray:
                    weights, _ = start.merged(astray, base, self.facts["base_sha256"])
                    other = replay(self._model(base, weights), prompts[half:])
                    chat = SampleSet.joined([chat, other])
                code = SampleSet.load(self.data / "train")
                times = max(1, round(share / (1 - share) * code.tokens / chat.tokens))
                SampleSet.joined([code, *[chat] * times]).save(made)
                self.say(f"chat: {len(chat):,} answers, {chat.tokens:,} tokens, {times} times")
        return folder

    def _model(self, base: Path, weights: Weights | None, **options: Any) -> Any:
        """The base on the device, with these weights if there are any."""
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=self.width, **options)
        if weights is not None:
            model.load_state_dict(_narrow(weights, self.width), strict=False)
        return model.eval().to(self.device)

    def figures(self, base: Path, weights: Weights | None, answers: str, row: int) -> Any:
        """Teacher-forced figures of the base with these weights, and each answer's outcome."""
        model = self._model(base, weights, attn_implementation=attention.NAME)
        held_out = forced.Answers.load(self.data / f"{answers}.safetensors")
        score = forced.score(model, held_out, row)
        hits = "".join("1" if hit else "0" for hit in score.exact)
        return {**score.figures(held_out.lines), "hits": hits}

    def base_figures(self, base: Path, row: int) -> Any:
        """Of the base left to right, as it was trained; made once."""
        file = self.work / "base-figures.json"
        if not file.exists():
            told = self.figures(base, None, "plain", row)
            self.work.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(told), "utf-8")
        return json.loads(file.read_text("utf-8"))

    def start(self, file: Path, base: Path, recipe: Recipe, out: Path) -> tuple[Path, int]:
        """A shipped difference as a checkpoint to begin from, and how many tokens it has seen."""
        made, facts = start.from_shipped(file, base, self.facts["base_sha256"], recipe, out)
        return made, int(facts.get("stream", {}).get("tokens", 0))

    def learned(self, out: Path, base: Weights, rows: tuple[int, ...]) -> tuple[Weights, int]:
        """What a run, ended or not, has learned so far, and its position in the samples."""
        if (out / "model").exists():
            told = json.loads((out / train.RESULT).read_text("utf-8"))
            return load_file(out / "model" / "model.safetensors"), told["position"]
        found = checkpoint.latest(out / "checkpoints")
        assert found, "a run that was stopped leaves a checkpoint"
        tensors, told = found
        learned = {n.removeprefix("weight."): t for n, t in tensors.items() if n[:7] == "weight."}
        table = base[compress.EMBEDDING].clone()
        table[list(rows)] = learned.pop("rows")
        return {**base, **learned, compress.EMBEDDING: table}, told["position"]


def run(told: argparse.Namespace, bundle: Path, say: Callable[[str], None]) -> Path:
    """Do what the options say. Returns the report's file. Raises TandemError."""
    began = time.monotonic()
    seconds = told.minutes * 60 - told.reserve
    if seconds <= 0 or told.commands < 1 or told.budget <= 0:
        raise UsageError("No time is left to train.", "Raise --minutes, or lower --reserve.")
    job = Job(bundle, told.work, say)
    recipe = gpu_options.recipe(told, bundle / RECIPE, seconds)
    base = job.base()
    job.lap("base")
    samples = job.samples(base, told.chat_share, told.start if told.astray else None)
    job.lap("chat")
    row = max(2048, min(recipe.row_tokens, recipe.tokens_per_step))
    figures = {"base": job.base_figures(base, row)}
    job.lap("evaluate base")
    out = told.work / "runs" / gpu_options.run_name(recipe, told.start)
    begin, before = None, 0
    if told.start:
        begin, before = job.start(told.start, base, recipe, out)
    stopping = _signals()
    train_began = time.monotonic()
    held = checkpoint.steps(out / "checkpoints")
    say(f"{'going on' if held else 'a new run'} in {out} on {_machine(job.device)}")
    result = train.run(
        recipe,
        base,
        samples,
        out,
        job.data / "validation",
        _teller(say, told.every),
        lambda: bool(stopping) or time.monotonic() - train_began > seconds,
        begin,
    )
    if stopping:
        raise TandemError("Stopped.", "The same command goes on from here.")
    job.lap("train")
    weights = load_file(base / "model.safetensors")
    tuned, position = job.learned(out, weights, recipe.rows)
    figures["tuned"] = job.figures(base, tuned, "tandem", row)
    job.lap("evaluate tuned")
    made = squeeze(base, tuned, recipe.rows, told.budget, samples, job.device)
    job.lap("compress")
    figures["compressed"] = job.figures(base, made.apply(weights), "tandem", row)
    job.lap("evaluate compressed")
    inputs = hashlib.sha256((samples / FILE).read_bytes()).hexdigest()
    report = {
        "ended": "unfinished" if result.ended == "cancelled" else result.ended,
        "machine": _machine(job.device),
        "recipe": recipe.as_json(),
        "result": {**asdict(result), "folder": result.folder.name},
        "figures": figures,
        "kept": dict(made.kept),
        "seconds": {**job.seconds, "all": round(time.monotonic() - began, 1)},
    }
    metadata = {
        **{name: job.facts[name] for name in compress.REQUIRED},
        "recipe": recipe.as_json(),
        "stream": {"samples": inputs, "position": position, "tokens": before + result.tokens},
        "figures": {
            kind: {k: v for k, v in f.items() if k != "hits"} for kind, f in figures.items()
        },
        "bundle": job.facts["made_of"],
    }
    adapter = out / "adapter.safetensors"
    made.save(adapter, metadata)
    told.out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / train.LOG, told.out / train.LOG)
    _picture(out / train.LOG, told.out / "loss.png")
    file = results.write(told.out, adapter.read_bytes(), report, told.piece)
    for line in table(figures):
        say(line)
    say(f"{report['ended']}: {result.tokens:,} tokens in {report['seconds']['all']} s; {told.out}")
    return file


def table(figures: dict[str, Any]) -> list[str]:
    """The figures of a report as lines of text."""
    lines = [f"{'':12} {'answers':8} {'n':>5} {'exact':>6} {'+ end':>6} {'loss':>6}"]
    for name, kinds in figures.items():
        for kind in ("single", "multi"):
            if kind in kinds:
                f = kinds[kind]
                shares = f"{f['exact']:6.1%} {f['exact_and_end']:6.1%} {f['loss']:6.3f}"
                lines.append(f"{name:12} {kind:8} {f['n']:5} {shares}")
    return lines


def _narrow(weights: Weights, width: torch.dtype) -> Weights:
    return {name: tensor.to(width) for name, tensor in weights.items()}


def _machine(where: torch.device) -> str:
    if where.type == "cuda":
        return f"{torch.cuda.get_device_name(where)}, torch {torch.__version__}"
    return f"CPU with {torch.get_num_threads()} threads, torch {torch.__version__}"


def _signals() -> list[int]:
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda which, _: stopping.append(which))
    return stopping


def _teller(say: Callable[[str], None], every: float) -> Callable[[train.Progress], None]:
    """A line every so many seconds; the speed is that since the last one."""
    last = {"at": time.monotonic(), "tokens": 0}

    def tell(progress: train.Progress) -> None:
        now = time.monotonic()
        if now - last["at"] < every and progress.done < 1:
            return
        speed = (progress.tokens - last["tokens"]) / max(1e-9, now - last["at"])
        held_out = f" held-out {progress.validation:.3f}" if progress.validation else ""
        say(
            f"step {progress.step} {progress.done:.0%} {progress.tokens / 1e6:.2f} M tokens "
            f"loss {progress.loss:.3f}{held_out} {speed:,.0f} tokens/s "
            f"{progress.left / 60:.1f} min left"
        )
        last.update(at=now, tokens=progress.tokens)

    return tell


def _picture(log: Path, file: Path) -> None:
    with contextlib.suppress(ImportError):  # without matplotlib the log tells the same
        curve.draw(log, file)


def main() -> int:
    told = gpu_options.options(HERE).parse_args()
    told.work, told.out = told.work.absolute(), told.out.absolute()
    try:
        run(told, HERE, lambda line: print(line, flush=True))
    except TandemError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
