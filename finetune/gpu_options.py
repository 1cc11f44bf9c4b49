"""What a training command on the GPU machine is told, and the recipe and the name that follow."""

import argparse
import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path

from finetune import results
from finetune.recipe import Recipe

BUDGET = 23_900_000  # bytes of the shipped file
# Fields of a recipe that this command decides by itself.
_OWN = {"method", "rank", "alpha", "rows", "minutes"}


def options(bundle: Path) -> argparse.ArgumentParser:
    """What `run` is told. The recipe's own fields override those of the bundle's recipe."""
    parser = argparse.ArgumentParser(description="Train out of this bundle, and ship the result.")
    parser.add_argument("--minutes", type=float, default=8.5, help="for all this command does")
    parser.add_argument("--commands", type=int, default=1, help="commands of that length a run has")
    parser.add_argument("--reserve", type=float, default=100, help="seconds not spent on training")
    parser.add_argument("--start", type=Path, help="go on from this shipped .safetensors")
    out = os.environ.get("OUT")
    parser.add_argument("--out", type=Path, default=out, required=not out, help="result folder")
    parser.add_argument("--work", type=Path, default=bundle.parent / "work", help="kept state")
    parser.add_argument("--budget", type=int, default=BUDGET, help="bytes of the shipped file")
    parser.add_argument("--piece", type=int, default=results.PIECE, help="bytes of a result file")
    parser.add_argument("--chat-share", type=float, default=0.08, help="of the tokens")
    parser.add_argument("--astray", action="store_true", help="half the chat is of what --start is")
    parser.add_argument("--every", type=float, default=5, help="seconds between progress lines")
    for field in fields(Recipe):
        if field.name not in _OWN:
            names = [f"--{field.name.replace('_', '-')}"]
            names += ["--lr"] if field.name == "learning_rate" else []
            if isinstance(field.default, bool):
                parser.add_argument(*names, dest=field.name, action="store_true", default=None)
            else:
                parser.add_argument(*names, dest=field.name, type=type(field.default))
    return parser


def recipe(told: argparse.Namespace, file: Path, seconds: float) -> Recipe:
    """The bundle's recipe in `file`, changed by what was told; `seconds` are a command's."""
    values = json.loads(file.read_text("utf-8"))
    for field in fields(Recipe):
        given = getattr(told, field.name, None)
        if given is not None and field.name not in _OWN:
            values[field.name] = given
    if not values.get("steps") and not values.get("tokens"):
        values["minutes"] = told.commands * seconds / 60
    return Recipe.of(values)


def run_name(recipe: Recipe, start: Path | None) -> str:
    """Other options, another run: the folder's name says which."""
    told = {k: v for k, v in recipe.as_json().items() if k != "save_minutes"}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    if start and start.is_file():
        digest.update(start.read_bytes())
    return digest.hexdigest()[:12]
