import assert from "node:assert/strict";
import { test } from "node:test";

import { evidence, fenced, remarks } from "../src/pure/answer";
import { blocksOf, spansOf } from "../src/pure/markdown";

test("paragraphs, headings, lists and code are blocks", () => {
  const blocks = blocksOf("# Title\nOne\ntwo\n\n- a\n  - b\n1. c\n\n```python\nx = 1\n```\nend");
  assert.deepEqual(
    blocks.map((block) => [block.kind, "spans" in block ? block.spans[0]?.text : block.text]),
    [
      ["heading", "Title"],
      ["paragraph", "One\ntwo"],
      ["item", "a"],
      ["item", "b"],
      ["item", "c"],
      ["code", "x = 1"],
      ["paragraph", "end"],
    ],
  );
  assert.deepEqual(
    blocks.flatMap((block) => (block.kind === "item" ? [[block.ordered, block.depth]] : [])),
    [
      [false, 0],
      [false, 1],
      [true, 0],
    ],
  );
});

test("a fence that has not ended yet is open, and holds all that follows", () => {
  const [block] = blocksOf("```py\na = `b`\n# no heading");
  assert.deepEqual(block, {
    kind: "code",
    language: "py",
    text: "a = `b`\n# no heading",
    open: true,
  });
});

test("a fence is closed by one that is as long, not by a shorter one", () => {
  const [block, after] = blocksOf("````\n```\nx\n````\ny");
  assert.equal(block?.kind === "code" && block.text, "```\nx");
  assert.equal(after?.kind, "paragraph");
});

test("code, strong and emphasised text; lone signs stay", () => {
  assert.deepEqual(spansOf("a `b*c*` **d** *e* f*g 2 * 3 * 4"), [
    { kind: "text", text: "a " },
    { kind: "code", text: "b*c*" },
    { kind: "text", text: " " },
    { kind: "strong", text: "d" },
    { kind: "text", text: " " },
    { kind: "emphasis", text: "e" },
    { kind: "text", text: " f*g 2 * 3 * 4" },
  ]);
});

test("no text is lost, whatever the signs", () => {
  for (const text of ["<b>x</b>", "**", "``", "*a", "`a", "a ** b ** c", "***a***", "`` ` ``"]) {
    const told = spansOf(text)
      .map((span) => span.text)
      .join("");
    assert.equal(told.replace(/[`*]/g, ""), text.replace(/[`*]/g, ""), text);
  }
});

test("a fence is longer than any that the text holds", () => {
  assert.equal(fenced("a\n```\nb\n", "diff"), "````diff\na\n```\nb\n````");
});

test("what is said beside an answer", () => {
  const lines = remarks({
    text: "",
    leftOut: ["big.py"],
    warnings: ["it does not parse"],
    tests: { path: "t.py", passed: ["a"], failed: ["b"], output: "" },
  });
  assert.deepEqual(lines, [
    "- Left out: big.py",
    "- Warning: it does not parse",
    "- In the sandbox: 1 passed, 1 failed",
    "- Failed: `b`",
  ]);
});

test("the evidence of a fix names the tests, the patch and the run", () => {
  const told = evidence({
    text: "off-by-one: verified",
    failing: ["tests/test_a.py::test_b"],
    diff: "-a\n+b\n",
    run: "20261127-1",
  });
  for (const part of [
    "**off-by-one: verified**",
    "test_b",
    "```diff\n-a\n+b\n```",
    "audit show 20261127-1",
  ]) {
    assert.ok(told.includes(part), part);
  }
});
