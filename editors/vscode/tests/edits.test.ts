import assert from "node:assert/strict";
import { test } from "node:test";

import { edited, filesOf, type TextEdit } from "../src/pure/edits";

function edit(from: [number, number], to: [number, number], newText: string): TextEdit {
  const [start, end] = [from, to].map(([line, character]) => ({
    line: line,
    character: character,
  }));
  return { range: { start: start!, end: end! }, newText };
}

test("edits of several places are those of the text as it was", () => {
  const edits = [
    edit([1, 0], [1, 1], "B"),
    edit([0, 0], [0, 1], "AAA\n"),
    edit([2, 1], [2, 1], "!"),
  ];
  assert.equal(edited("a\nb\nc", edits), "AAA\n\nB\nc!");
});

test("two insertions at one place keep their order", () => {
  assert.equal(edited("x", [edit([0, 0], [0, 0], "1"), edit([0, 0], [0, 0], "2")]), "12x");
});

test("a place behind the text's end is its end", () => {
  assert.equal(edited("a\n", [edit([7, 3], [9, 0], "b\n")]), "a\nb\n");
});

test("line ends of all three kinds are counted as lines", () => {
  assert.equal(edited("a\r\nb\rc\n", [edit([1, 0], [2, 1], "x")]), "a\r\nx\n");
});

test("signs of two units are counted as two", () => {
  assert.equal(edited("😀b", [edit([0, 2], [0, 3], "c")]), "😀c");
});

test("edits that overlap are refused", () => {
  const edits = [edit([0, 0], [0, 2], "x"), edit([0, 1], [0, 3], "y")];
  assert.throws(() => edited("abc", edits), /overlap/);
});

test("the files of both forms of a WorkspaceEdit", () => {
  const one = edit([0, 0], [0, 0], "x");
  const files = filesOf({
    changes: { "file:///b.py": [one] },
    documentChanges: [
      { kind: "create", uri: "file:///a.py" },
      { textDocument: { uri: "file:///a.py", version: null }, edits: [one] },
      { textDocument: { uri: "file:///c.py", version: 7 }, edits: [one] },
    ],
  });
  assert.deepEqual(
    files.map(({ uri, isNew, version, edits }) => [uri, isNew, version, edits.length]),
    [
      ["file:///a.py", true, null, 1],
      ["file:///b.py", false, null, 1],
      ["file:///c.py", false, 7, 1],
    ],
  );
});

test("what a review cannot show is refused", () => {
  assert.throws(
    () => filesOf({ documentChanges: [{ kind: "delete", uri: "file:///a" }] }),
    /delete/,
  );
});

test("no changes are no files", () => {
  assert.deepEqual(filesOf({ changes: null, documentChanges: null }), []);
});
