"""In every language: a call brings the signature of what another file defines, by its import."""

from pathlib import Path

import pytest

from completion.document import Document, language_of
from completion.index import Index, Indexer
from completion.retrieve import Retriever

CURSOR = "‸"

# (the file being typed in, its text, the defining file, its text, what must be shown)
CASES = {
    "javascript": (
        "src/app.js",
        "import { addTax } from './lib/money.js'\n\nfunction f(x) {\n  return addTax(‸\n}\n",
        "src/lib/money.js",
        "// With tax.\nexport function addTax(cents, rate) {\n  return cents * rate\n}\n",
        "function addTax(cents, rate)",
    ),
    "javascript index": (
        "src/app.js",
        "const { addTax } = require('./money')\n\nlet y = addTax(‸\n",
        "src/money/index.js",
        "function addTax(cents, rate) {\n  return cents * rate\n}\nmodule.exports = { addTax }\n",
        "function addTax(cents, rate)",
    ),
    "typescript": (
        "src/app.ts",
        "import { Till } from '@/shop/till'\n\nfunction f(till: Till) {\n  till.‸\n}\n",
        "src/shop/till.ts",
        "export class Till {\n  openDrawer(key: string): boolean {\n    return true\n  }\n}\n",
        "openDrawer(key: string): boolean",
    ),
    "tsx": (
        "src/App.tsx",
        "import { useCart } from './hooks'\n\nexport const App = () => {\n  const c = useCart(‸\n}\n",
        "src/hooks.ts",
        "export function useCart(id: number): string[] {\n  return []\n}\n",
        "function useCart(id: number): string[]",
    ),
    "go": (
        "cmd/main.go",
        'package main\n\nimport "example.org/shop/money"\n\nfunc main() {\n\tx := money.AddTax(‸\n}\n',
        "money/tax.go",
        "package money\n\n// AddTax adds it.\nfunc AddTax(cents int, rate float64) int {\n\treturn 0\n}\n",
        "func AddTax(cents int, rate float64) int",
    ),
    "go same folder": (
        "money/total.go",
        "package money\n\nfunc total() int {\n\treturn AddTax(‸\n}\n",
        "money/tax.go",
        "package money\n\nfunc AddTax(cents int, rate float64) int {\n\treturn 0\n}\n",
        "func AddTax(cents int, rate float64) int",
    ),
    "go, a name not typed yet": (
        "render/xml.go",
        "package render\n\n// WriteContentType writes it.\n"
        "func (r XML) WriteContentType(w io.Writer) {\n\t‸\n}\n",
        "render/render.go",
        "package render\n\nfunc writeContentType(w io.Writer, value []string) {\n\tset(w)\n}\n",
        "func writeContentType(w io.Writer, value []string)",
    ),
    "rust": (
        "src/main.rs",
        "use crate::money::add_tax;\n\nfn main() {\n    let x = add_tax(‸\n}\n",
        "src/money.rs",
        "/// With tax.\npub fn add_tax(cents: u64, rate: f64) -> u64 {\n    cents\n}\n",
        "pub fn add_tax(cents: u64, rate: f64) -> u64",
    ),
    "java": (
        "src/shop/App.java",
        "package shop;\n\nimport shop.money.Till;\n\nclass App {\n  void f(Till till) {\n"
        "    till.‸\n  }\n}\n",
        "src/shop/money/Till.java",
        "package shop.money;\n\npublic class Till {\n  public int addTax(int cents) {\n"
        "    return cents;\n  }\n}\n",
        "public int addTax(int cents)",
    ),
    "c": (
        "src/main.c",
        '#include "money.h"\n\nint main(void) {\n  return add_tax(‸\n}\n',
        "src/money.c",
        "int add_tax(int cents, double rate) {\n  return cents;\n}\n",
        "int add_tax(int cents, double rate)",
    ),
    "cpp": (
        "src/main.cpp",
        '#include "till.hpp"\n\nint main() {\n  Till till;\n  till.‸\n}\n',
        "src/till.hpp",
        "class Till {\n public:\n  int addTax(int cents) { return cents; }\n};\n",
        "int addTax(int cents)",
    ),
    "csharp": (
        "src/App.cs",
        "using Shop.Money;\n\nclass App {\n  int F(Till till) {\n    return till.‸\n  }\n}\n",
        "src/Money/Till.cs",
        "namespace Shop.Money {\n  public class Till {\n    public int AddTax(int cents) {\n"
        "      return cents;\n    }\n  }\n}\n",
        "public int AddTax(int cents)",
    ),
    "ruby": (
        "lib/app.rb",
        "require_relative 'money'\n\ndef total\n  add_tax(‸\nend\n",
        "lib/money.rb",
        "# With tax.\ndef add_tax(cents, rate)\n  cents\nend\n",
        "def add_tax(cents, rate)",
    ),
    "php": (
        "src/app.php",
        "<?php\nrequire 'money.php';\n\nfunction total() {\n  return add_tax(‸\n}\n",
        "src/money.php",
        "<?php\nfunction add_tax(int $cents, float $rate): int {\n  return $cents;\n}\n",
        "function add_tax(int $cents, float $rate): int",
    ),
    "shell": (
        "bin/run.sh",
        "#!/bin/bash\nsource ./lib.sh\n\nadd_tax ‸\n",
        "bin/lib.sh",
        "# Adds tax to an amount.\nadd_tax() {\n  echo $(( $1 * 2 ))\n}\n",
        "add_tax()",
    ),
    "lua": (
        "src/app.lua",
        'local money = require("money")\n\nlocal x = money.add_tax(‸\n',
        "src/money.lua",
        "local M = {}\n\nfunction M.add_tax(cents, rate)\n  return cents\nend\n\nreturn M\n",
        "add_tax(cents, rate)",
    ),
    "kotlin": (
        "src/shop/App.kt",
        "package shop\n\nimport shop.money.addTax\n\nfun main() {\n    val x = addTax(‸\n}\n",
        "src/shop/money/addTax.kt",
        "package shop.money\n\nfun addTax(cents: Int, rate: Double): Int {\n    return cents\n}\n",
        "fun addTax(cents: Int, rate: Double): Int",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_call_brings_the_signature_from_the_other_file(
    name: str, tmp_path: Path, empty_home: Path
) -> None:
    path, marked, other, definition, wanted = CASES[name]
    root = tmp_path / "work"
    for file, text in ((path, marked.replace(CURSOR, "")), (other, definition)):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    Indexer(root).update()
    index = Index(root)
    try:
        retriever = Retriever(index, len, gate=False, time_box_ms=float("inf"))
        document = Document(root / path, language_of(Path(path)), marked.replace(CURSOR, ""))
        found = retriever.context(document, marked.index(CURSOR), 2000)
    finally:
        index.close()
    structural = [piece for piece in found.pieces if piece.source != "lexical"]
    shown = [piece for piece in structural if piece.path == other and wanted in piece.text]
    assert shown, [(piece.path, piece.source, piece.text) for piece in found.pieces]


@pytest.mark.parametrize("ending", ["js", "py"])
def test_files_that_import_from_each_other_end_nowhere(
    ending: str, tmp_path: Path, empty_home: Path
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        js = f"export {{ lost }} from './{other}'\nimport {{ lost }} from './{other}'\n"
        text = js if ending == "js" else f"from {other} import lost\nfrom {other} import *\n"
        (root / f"{one}.{ending}").write_text(text)
    Indexer(root).update()
    index = Index(root)
    head = "import { lost } from './a'\n" if ending == "js" else "from a import lost\n"
    try:
        document = Document(root / f"x.{ending}", language_of(Path(f"x.{ending}")), head + "lost(")
        found = Retriever(index, len, gate=False).context(document, len(head) + 5, 2000)
    finally:
        index.close()
    assert not [piece for piece in found.pieces if piece.symbol == "lost"]


def test_fields_without_a_type_and_what_only_a_runner_calls_are_no_names_of_a_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "a_test.go").write_text(
        "package a\n\nvar cases = []struct{ total int }{}\n\nfunc TestTotal(t *testing.T) {\n}\n"
        "func checkTotal(t *testing.T) {\n}\n"
    )
    text = "package a\n\nfunc TestOfTotal(t *testing.T) {\n\ttotal := \n}\n"
    (tmp_path / "b_test.go").write_text(text)
    Indexer(tmp_path).update()
    document = Document(tmp_path / "b_test.go", "go", text)
    index = Index(tmp_path)
    context = Retriever(index, len).context(document, text.index(":= ") + 3, 4000)
    index.close()
    assert [piece.symbol for piece in context.pieces if piece.source == "definitions"] == [
        "checkTotal"
    ]
