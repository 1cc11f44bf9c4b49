"""What choosing what to show can save at most: a replay without a clock.

    python -m benchmarks.ceiling [--files FOLDER...] [--count N] [--keys N] [--json FILE]

The same files, stretches and slips as in `benchmarks.replay`, but each answer is there at once and
the model gets no pieces of other files. Rows differ in what they make of the same model's answers:

- whole: all of an answer, asked anew at each key, as the replay's baseline does
- parts: in likely parts, what is left out following at once (`completion.sure`)
- gated: the same, less what the display gate hides
- right start: an oracle shows as much of each answer as the file holds, and nothing if that saves
  no key; no way to cut or hide answers can save more
- right of N: the same oracle, which may pick among the greedy answer and its N - 1 closest calls
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import common
from benchmarks.parts import suggestions
from benchmarks.parts.gain import gain
from benchmarks.parts.scripts import Script, scripts
from benchmarks.parts.suggestions import Told
from benchmarks.parts.typist import Edit, Typist
from completion import display, filters, models
from completion.display import features
from completion.document import Document
from completion.engine import shipped
from completion.gate import Ask, refusal
from completion.hole import hole_kind
from completion.sure import sure_part
from finetune import variant
from finetune.variant import Variant
from tandem import progress
from tandem.config import CompletionConfig, Config

SEED = 11
OTHERS = 3  # answers that the oracle picks among
_OPTIONS = CompletionConfig()


@dataclass
class Model:
    """Answers by place, as all rows meet the same ones."""

    variant: Variant
    _known: dict[tuple[str, int, int], list[Told]] = field(default_factory=dict)

    def told(self, script: Script, text: str, offset: int, most: int) -> list[Told]:
        """The greedy answer and its closest calls, as they may be shown; [] where nobody asks."""
        key = (text, offset, most)
        if key not in self._known:
            self._known[key] = self._ask(script, text, offset, most)
        return self._known[key]

    def forget(self) -> None:
        """Another file's places are others."""
        self._known.clear()

    def _ask(self, script: Script, text: str, offset: int, most: int) -> list[Told]:
        document = Document(script.file, script.language, text)
        hole = hole_kind(text, offset, script.language)
        if refusal(document, offset, hole, Ask(0.0), _OPTIONS):
            return []
        path = script.file.relative_to(script.root).as_posix()
        return suggestions.told(
            self.variant, text[:offset], text[offset:], script.language, path, most
        )


@dataclass
class Sat:
    """What one file came to."""

    keys: int
    shown: int = 0
    taken: int = 0
    net: int = 0


@dataclass
class Desk:
    """A row: `pick` says how much of which answer is shown, given the text, the cursor, what may
    be shown and what the file holds next; "" for nothing."""

    model: Model
    pick: Callable[["Desk", Script, str, int, list[Told], str], Told | None]
    most: int = 1
    keeps: bool = True  # what was left out follows, and what is typed through stays
    last: list[str] = field(default_factory=list)

    def type(self, script: Script) -> Sat:
        sat = Sat(script.keys)
        typist = Typist(
            script.text,
            script.spans,
            script.seed,
            language=script.language,
            closing=False,
            prose=script.prose,
        )
        rest, on_display, asks = Told(""), "", False
        while not typist.finished:
            text, offset = typist.text, typist.offset
            given = [rest] if self.keeps and rest.text else []
            if asks and not given:
                given = self.model.told(script, text, offset, self.most)
            shown = None
            if on_display and self.keeps and rest.text.startswith(on_display):
                shown = rest.cut(len(on_display))
            elif given:
                shown = self.pick(self, script, text, offset, given, typist.coming)
            if shown is not None and shown.text:
                sat.shown += shown.text != on_display
                edit = Edit(offset, offset, shown.text)
                saved = typist.saves(shown.text) if typist.fits(edit) else 0
                if saved:
                    sat.taken += 1
                    sat.net += saved - 1
                    typist.accept(edit)
                    self.last.insert(0, "accepted")
                    source = next(one for one in given if one.text.startswith(shown.text))
                    rest, on_display = source.after(len(shown.text)), ""
                    continue
            on_display = shown.text if shown is not None else ""
            source = given[0] if given else Told("")
            key = typist.press()
            asks = key.action in ("type", "delete", "over")  # as an editor does
            typed = key.typed if key.action in ("type", "over") else ""
            if typed and source.text.startswith(typed):
                rest = source.after(len(typed))
                on_display = on_display[len(typed) :] if on_display.startswith(typed) else ""
            else:
                if on_display:
                    self.last.insert(0, "ignored")
                rest, on_display = Told(""), ""
        return sat


