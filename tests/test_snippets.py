"""Snippets of other files: the definition that a hole uses, or one of no use."""

import random

from hypothesis import given
from hypothesis import strategies as st

from finetune import files, snippets
from finetune.files import SourceFile
from finetune.snippets import Definitions, cross_file_cases, definitions_in
from tests.repositories import module

SHAPES = '''"""Shapes."""

import math


class Polygon:
    """A closed line."""

    sides = 3

    def perimeter_of(self, corners: list) -> float:
        """The sum of the sides."""
        return sum(corners)


def circle_area(radius: float, precision: int = 2) -> float:
    """The area of a circle.

    Rounded.
    """
    def local_helper():
        return math.pi
    return round(local_helper() * radius**2, precision)


@decorated(twice=True)
def shaded(form):
    return form
'''
FILLER = "\n".join(f"value_{n} = compute_{n}(value_{n - 1})" for n in range(1, 90)) + "\n"
USER = f'''"""Uses shapes, a café."""

import os
from pack.shapes import Polygon, circle_area

{FILLER}

def total(rows, polygon):
    area = sum(circle_area(row, 3) for row in rows)
    return area + polygon.perimeter_of(rows)
'''


def source(path: str, text: str) -> SourceFile:
    return SourceFile(path, "python", text, "0" * 64)


FILES = [source("pack/shapes.py", SHAPES), source("pack/user.py", USER)]
KNOWN = Definitions.of(FILES)


def right(middle: str, path: str = "pack/user.py", text: str = USER) -> list[str]:
    start = text.index(middle)
    found = KNOWN.right(text, start, start + len(middle), path, "python")
    return [snippet.text.split("\n")[0] for snippet in found]


def test_functions_classes_and_methods_are_definitions_and_inner_functions_are_not() -> None:
    names = [found.name for found in definitions_in(FILES[0])]
    assert sorted(names) == ["Polygon", "circle_area", "perimeter_of", "shaded"]


def test_a_snippet_begins_with_decorator_or_header_and_has_the_docstring() -> None:
    texts = {found.name: found.snippet.text for found in definitions_in(FILES[0])}
    assert texts["shaded"].startswith("@decorated(twice=True)\ndef shaded(form):")
    assert texts["circle_area"].startswith("def circle_area(radius: float, precision: int = 2)")
    assert "The area of a circle." in texts["circle_area"]


def test_a_methods_snippet_tells_its_class() -> None:
    texts = {found.name: found.snippet.text for found in definitions_in(FILES[0])}
    assert texts["perimeter_of"].startswith("class Polygon:\n    def perimeter_of(self")


def test_the_definition_of_an_imported_name_is_found() -> None:
    assert right("circle_area(row, 3)") == [
        "def circle_area(radius: float, precision: int = 2) -> float:"
    ]


def test_the_definition_of_a_method_is_found() -> None:
    assert right("polygon.perimeter_of(rows)") == ["class Polygon:"]


def test_a_name_that_the_file_does_not_import_is_another_one() -> None:
    text = USER.replace("from pack.shapes import Polygon, circle_area", "")
    assert right("circle_area(row, 3)", text=text) == []


def test_a_member_of_an_imported_module_is_no_method() -> None:
    text = USER.replace("polygon.perimeter_of(rows)", "os.perimeter_of(rows)")
    assert right("os.perimeter_of(rows)", text=text) == []


def test_a_method_named_as_one_of_a_built_in_type_is_taken_for_that() -> None:
    own = Definitions.of([source("a.py", SHAPES.replace("perimeter_of", "append"))])
    text = USER.replace("perimeter_of", "append")
    start = text.index("polygon.append(rows)")
    assert own.right(text, start, start + 20, "pack/user.py", "python") == []


def test_a_name_shown_near_the_hole_needs_no_snippet() -> None:
    text = USER.replace("    area =", "    circle_area(1, 2)\n    area =")
    assert right("circle_area(row, 3)", text=text) == []


