"""Packages laid out for retrieval: samples get the pieces that an editor would get."""

import pickle
from pathlib import Path

import pytest

from finetune.encode import Job, Mixture, samples
from finetune.files import SourceFile
from finetune.library import Library, lay_out
from tests.encoders import byte_encoder

ENCODER = byte_encoder()
MONEY = '''"""Amounts."""


def round_to_cents(amount: float, currency: str) -> float:
    """Half up."""
    return round(amount + 1e-9, 2)
'''
SHOP = '''"""A shop."""

from shop.money import round_to_cents


def total(prices):
    whole = sum(prices)
    return round_to_cents(whole, "EUR")


def secret_of_the_middle(rows):
    return [row.very_own_name for row in rows]
'''


def file(path: str, text: str) -> SourceFile:
    return SourceFile(path, "python", text, "0" * 64)


FILES = [file("shop/__init__.py", ""), file("shop/money.py", MONEY), file("shop/till.py", SHOP)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library({"shop": lay_out(tmp_path / "trees" / "shop", FILES)})


def pieces_at(library: Library, before: str, after: str, budget: int = 2000) -> str:
    found = library.pieces("shop", FILES[2], before, after, budget, len)
    return "\n".join(f"{piece.path}\n{piece.text}" for piece in found)


def test_the_definition_that_an_import_names_is_found(library: Library) -> None:
    before, _, after = SHOP.partition('whole, "EUR"')
    found = pieces_at(library, before, after)
    assert "shop/money.py" in found
    assert "def round_to_cents(amount: float, currency: str)" in found


def test_the_file_is_seen_without_what_is_to_be_filled_in(library: Library) -> None:
    before, middle, after = SHOP.partition("return [row.very_own_name for row in rows]")
    assert middle
    assert "very_own_name" not in pieces_at(library, before, after)


def test_pieces_keep_within_the_budget(library: Library) -> None:
    before, _, after = SHOP.partition('whole, "EUR"')
    found = library.pieces("shop", FILES[2], before, after, 60, len)
    assert sum(len(piece.text) for piece in found) <= 60


def test_an_unsaved_text_is_forgotten_after_the_look(library: Library) -> None:
    before, _, after = SHOP.partition('whole, "EUR"')
    first = pieces_at(library, before, after)
    pieces_at(library, "def round_to_cents(other):\n    return ", "\n")
    assert pieces_at(library, before, after) == first


def test_a_folder_above_that_ignores_it_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("/trees/\n")
    library = Library({"shop": lay_out(tmp_path / "trees" / "shop", FILES)})
    before, _, after = SHOP.partition('whole, "EUR"')
    assert "shop/money.py" in pieces_at(library, before, after)


def test_paths_that_lead_out_or_through_a_file_are_left_out(tmp_path: Path) -> None:
    bad = [
        file("../out.py", MONEY),
        file("/tmp/never-written.py", MONEY),
        file("shop/till.py/x.py", ""),
    ]
    root = lay_out(tmp_path / "trees" / "shop", [*FILES, *bad])
    assert not (tmp_path / "trees" / "out.py").exists()
    assert not Path("/tmp/never-written.py").exists()
    assert (root / "shop" / "till.py").is_file()


def test_laid_out_again_holds_only_what_it_is_given(tmp_path: Path) -> None:
    lay_out(tmp_path / "shop", FILES)
    root = lay_out(tmp_path / "shop", FILES[:1])
    assert [path.name for path in root.rglob("*.py")] == ["__init__.py"]


def test_another_process_gets_paths_and_opens_its_own_indexes(library: Library) -> None:
    before, _, after = SHOP.partition('whole, "EUR"')
    here = pieces_at(library, before, after)
    sent = pickle.loads(pickle.dumps(library))
    assert pieces_at(sent, before, after) == here


@pytest.mark.parametrize(("share", "expected"), [(1.0, True), (0.0, False)])
def test_so_many_samples_get_pieces_as_the_mixture_says(
    library: Library, share: float, expected: bool
) -> None:
    mixture = Mixture(
        retrieved=share, smallest_context=2000, largest_context=2000, longest=20_000, useless=0
    )
    job = Job("shop", FILES[2], 40, seed=3)
    made = samples([job], ENCODER, {}, mixture, 10**9, library=library)
    assert made
    assert any(sample.snippets for sample in made) is expected


def test_the_same_samples_on_any_number_of_processes(library: Library) -> None:
    mixture = Mixture(retrieved=0.7, longest=20_000)
    jobs = [Job("shop", FILES[number % 2 + 1], 6, seed=number) for number in range(20)]

    def made(processes: int) -> list[list[int]]:
        found = samples(jobs, ENCODER, {}, mixture, 10**9, processes, library=library)
        return [sample.ids.tolist() for sample in found]

    assert made(1) == made(2)
