"""What drafts give: the same requests with them and without, and whether the text is the same.

Completions are the keys of the replay. Edits rewrite a function with one argument renamed; the
old text is given as `prediction`, as an editor's edit command gives it.
"""

import ast
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts import Part, ratio, replay
from benchmarks.parts.keystrokes import Key, Prompter
from benchmarks.peers import Answer, Missing
from benchmarks.peers.ours import Ours, offers
from completion.syntax import Count

SETTING = "speculation"
CAPABILITY = "prediction"
_LINES = range(5, 30)  # of a function worth rewriting
_LONGEST = 200  # tokens of an edit


@dataclass(frozen=True)
class Edit:
    prompt: str
    prediction: str
    tokens: int


def edits(files: Sequence[Path], seed: int, count: int, tokens_in: Count) -> list[Edit]:
    """Of Python files: a function, the wish, and the head of the new function."""
    found = []
    for file in files:
        if file.suffix == ".py":
            found += _edits_of(file.read_text("utf-8", "replace"), tokens_in)
    random.Random(seed).shuffle(found)
    return found[:count]


def _edits_of(text: str, tokens_in: Count) -> list[Edit]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.col_offset:
            continue
        old = ast.get_source_segment(text, node) or ""
        names = [a.arg for a in node.args.args if len(re.findall(rf"\b{a.arg}\b", old)) > 2]
        if not names or old.count("\n") not in _LINES:
            continue
        new = re.sub(rf"\b{names[0]}\b", f"new_{names[0]}", old)
        # Up to the first line of the body: that is where the rewriting starts.
        head = sum(len(line) + 1 for line in new.split("\n")[: node.body[0].lineno - node.lineno])
        body = old.split("\n")[node.body[0].lineno - node.lineno :]
        wish = f"# The same function, with `{names[0]}` renamed to `new_{names[0]}`:"
        tokens = min(_LONGEST, tokens_in(new[head:]))
        found.append(Edit(f"{old}\n\n\n{wish}\n{new[:head]}", "\n".join(body), tokens))
    return found


def measure(
    model: Path, keys: Sequence[Key], prompter: Prompter, rewrites: Sequence[Edit], threads: int
) -> Part:
    """Rows say `not offered` for what this engine cannot do."""
    figures: dict[str, object] = {}
    rows: list[list[object]] = []
    if not offers(SETTING):
        rows.append(["completions and edits", "not offered: no setting engine.speculation", "", ""])
        return Part("Speculation", _COLUMNS, rows, {SETTING: None})
    try:
        on, off = (
            Ours(model, "auto", threads=threads, **{SETTING: wanted}) for wanted in (True, False)
        )
    except Missing as error:
        rows.append(["completions and edits", str(error), "", ""])
        return Part("Speculation", _COLUMNS, rows, {SETTING: None})
    on.name, off.name = "with drafts", "without"
    try:
        answers = replay.ask([off, on], keys, prompter)
        pairs = [
            (a, b)
            for a, b in zip(answers[off.name], answers[on.name], strict=True)
            if a is not None and b is not None
        ]
        rows.append(_row("completions", pairs, figures))
        if not on.can(CAPABILITY):
            rows.append(["edits", "not offered: no capability prediction", "", ""])
        elif rewrites:
            pairs = []
            for edit in rewrites:
                plain = off.answer(edit.prompt, edit.tokens)
                pairs.append((plain, on.answer(edit.prompt, edit.tokens, "", edit.prediction)))
            rows.append(_row("edits, with prediction", pairs, figures))
        else:
            rows.append(["edits", "no Python function in these files to rewrite", "", ""])
    finally:
        on.close()
        off.close()
    return Part("Speculation", _COLUMNS, rows, figures)


_COLUMNS = ["", "requests", "tokens after the first", "faster"]


def _row(
    name: str, pairs: Sequence[tuple[Answer, Answer]], figures: dict[str, object]
) -> list[object]:
    """`pairs` are answers without and with drafts. Writing is compared; reading is the same."""
    without, drafted = ([p[n].total_ms - p[n].first_ms for p in pairs] for n in (0, 1))
    same = sum(a.text == b.text for a, b in pairs) / len(pairs)
    gain = sum(without) / sum(drafted)
    figures[name] = {"gain": gain, "same_text": same, "requests": len(pairs)}
    written = f"{sum(without):.0f} to {sum(drafted):.0f} ms, {same:.1%} the same text"
    return [name, len(pairs), written, ratio(sum(without), sum(drafted))]