def test_a_name_that_the_file_defines_itself_needs_no_snippet() -> None:
    own = Definitions.of([*FILES, source("pack/user.py", "def circle_area():\n    return 1\n")])
    start = USER.index("circle_area(row, 3)")
    assert own.right(USER, start, start + 19, "pack/user.py", "python") == []


def test_a_name_with_many_definitions_tells_nothing() -> None:
    many = [source(f"pack/{n}.py", SHAPES) for n in range(snippets.MOST_DEFINITIONS + 1)]
    start = USER.index("circle_area(row, 3)")
    assert Definitions.of(many).right(USER, start, start + 19, "u.py", "python") == []


def test_a_useless_snippet_is_of_another_file_and_not_named_in_the_hole() -> None:
    rng = random.Random(0)
    drawn = [KNOWN.useless("pack/user.py", "circle_area(row, 3)", rng) for _ in range(50)]
    shown = [snippet for snippet in drawn if snippet]
    assert len(shown) > 25
    assert all(snippet.path == "pack/shapes.py" for snippet in shown)
    assert not any("def circle_area" in snippet.text for snippet in shown)


def test_shares_of_snippets_are_those_asked_for() -> None:
    start = USER.index("circle_area(row, 3)")
    place = (USER, start, start + 19, "pack/user.py", "python")
    rng = random.Random(0)
    drawn = [KNOWN.draw(*place, rng, right=0.4, useless=0.3) for _ in range(2000)]
    true = [any("def circle_area" in s.text for s in shown) for shown in drawn]
    other = [any("def circle_area" not in s.text for s in shown) for shown in drawn]
    assert 0.36 < sum(true) / 2000 < 0.44
    assert 0.24 < sum(other) / 2000 < 0.34
    assert any(a and b for a, b in zip(true, other, strict=True))
    assert not any(KNOWN.draw(*place, rng, right=0, useless=0) for _ in range(50))


def test_a_language_without_a_grammar_has_no_definitions() -> None:
    assert list(definitions_in(SourceFile("a.go", "go", module(1), "0" * 64))) == []
    assert snippets.names(module(1), "go").uses == []


@given(st.text(max_size=200))
def test_names_stand_where_they_say(text: str) -> None:
    text = f"café = naïve.größe({text!r})\n{text}\nlast_name = first_name\n"
    for use in snippets.names(text, "python").uses:
        assert text[use.offset : use.offset + len(use.name)] == use.name


@given(st.text(max_size=300))
def test_snippets_of_any_text_are_short_and_from_the_text(text: str) -> None:
    text = f"{SHAPES}\n{text}\nclass Other:\n  def method(self): {text!r}\n"
    for found in definitions_in(source("a.py", text)):
        assert len(found.snippet.text) <= snippets.MAX_CHARACTERS
        assert found.snippet.text.count("\n") < snippets.MAX_LINES
        assert all(line in text for line in found.snippet.text.split("\n"))


def test_cross_file_cases_come_in_three_forms_of_the_same_hole() -> None:
    users = [source(f"pack/user{n}.py", USER.replace("total", f"total_{n}")) for n in range(60)]
    held = cross_file_cases([("pack", [FILES[0], *users])], 8, seed=3)
    assert len(held.right) == len(held.without) == len(held.useless) == 8
    for with_it, without, useless in zip(held.right, held.without, held.useless, strict=True):
        assert without.snippets == ()
        assert with_it.middle == without.middle == useless.middle
        assert with_it.prefix == without.prefix == useless.prefix
        (shown,) = with_it.snippets
        assert shown.path == "pack/shapes.py"
        assert "circle_area" in with_it.middle or "perimeter_of" in with_it.middle
        assert useless.snippets[0] != shown


def test_cross_file_cases_are_the_same_for_the_same_seed() -> None:
    packages = [("pack", FILES)]
    assert cross_file_cases(packages, 4, seed=1) == cross_file_cases(packages, 4, seed=1)


def test_every_language_has_an_ending() -> None:
    assert {"python", "javascript", "typescript", "go", "rust", "java", "c"} == set(
        files.LANGUAGE_OF.values()
    )
