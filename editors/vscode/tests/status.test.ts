import assert from "node:assert/strict";
import { test } from "node:test";

import { minutes, type Seen, type ServerStatus, shown, spoken } from "../src/pure/status";

const STATUS: ServerStatus = {
  version: "0.1.0",
  enabled: true,
  snoozedSeconds: 0,
  model: "tandem-135m",
  failure: "",
  last: { file: "/w/a.py", line: 3, shown: false, reason: "in a comment", ms: 12.4 },
};
const SEEN: Seen = {
  phase: "running",
  trouble: "",
  enabled: true,
  language: { name: "python", suggests: true },
  work: "",
  status: STATUS,
  ms: 20.2,
};

test("the reason of a silence and both times stand in the tooltip", () => {
  const { text, lines } = shown(SEEN);
  assert.match(text, /^\$\(\S+\) Tandem$/);
  assert.ok(
    lines.includes(
      "Last answer: nothing: in a comment, at a.py:3, 12 ms in the server, 20 ms as seen here",
    ),
  );
});

test("off is said in the text itself, whoever switched it off", () => {
  assert.match(shown({ ...SEEN, enabled: false }).text, /Tandem off$/);
  const status = { ...STATUS, enabled: false };
  assert.match(shown({ ...SEEN, status }).text, /Tandem off$/);
});

test("a snooze and a language that is off are quiet, not off", () => {
  const snoozed = shown({ ...SEEN, status: { ...STATUS, snoozedSeconds: 61 } });
  assert.match(snoozed.text, /bell-slash\) Tandem$/);
  assert.equal(snoozed.lines[0], "Snoozed for 2 minutes more");
  const language = shown({ ...SEEN, language: { name: "xml", suggests: false } });
  assert.equal(language.lines[0], "Suggestions are off for xml");
});

test("a server that is not there is a problem with its trouble", () => {
  const now = shown({ ...SEEN, phase: "missing", trouble: "tandem is not there" });
  assert.ok(now.isProblem);
  assert.deepEqual(now.lines, ["tandem is not there"]);
});

test("work under way is told", () => {
  const now = shown({ ...SEEN, work: "loading the model" });
  assert.match(now.text, /loading~spin/);
  assert.ok(now.lines.includes("At work: loading the model"));
});

test("a screen reader hears no icons", () => {
  assert.match(spoken(shown(SEEN)), /^Tandem\. Suggestions are on\. /);
});

test("before the first answer", () => {
  assert.ok(
    shown({ ...SEEN, status: { ...STATUS, last: null } }).lines.includes("Last answer: none yet"),
  );
});

test("minutes are rounded up", () => {
  assert.equal(minutes(1), "1 minute");
  assert.equal(minutes(60), "1 minute");
  assert.equal(minutes(1740.5), "30 minutes");
});
