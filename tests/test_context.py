"""The same holes with and without pieces of other files, found by a retrieval made for the test.

It is a real one, if a simple one: it reads the buffers it is given and looks names up in outlines.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from completion.document import Document
from completion.engine.generate import Decoder
from completion.outline import Symbol, outline
from completion.pieces import Context, Piece
from finetune import context_report, variant
from finetune.cases import Case
from finetune.context import ALL, ALWAYS, LONGER, NONE, Comparison, Sight, defined_there
from finetune.cross_file import CrossCase, cross_file_holes
from finetune.evaluate import Scored
from finetune.held_out import repository_cases
from finetune.modules import Target
from finetune.report import Report
from finetune.variant import Variant
from tests import tiny_models
from tests.test_cross_file import made

BUDGET = 60


@dataclass
class Outlines:
    """Definitions of all files, from the buffers where there are any."""

    root: Path
    buffers: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, str | None]] = field(default_factory=list)
    asked: list[tuple[Document, int, int]] = field(default_factory=list)

    def set_buffer(self, path: str, text: str | None) -> None:
        self.told.append((path, text))
        self.buffers.pop(path, None)
        if text is not None:
            self.buffers[path] = text

    def finder(self, kinds: frozenset[str], count: Callable[[str], int], gate: bool = False):
        def find(document: Document, offset: int, budget: int) -> Context:
            self.asked.append((document, offset, budget))
            own = document.path.relative_to(self.root).as_posix()
            assert self.buffers[own] == document.text
            if gate and offset % 2:
                return Context((), {"total": 0.1}, {"all": "gate: an odd place"})
            pieces: list[Piece] = []
            for path, symbol in self._imported(document.text, own):
                if symbol.kind not in kinds:
                    continue
                text = f"{symbol.signature}\n    ..."
                tokens = count(f"<file_sep>{path}\n{text}\n")
                if sum(piece.tokens for piece in pieces) + tokens <= budget:
                    pieces.append(
                        Piece(
                            path=path,
                            text=text,
                            source="definitions",
                            reason="imported",
                            first=symbol.first,
                            last=symbol.last,
                            symbol=symbol.name,
                            tokens=tokens,
                        )
                    )
            return Context(tuple(pieces), {"total": 0.5, "merge": 0.1})

        return find

    def _imported(self, text: str, own: str) -> list[tuple[str, Symbol]]:
        names = {one.alias for one in outline(text.encode(), "python").imports}
        return [
            (path.relative_to(self.root).as_posix(), symbol)
            for path in sorted(self.root.rglob("*.py"))
            if path.relative_to(self.root).as_posix() != own
            for symbol in outline(path.read_bytes(), "python").symbols
            if symbol.name in names or path.stem in names
        ]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return variant.load(folder, dtype="float32", threads=1, context=256)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("context") / "repo", users=8)


@pytest.fixture(scope="module")
def holes(repository: Path) -> list[CrossCase]:
    return cross_file_holes(repository, 14)


def words(text: str) -> int:
    return len(re.findall(r"\w+|\W", text))


def sight_of(
    outlines: Outlines, budget: int = BUDGET, count: Callable[[str], int] = words
) -> Sight:
    every = frozenset({"class", "function", "constant"})
    ways = {
        ALL: outlines.finder(every, count, gate=True),
        ALWAYS: outlines.finder(every, count),
        "classes alone": outlines.finder(frozenset({"class"}), count),
        "nothing alone": outlines.finder(frozenset(), count),
    }
    return Sight(outlines.root, outlines, ways, budget)


def asked(decoder: Decoder, template: str = "tandem") -> Variant:
    return Variant("tiny", decoder, template, prompt_tokens=48)


# What is looked at


def test_the_hole_is_an_unsaved_buffer_without_its_middle(
    repository: Path, holes: list[CrossCase]
) -> None:
    outlines = Outlines(repository)
    case = holes[0].case
    sight_of(outlines).look(case)
    assert outlines.told == [(case.path, case.prefix + case.suffix), (case.path, None)]
    assert outlines.buffers == {}
    assert len(outlines.asked) == 4
    for document, offset, budget in outlines.asked:
        assert document.text == case.prefix + case.suffix
        assert (document.path, document.root) == (repository / case.path, repository)
        assert (offset, budget) == (len(case.prefix), BUDGET)


def test_the_buffer_is_given_back_when_looking_is_interrupted(
    repository: Path, holes: list[CrossCase]
) -> None:
    outlines = Outlines(repository)

    def interrupted(document: Document, offset: int, budget: int) -> Context:
        raise KeyboardInterrupt

    ways = {ALL: interrupted, ALWAYS: interrupted}
    result = Comparison({"repo": Sight(repository, outlines, ways, BUDGET)}, None).run(holes)
    assert not result.complete
    assert outlines.buffers == {}


# What is found


def piece(text: str, path: str = "a.py") -> Piece:
    return Piece(path, text, "definitions", "", 0, 1)


@pytest.mark.parametrize(
    ("signature", "text", "there"),
    [
        ("deff(a,b", "def f(a, b):\n    return a\n", True),
        ("deff(a,b", "    def f(\n        a,\n        b,\n    ):\n        ...", True),
        ("deff(a,b)->int", "def f(\n    a,\n    b,\n) -> int: ...", True),
        ("deff(a,b", "@cache\ndef f(a, b): ...", True),
        ("deff(a,b", "def f(a): ...", False),
        ("deff(a,b", "def f(a, bound): ...", False),
        ("deff(a,b", "def f(a, bound): ...\ndef f(a, b): ...", True),
        ("deff(a,b", "# def f(a, b)", False),
        ("deff(a,b", "", False),
        ("classA", "class A:\n    ...", True),
        ("classA", "class Apple:\n    ...", False),
        ("limit=3", "class A:\n    limit = 3\n", True),
        ("limit=3", "def f(limit=3): ...", False),
        ("limit=3", "limit = 30", False),
        ("deff(" + "a" * 195, "def f(" + "a" * 300 + ")", True),  # a long one is compared in part
    ],
)
def test_a_signature_in_a_piece_is_found(signature: str, text: str, there: bool) -> None:
    target = Target("a.py", "f", 0, (signature,))
    assert defined_there([piece("x = 1\n"), piece(text)], target) == there
    assert not defined_there([piece(text, "b.py")], target)


def test_one_of_several_signatures_is_enough() -> None:
    target = Target("a.py", "f", 0, ("deff(a:int", "deff(a:str"))
    assert defined_there([piece("def f(a: str): ...")], target)


def test_recall_is_counted_exactly(repository: Path, holes: list[CrossCase]) -> None:
    outlines = Outlines(repository)
    result = Comparison({"repo": sight_of(outlines, budget=10_000)}, None).run(holes)
    assert result.variants == (ALL, ALWAYS, "classes alone", "nothing alone")
    assert result.holes == len(holes)
    names = [hole for hole in holes if not hole.target.container]
    classes = [hole for hole in names if hole.target.name == "Table"]
    even = [hole for hole in names if len(hole.case.prefix) % 2 == 0]
    total = len(holes)
    assert 0 < len(classes) < len(names) < total
    assert result.rate(ALWAYS, "all", "found").mean == len(names) / total
    assert result.rate(ALWAYS, "python, names", "found").mean == 1
    assert result.rate(ALWAYS, "python, members", "found").mean == 0
    assert result.rate(ALL, "all", "found").mean == len(even) / total
    assert result.rate("classes alone", "all", "found").mean == len(classes) / total
    assert result.rate("nothing alone", "all", "found").mean == 0
    assert result.rate("nothing alone", "all", "asked").mean == 0
    assert result.rate(ALWAYS, "all", "pieces").mean == 3
    assert {"first use", "used elsewhere", "name"} <= set(result.groups)


def test_the_budget_limits_what_is_found(repository: Path, holes: list[CrossCase]) -> None:
    whole = Comparison({"repo": sight_of(Outlines(repository), budget=10_000)}, None).run(holes)
    small = Comparison({"repo": sight_of(Outlines(repository), budget=20)}, None).run(holes)
    assert small.rate(ALWAYS, "all", "found").mean < whole.rate(ALWAYS, "all", "found").mean
    assert small.rate(ALWAYS, "all", "context").mean <= 20
    assert (whole.facts["over_budget"], small.facts["over_budget"]) == (0, 0)


# What is answered


def test_all_ways_are_asked_with_the_same_text_around_the_cursor(
    repository: Path, holes: list[CrossCase], decoder: Decoder
) -> None:
    sight = sight_of(Outlines(repository), count=decoder.tokenizer.count)
    plain, shorter = replace(asked(decoder), prompt_tokens=90), 0
    for hole in holes:
        pieces = sight.look(hole.case)[ALWAYS].context.pieces
        assert pieces
        shown = replace(hole.case, snippets=tuple(Context(tuple(pieces)).snippets))
        bare = plain.prompt(hole.case)
        full = replace(plain, context_tokens=BUDGET).prompt(shown)
        squeezed = plain.prompt(shown)
        assert bare
        assert full
        assert squeezed
        extra = "".join(
            plain.encoder.template.render_snippet(one) for one in Context(tuple(pieces)).snippets
        )
        assert full.text == extra + bare.text
        shorter += len(squeezed.text) < len(full.text)
    assert shorter


def test_pieces_above_the_budget_take_from_the_text(
    holes: list[CrossCase], decoder: Decoder
) -> None:
    plain = replace(asked(decoder), prompt_tokens=90)
    long = replace(holes[0].case, snippets=tuple(Context((piece("word = 1\n" * 12),)).snippets))
    full = replace(plain, context_tokens=BUDGET).prompt(long)
    bare = plain.prompt(holes[0].case)
    assert full
    assert bare
    assert not full.text.endswith(bare.text)


@pytest.fixture(scope="module")
def result(repository: Path, holes: list[CrossCase], decoder: Decoder) -> Report:
    sight = sight_of(Outlines(repository), count=decoder.tokenizer.count)
    return Comparison({"repo": sight}, asked(decoder)).run(holes)


def test_every_way_is_measured_on_the_same_holes(result: Report, holes: list[CrossCase]) -> None:
    assert result.variants == (NONE, LONGER, ALL, ALWAYS, "classes alone", "nothing alone")
    assert result.holes == len(holes)
    for name in result.variants:
        assert result.rate(name, "all", "loss").n == len(holes)
    with pytest.raises(KeyError):
        result.rate(NONE, "all", "found")


def test_context_changes_the_answers_and_nothing_changes_nothing(result: Report) -> None:
    assert result.difference(ALWAYS, NONE, "all", "loss").mean != 0
    assert result.difference(LONGER, NONE, "all", "loss").mean != 0
    for metric in ("loss", "exact", "similarity"):
        nothing = result.difference("nothing alone", NONE, "all", metric)
        assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)


def test_context_is_asked_for_where_the_gate_lets_it(
    result: Report, holes: list[CrossCase]
) -> None:
    even = sum(len(hole.case.prefix) % 2 == 0 for hole in holes)
    assert result.rate(ALL, "all", "asked").mean == even / len(holes)
    (last,) = (row for row in result.facts["gate"] if row["kind"] == "all")
    assert (last["asked"], last["holes"]) == (even / len(holes), len(holes))
    kinds = [row for row in result.facts["gate"] if row["kind"] != "all"]
    assert sum(row["holes"] for row in kinds) == len(holes)


def test_random_holes_have_no_recall(repository: Path, decoder: Decoder) -> None:
    sight = sight_of(Outlines(repository), count=decoder.tokenizer.count)
    result = Comparison({"repo": sight}, asked(decoder)).run(repository_cases(repository, 4))
    assert result.holes + result.skipped == 4
    assert result.rate(ALL, "all", "loss").n == result.holes
    with pytest.raises(KeyError):
        result.rate(ALL, "all", "found")


def test_an_interrupt_reports_what_was_measured(
    repository: Path, holes: list[CrossCase], decoder: Decoder
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    sight = sight_of(Outlines(repository), count=decoder.tokenizer.count)
    result = Comparison({"repo": sight}, asked(decoder)).run(holes, stop)
    assert (result.complete, result.holes) == (False, 3)


def test_a_report_is_the_same_after_a_trip_through_json(result: Report) -> None:
    assert Report.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_model_that_reads_the_definition_copies_it(
    tmp_path: Path, tandem_home: Path, default_model: object
) -> None:
    """The shipped model: a name that it cannot guess, and can read in a piece."""
    from completion import models
    from completion.engine import shipped

    root = tmp_path / "repo"
    (root / "pack").mkdir(parents=True)
    (root / "pack/__init__.py").write_text("")
    name = "quantize_zebra_ledger"
    code = f'def {name}(account, stripes=7):\n    """Of an account."""\n    return account\n'
    (root / "pack/ledgers.py").write_text(code + "\n\n" + "# Nothing else.\n" * 20)
    user = "from pack import ledgers\n\n\ndef total(account):\n"
    user += f'    """Quantize the ledger of the account."""\n    return ledgers.{name}(account)\n'
    (root / "pack/user.py").write_text(user + "\n\n" + "# Nothing else.\n" * 20)
    holes = [one for one in cross_file_holes(root, 9) if one.target.name == name]
    assert holes
    found = models.resolve(models.DEFAULT)
    difference = shipped.of(found)
    decoder = variant.load(found.folder, threads=2, shipped=difference)
    template = shipped.template_of(found)
    sight = sight_of(Outlines(root), 200, decoder.tokenizer.count)
    result = Comparison({"repo": sight}, Variant("served", decoder, template)).run(holes)
    assert result.rate(ALWAYS, "all", "found").mean == 1
    assert result.difference(ALWAYS, NONE, "all", "loss").mean < 0


# What is shown


def scored(loss: float, with_context: float, gained: int = 0, asked: bool = True) -> Scored:
    bare = Case("r", "a.py", "python", "", "x", "", "name", "statement")
    none = {"loss": loss, "exact": 0.0}
    always = {"loss": with_context, "exact": float(gained)}
    return Scored(bare, {NONE: none, ALWAYS: always, ALL: {"asked": float(asked)}}, 1)


def test_the_gate_is_judged_by_where_context_helped() -> None:
    members: Sequence[Scored] = [
        *(scored(2, 1, gained=1), scored(2, 1, asked=False)),
        *(scored(1, 1, asked=False), scored(1, 1.04, asked=False)),
        *(scored(1, 2), scored(1, 3), scored(1, 2), scored(1, 2, asked=False)),
    ]
    rows = {row["kind"]: row for row in context_report.gate_rows(members, NONE, ALWAYS, ALL)}
    assert [rows[kind]["holes"] for kind in ("helped", "no change", "hurt", "all")] == [2, 2, 4, 8]
    assert [rows[kind]["asked"] for kind in ("helped", "no change", "hurt")] == [0.5, 0, 0.75]
    assert (rows["helped"]["gained"], rows["all"]["gained"]) == (0.5, 0.125)
    assert rows["hurt"]["share"] == 0.5


def test_a_kind_without_holes_is_left_out() -> None:
    rows = context_report.gate_rows([scored(2, 1)], NONE, ALWAYS, ALL)
    assert [row["kind"] for row in rows] == ["helped", "all"]


def test_the_tables_show_what_was_measured(result: Report) -> None:
    console = Console(width=220, record=True)
    for table in [*result.tables(groups=["all"]), *context_report.tables(result)]:
        console.print(table)
    text = console.export_text()
    for shown in (
        "definition",
        "classes alone",
        "gate asks %",
        "p95",
        "merge",
        "Budget 60",
    ):
        assert shown in text
    assert "first use" not in text
    assert "difference from: no context" in text
