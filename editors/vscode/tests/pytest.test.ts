import assert from "node:assert/strict";
import { test } from "node:test";

import { asked, testAt } from "../src/pure/pytest";

const LINES = `import pytest

def helper():
    return 1

class TestPages:
    size = 3

    def test_first(self):
        def inner():
            return 2
        assert inner() == 2

@pytest.mark.slow
async def test_alone():
    assert helper()

VALUE = 3
`.split("\n");
const RUN = "python3 -m pytest -q";

function at(text: string): string {
  return testAt(
    "tests/test_pages.py",
    LINES,
    LINES.findIndex((line) => line.includes(text)),
  );
}

test("the test function around the cursor", () => {
  assert.equal(at("assert helper"), `${RUN} tests/test_pages.py::test_alone`);
  assert.equal(at("mark.slow"), `${RUN} tests/test_pages.py::test_alone`);
});

test("a test of a class is named with its class, also from within a helper of its own", () => {
  assert.equal(at("return 2"), `${RUN} tests/test_pages.py::TestPages::test_first`);
  assert.equal(at("assert inner"), `${RUN} tests/test_pages.py::TestPages::test_first`);
});

test("in a class, outside of its tests, the class", () => {
  assert.equal(at("size = 3"), `${RUN} tests/test_pages.py::TestPages`);
});

test("outside of all tests, the file", () => {
  assert.equal(at("return 1"), `${RUN} tests/test_pages.py`);
  assert.equal(at("import pytest"), `${RUN} tests/test_pages.py`);
  assert.equal(at("VALUE"), `${RUN} tests/test_pages.py`);
});

test("a file without tests gives nothing", () => {
  assert.equal(testAt("src/pages.py", LINES, 3), "");
});

test("a path with blanks is quoted", () => {
  assert.equal(testAt("my tests/test_a.py", ["x = 1"], 0), `${RUN} 'my tests/test_a.py'`);
});

test("a command is a test to run, a test's id becomes one, words are an issue", () => {
  assert.deepEqual(asked("pytest tests/test_a.py"), { test: "pytest tests/test_a.py" });
  assert.deepEqual(asked("tests/test_a.py::test_x"), { test: `${RUN} tests/test_a.py::test_x` });
  assert.deepEqual(asked("The last page is missing."), {
    instruction: "The last page is missing.",
  });
  assert.deepEqual(asked("make it faster\nplease"), { instruction: "make it faster\nplease" });
  assert.deepEqual(asked("  "), {});
});
