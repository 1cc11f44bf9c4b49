import assert from "node:assert/strict";
import { test } from "node:test";

import { ahead, extending, fits, rest, short } from "../src/pure/suggestion";

test("an insertion fits where it holds the cursor and says something", () => {
  assert.ok(fits({ text: "x", start: 3, end: 4 }, 3));
  assert.ok(fits({ text: "x", start: 3, end: 4 }, 4));
  assert.ok(!fits({ text: "x", start: 3, end: 4 }, 5));
  assert.ok(!fits({ text: "x", start: 3, end: 4 }, 2));
  assert.ok(!fits({ text: "", start: 3, end: 3 }, 3));
});

test("what goes on with the list's item is shown in that item's place", () => {
  const line = "y = os.pa";
  const found = extending({ text: "th.join(a)", start: 9, end: 9 }, line, {
    text: "path",
    start: 7,
    end: 9,
  });
  assert.deepEqual(found, { text: "path.join(a)", start: 7, end: 9 });
});

test("what says something else than the list's item is not shown", () => {
  const line = "y = os.pa";
  const item = { text: "pardir", start: 7, end: 9 };
  assert.equal(extending({ text: "th.join(a)", start: 9, end: 9 }, line, item), undefined);
});

test("what is the list's item and no more is not shown", () => {
  const item = { text: "path", start: 7, end: 9 };
  assert.equal(extending({ text: "th", start: 9, end: 9 }, "y = os.pa", item), undefined);
});

test("an item that replaces more than the suggestion does is left alone", () => {
  const item = { text: "path", start: 7, end: 12 };
  assert.equal(extending({ text: "th.x", start: 9, end: 9 }, "y = os.pa_old", item), undefined);
});

test("an item that begins behind the suggestion's start is left alone", () => {
  const item = { text: "path", start: 9, end: 9 };
  assert.equal(extending({ text: "pathx", start: 7, end: 9 }, "y = os.pa", item), undefined);
});

test("what an insertion adds begins behind the cursor", () => {
  assert.equal(ahead({ text: "path.join", start: 7, end: 9 }, "y = os.pa", 9), "th.join");
  assert.equal(ahead({ text: "(a)", start: 9, end: 10 }, "y = os.pa)", 9), "(a)");
});

test("what is left of a suggestion that was begun", () => {
  assert.equal(rest("a + b", "a "), "+ b");
  assert.equal(rest("a + b", "a + b"), "");
  assert.equal(rest("a + b", "b"), undefined);
});

test("a label is one line", () => {
  assert.equal(short("a\n    b\r\nc", 20), "a ↵ b ↵ c");
  assert.equal(short("  abcdef", 4), "abc…");
  assert.equal(short("abcd", 4), "abcd");
});
