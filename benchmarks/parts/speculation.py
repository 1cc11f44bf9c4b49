"""What drafts give: the same requests with them and without, and whether the text is the same.

Completions are the keys of the replay; those whose answer only goes on with an answer to one of the
keys before stand apart. Edits are asked in a chat: a function with one argument renamed, the old
text given as `prediction`, as an editor's edit command gives it. A small model does not always
do it, so the answers that are a rewriting of the function stand apart as well.
"""

import ast
import difflib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts import Part, ratio, replay
from benchmarks.parts.keystrokes import Key, Prompter
from benchmarks.peers import Answer, Missing
from benchmarks.peers.ours import Ours, offers
from completion.cut import Count

SETTING = "speculation"
CAPABILITY = "prediction"
_LINES = range(5, 30)  # of a function worth rewriting
_LONGEST = 200  # tokens of an edit
_REWRITTEN = 0.8  # of an answer's and the old function's characters are in both, in order
_RECENT = 3  # answers that a key may only go on with
_KNOWN = 8  # characters of an answer that tell that it is the same as one before

Pair = tuple[Answer, Answer]


@dataclass(frozen=True)
class Edit:
    question: str
    prediction: str
    tokens: int

    def was_made(self, answer: str) -> bool:
        """Whether the answer is much like the old function: the wish changes little of it."""
        old = self.prediction[: len(answer)]
        return difflib.SequenceMatcher(None, old, answer, autojunk=False).ratio() >= _REWRITTEN


def edits(files: Sequence[Path], seed: int, count: int, tokens_in: Count) -> list[Edit]:
    """Of Python files: a function and the wish."""
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
        code = f"```python\n{old}\n```"
        wish = f"Rename `{names[0]}` to `new_{names[0]}` in this function, and change nothing else:"
        found.append(Edit(f"{wish}\n{code}", code, min(_LONGEST, tokens_in(code) + 10)))
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
        rows.append(_row("those that say something new", list(_new(pairs)), figures))
        if not on.can(CAPABILITY):
            rows.append(["edits", "not offered: no capability prediction", "", ""])
        elif rewrites:
            pairs = [
                (
                    off.chat(edit.question, edit.tokens).answer,
                    on.chat(edit.question, edit.tokens, edit.prediction).answer,
                )
                for edit in rewrites
            ]
            made = [
                pair
                for pair, edit in zip(pairs, rewrites, strict=True)
                if edit.was_made(pair[0].text)
            ]
            rows.append(_row("edits, with prediction", pairs, figures))
            rows.append(_row("those that rewrite the function", made, figures))
        else:
            rows.append(["edits", "no Python function in these files to rewrite", "", ""])
    finally:
        on.close()
        off.close()
    return Part("Speculation", _COLUMNS, rows, figures)


_COLUMNS = ["", "requests", "tokens after the first", "faster"]


def _new(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Without the answers that begin as an answer to one of the last keys, or as its end, did."""
    for number, pair in enumerate(pairs):
        begin = pair[0].text[:_KNOWN]
        recent = pairs[max(0, number - _RECENT) : number]
        if not any(begin in answer.text for answer, _ in recent):
            yield pair


def _row(name: str, pairs: Sequence[Pair], figures: dict[str, object]) -> list[object]:
    """`pairs` are answers without and with drafts. Writing is compared; reading is the same."""
    if not pairs:
        return [name, 0, "-", "-"]
    without, drafted = ([p[n].total_ms - p[n].first_ms for p in pairs] for n in (0, 1))
    same = sum(a.text == b.text for a, b in pairs) / len(pairs)
    gain = sum(without) / sum(drafted)
    figures[name] = {"gain": gain, "same_text": same, "requests": len(pairs)}
    written = f"{sum(without):.0f} to {sum(drafted):.0f} ms, {same:.1%} the same text"
    return [name, len(pairs), written, ratio(sum(without), sum(drafted))]
