"""The fuzz of what is shown: its holes, its answers, and that its checks see what they are for."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.overlap import start
from benchmarks.parts import answers, checks
from benchmarks.parts.answers import Answer
from benchmarks.parts.fuzz_holes import Spot, answer, cuts, files_by_group, special_tokens, spots

REPOSITORY = Path(__file__).parent.parent
FILES = {
    "a.py": "import os\n\n\ndef first(items, limit):\n    kept = items[:limit]\n    return kept\n\n\n"
    "def second(path):\n    with open(path) as stream:\n        return stream.read()\n",
    "b.js": "const rows = load('a');\nfunction show(one) {\n  // draw it\n  return draw(one, `x${1}`);\n}\n"
    "module.exports = { show, rows };\nconst other = rows.map((row) => row.length);\n",
    "c.go": "package a\n\nimport \"fmt\"\n\nfunc Total(rows []int) int {\n\tkept := 0\n\tfor _, row := "
    "range rows {\n\t\tkept += row\n\t}\n\tfmt.Println('x', `raw`)\n\treturn kept\n}\n",
    "d.rs": "fn total<'a>(rows: &'a [u32]) -> u32 {\n    let mut kept = 0;\n    for row in rows {\n"
    "        kept += row;\n    }\n    println!(\"{}\", kept);\n    kept\n}\n",
    "e.c": "#include <stdio.h>\n\nstatic int total(int *rows, int count) {\n    int kept = 0;\n"
    "    for (int i = 0; i < count; i++) {\n        kept += rows[i];\n    }\n    return kept;\n}\n",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        Path(tmp_path, name).write_text(text * 3 if name != "e.c" else text + text[20:] * 2)
    return tmp_path


def spot(document: str, language: str = "python") -> Spot:
    """`a[b]c`, with « and » for the brackets: b is cut out of abc."""
    prefix, rest = document.split("«")
    middle, suffix = rest.split("»")
    text = prefix + middle + suffix
    return Spot(Path("a"), language, text, len(prefix), len(prefix) + len(middle))


@pytest.mark.parametrize(
    ("document", "shown", "errors"),
    [
        ("x = f(«a», b)\n", "a", []),
        ("x = f(«a», bcd)\n", "a, bcd", [checks.REPEATS]),
        ("x = «first» + second\n", "first + second", [checks.REPEATS]),
        ("«a = 1»\nreturned_value = 2\nb = 3\n", "a = 1\nreturned_value = 2", [checks.REPEATS]),
        ("«a = 1»\nb = 2\nc = 3\n", "a = 1\nb = 2", []),
        ("«a = 1»\nb = 2\nc = 3\n", "a = 1\nb = 2\nc = 3", [checks.REPEATS]),
        ("x = f(«a»)\n", "a)", [checks.UNBALANCES]),
        ("x = f(«a»)\n", "(a", [checks.UNBALANCES]),
        ("x = f(«a)»\n", "a", []),
        ("x = «1»\n", "'a", [checks.UNBALANCES]),
        ("x = «1»\n", "')'", []),
        ("x = «1»  # (\n", "2", []),
        ("x = «1»\n", "1<|fim_pad|>", [checks.LEAKS]),
        ("x = «1»\n", "<file_sep>", [checks.LEAKS]),
        ("x = «1»  # <file_sep>\n", "<file_sep>", []),
        ("x = a«[PREFIX]»\n", "[PREFIX]", []),
        ("x = f(«a», b)\n", "a  #", [checks.UNBALANCES, checks.DELETES]),
        ("x = «a» + b\n", "a  #", [checks.DELETES]),
        ("# x = «a» + b\n", "a  #", []),
        ("f('«a')\ng(»'b')\n", "a')", []),
    ],
)
def test_checks_see_the_errors(document: str, shown: str, errors: list[str]) -> None:
    assert checks.errors(spot(document), shown) == errors


@pytest.mark.parametrize(
    ("language", "document", "shown", "errors"),
    [
        ("javascript", "f(«a»);\n", "a /* b */", []),
        ("javascript", "f(«a»);\n", "a //", [checks.UNBALANCES, checks.DELETES]),
        ("javascript", "f(«a»);\n", "`a", [checks.UNBALANCES, checks.DELETES]),
        ("javascript", "f(«a»);\n", "/[(]/", []),
        ("javascript", "f(\n  /a«»b/,\n);\n", "'`(", []),
        ("javascript", "f([/a«»b/, c]);\n", "'`(", []),
        ("javascript", "f();\n  /a«»b/.test(c);\n", "'`(", []),
        ("javascript", "f(a\n  /«»b);\n", "'", [checks.UNBALANCES, checks.DELETES]),
        ("typescriptreact", "const a = <b>«»c</b>;\n", '"(', []),
        ("typescriptreact", "const a = <b>«»c</b>;\n", "{/*", [checks.UNBALANCES, checks.DELETES]),
        ("typescriptreact", "const a = f(«b») + <c>d</c>;\n", "b) //", [checks.DELETES]),
        ("go", "f(«'('»)\n", "'('", []),
        ("go", "f(«a»)\n", "`\\`", []),
        ("rust", "fn f<'a>(«x: &'a str») {}\n", "y: &'a str", []),
        ("rust", "f(«a»);\n", 'r#"("#', []),
        ("c", "«int a;»\nint b;\n", "/* int a;", [checks.UNBALANCES]),
    ],
)
def test_checks_read_other_languages(
    language: str, document: str, shown: str, errors: list[str]
) -> None:
    assert checks.errors(spot(document, language), shown) == errors


def test_the_true_text_is_never_an_error(folder: Path) -> None:
    for paths in files_by_group([folder], ("python", "javascript", "go", "rust")).values():
        for make in (spots, cuts):
            for one in make(paths, 60, random.Random(1)):
                assert checks.errors(one, one.middle) == []
                assert one.prefix + one.middle + one.suffix == one.text


def test_answers_are_those_of_the_seed_and_of_all_kinds(folder: Path) -> None:
    paths = files_by_group([folder], ("python",))["python"]

    def made() -> list[tuple[str, str, bool]]:
        rng = random.Random(2)
        return [answer(one, rng, ["other = 1"]) for one in spots(paths, 200, rng)]

    found = made()
    assert found == made()
    kinds = {kind for how, _, _ in found for kind in how.split(" + ")}
    assert len(kinds) == 11
    assert any(token in text for _, text, _ in found for token in special_tokens())
    assert {ended for _, _, ended in found} == {True, False}


def test_an_answer_is_read_as_it_was_saved(folder: Path, tmp_path: Path) -> None:
    groups = files_by_group([folder], ("python", "rust"))
    made = list(answers.made(groups, 20, 3))
    assert {one.spot.group for one in made} == {"python", "rust"}
    tokens = ((2, -0.5), (7, -0.25))
    made = [replace(one, tokens=tokens) for one in made]
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join(map(answers.save, made)) + "\n")
    assert list(answers.load(file)) == made


def test_the_likely_part_is_what_the_editor_shows_first() -> None:
    place = spot("total = «first + second»\n")
    tokens = ((5, -0.1), (7, -0.2), (14, -6.0))
    one = Answer(place, "model", "first + second", True, tokens)
    assert start(one, "first + second") == "first +"
    assert start(one, "first + other") == "first + other"
    assert start(replace(one, tokens=()), "first + second") == "first + second"


def test_kept_answers_are_judged_without_a_model(folder: Path, tmp_path: Path) -> None:
    groups = files_by_group([folder], ("python",))
    places = [one.spot for one in answers.made(groups, 30, 5) if one.spot.middle.strip()]
    right = [Answer(one, "model", one.middle, True) for one in places]
    file, figures = tmp_path / "answers.jsonl", tmp_path / "figures.json"
    file.write_text("\n".join(map(answers.save, right)) + "\n")
    result = run("--repos", folder, "--answers", file, "--json", figures)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(figures.read_text())["python"]
    assert found["holes"] == found["answers"] == len(right)
    assert found["judged"] == found["parsed"] == found["starts_parsed"] > 0


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.overlap", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY, env=environment
    )


def test_the_fuzz_finds_no_error_and_writes_its_figures(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = run("--repos", folder, "--quick", "--json", file)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "headline: overlap_errors 0"
    figures = json.loads(file.read_text())
    assert figures["all"]["holes"] == 400
    assert 0 < figures["all"]["shown"] < 400
    assert set(figures) >= {"python", "javascript", "go", "rust", "c"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repos", "no such folder"], "There is no folder"),
        (["--repos", "docs"], "No files of"),
        (["--repos", "completion", "--holes", "-3"], "--holes must be above zero"),
    ],
)
def test_bad_arguments_are_told_in_a_line(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