def whole(
    desk: Desk, script: Script, text: str, offset: int, given: list[Told], coming: str
) -> Told | None:
    return given[0]


def parts(
    desk: Desk, script: Script, text: str, offset: int, given: list[Told], coming: str
) -> Told | None:
    hole = hole_kind(text, offset, script.language)
    ends = filters.may_end(text[:offset], text[offset:], hole)
    return given[0].cut(sure_part(given[0].text, given[0].tokens, ends))


def gated(
    desk: Desk, script: Script, text: str, offset: int, given: list[Told], coming: str
) -> Told | None:
    shown = parts(desk, script, text, offset, given, coming)
    assert shown is not None
    hole = hole_kind(text, offset, script.language)
    nats = [nats for _, nats in shown.tokens]
    known = features(shown.text, text, offset, hole, script.language, nats, last=desk.last[:8])
    return shown if display.current().likely(known) else None


def right_start(
    desk: Desk, script: Script, text: str, offset: int, given: list[Told], coming: str
) -> Told | None:
    best = max(given, key=lambda one: one.right(coming))
    return best.cut(best.right(coming)) if best.right(coming) > 1 else None


def rows(model: Model) -> dict[str, Desk]:
    return {
        "whole": Desk(model, whole, keeps=False),
        "parts": Desk(model, parts),
        "gated": Desk(model, gated),
        "right start": Desk(model, right_start),
        f"right of {OTHERS}": Desk(model, right_start, most=OTHERS),
    }


def run(told: argparse.Namespace) -> None:
    found = models.resolve(told.model)
    decoder = variant.load(found.folder, shipped=shipped.of(found))
    model = Model(Variant(found.name, decoder, shipped.template_of(found)))
    desks = rows(model)
    sat: dict[str, list[Sat]] = {name: [] for name in desks}
    count, keys = (2, 30) if told.quick else (told.count, told.keys)
    with (
        tempfile.TemporaryDirectory(prefix="tandem-ceiling-") as folder,
        progress.on_stderr() as tell,
    ):
        files = [folder.resolve() for folder in told.files]
        texts = scripts(files, Path(folder), told.seed, count, keys)
        for number, script in enumerate(texts):
            for name, desk in desks.items():
                tell(f"{script.file.name}, {name}", number, len(texts))
                desk.last.clear()
                sat[name].append(desk.type(script))
            model.forget()
    _report(sat, told)


def _report(sat: dict[str, list[Sat]], told: argparse.Namespace) -> None:
    base = [float(one.net) for one in sat["whole"]]
    keys = sum(one.keys for one in sat["whole"])
    table, figures = [], {}
    for name, its in sat.items():
        net, shown, taken = (
            sum(getattr(one, what) for one in its) for what in ("net", "shown", "taken")
        )
        more = gain([float(one.net) for one in its], base)
        table.append(
            [
                name,
                shown,
                taken,
                f"{taken / max(1, shown):.0%}",
                net,
                f"{net / keys:.1%}",
                str(more),
            ]
        )
        figures[name] = {"shown": shown, "taken": taken, "net": net, "gain": vars(more)}
    most = figures["right start"]["net"] / max(1, figures["whole"]["net"]) - 1
    common.report(
        f"{keys} keys in {len(base)} files, answers at once",
        ["", "shown", "taken", "of shown", "net keys", "of all", "against whole"],
        table,
        ("most_that_showing_can_save", f"{most:+.0%}"),
        {"keys": keys, "rows": figures},
        told.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    here: Sequence[Path] = [common.REPOSITORY / "completion"]
    parser.add_argument("--files", type=Path, nargs="+", metavar="FOLDER", default=here)
    parser.add_argument("--count", type=int, default=20, help="files to type in")
    parser.add_argument("--keys", type=int, default=40, help="keys to type in each file")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--model", default=Config().model)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
