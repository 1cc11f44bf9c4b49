import assert from "node:assert/strict";
import { test } from "node:test";

import { Deaths } from "../src/pure/deaths";
import { expanded, nested, programOf, switched } from "../src/pure/options";
import { pipLine } from "../src/pure/pip";

test("names with dots are sections", () => {
  const values = [
    ["model", "m"],
    ["completion.enabled", false],
    ["completion.max_lines", 3],
  ] as const;
  assert.deepEqual(nested(values), { model: "m", completion: { enabled: false, max_lines: 3 } });
});

test("the program of a server's command", () => {
  assert.deepEqual(programOf(["/x/tandem", "lsp"]), ["/x/tandem"]);
  assert.deepEqual(programOf(["python", "-m", "tandem", "lsp", "--tcp", "1"]), [
    "python",
    "-m",
    "tandem",
  ]);
  assert.deepEqual(programOf(["/x/serve"]), ["/x/serve"]);
  assert.deepEqual(programOf(["lsp"]), ["lsp"]);
});

test("the home folder is written out", () => {
  assert.equal(expanded("~/a", "/home/me"), "/home/me/a");
  assert.equal(expanded("/x/~", "/home/me"), "/x/~");
});

test("a language is switched off and on without the others", () => {
  assert.deepEqual(switched(["xml"], "python", false), ["python", "xml"]);
  assert.deepEqual(switched(["python", "xml"], "python", true), ["xml"]);
  assert.deepEqual(switched(["python"], "python", false), ["python"]);
});

test("a server that dies is started again with growing pauses, then no more", () => {
  const deaths = new Deaths();
  const waits = [1, 2, 3, 4, 5, 6].map((second) => {
    deaths.born(second * 1000);
    return deaths.died(second * 1000 + 10);
  });
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, undefined]);
});

test("a server that lived long is no repeated death", () => {
  const deaths = new Deaths();
  for (let hour = 1; hour < 10; hour++) {
    deaths.born(hour * 3_600_000);
    assert.equal(deaths.died((hour + 1) * 3_600_000), 500);
  }
});

test("deaths are forgotten when someone starts it by hand", () => {
  const deaths = new Deaths();
  deaths.born(0);
  deaths.died(1);
  deaths.forget();
  assert.equal(deaths.died(2), 500);
});

test("pip's lines as steps", () => {
  assert.equal(pipLine("Collecting torch==2.13.0 (from tandem-pair)"), "looking for torch");
  assert.equal(
    pipLine("  Downloading torch-2.13.0-cp312-none-linux.whl (899.8 MB)"),
    "downloading torch, 899.8 MB",
  );
  assert.equal(pipLine("Installing collected packages: a, b"), "unpacking");
  assert.equal(pipLine("Requirement already satisfied: pip"), "");
});
