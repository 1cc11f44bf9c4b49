"""Three small repositories with a bug each, and the fix that a model would know."""

from dataclasses import dataclass
from pathlib import Path

PAGING = Path(__file__).parents[1] / "examples" / "paging"


@dataclass(frozen=True)
class Bug:
    """`files` by path, of which `path` has `wrong` where `right` should be."""

    name: str
    path: str
    wrong: str
    right: str
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        for path, text in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)


def _paging() -> dict[str, str]:
    names = ("paging.py", "pyproject.toml", "tests/test_paging.py")
    return {name: (PAGING / name).read_text() for name in names}


BUGS = (
    Bug(
        "paging",
        "paging.py",
        "return list(range(first, last))",
        "return list(range(first, last + 1))",
        _paging(),
    ),
    Bug(
        "basket",
        "basket.py",
        "        if count > 0:\n            total += price",
        "        if count > 0:\n            total += price * count",
        {
            "basket.py": '''"""What a basket costs."""


def cost(rows):
    """The sum over rows of price and count."""
    total = 0
    for price, count in rows:
        if count > 0:
            total += price
    return total
''',
            "tests/test_basket.py": """from basket import cost


def test_one_of_each():
    assert cost([(3, 1), (4, 1)]) == 7


def test_several():
    assert cost([(3, 2), (4, 0)]) == 6


def test_many():
    assert cost([(2, 5)]) == 10


def test_none():
    assert cost([]) == 0
""",
        },
    ),
    Bug(
        "names",
        "names.py",
        "return parts[0]",
        "return parts[-1]",
        {
            "names.py": '''"""Parts of people's names."""


def surname(name):
    """The last word of a name; "" if it has none."""
    parts = name.split()
    if not parts:
        return ""
    return parts[0]
''',
            "tests/test_names.py": """from names import surname


def test_two_words():
    assert surname("Ada Lovelace") == "Lovelace"


def test_three_words():
    assert surname("Grace Brewster Hopper") == "Hopper"


def test_one_word():
    assert surname("Plato") == "Plato"


def test_nothing():
    assert surname(" ") == ""
""",
        },
    ),
)
