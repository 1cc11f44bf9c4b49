/** The Python test that a cursor is in, and what someone typed to have fixed. Pure. */

/** A command that runs the test around a row, or its file; "" where the file holds no tests. */
export function testAt(path: string, lines: readonly string[], row: number): string {
  const name = path.split("/").pop() ?? "";
  if (!/^(test_.*|.*_test)\.py$/.test(name)) {
    return "";
  }
  while (/^\s*@/.test(lines[row] ?? "")) {
    row++; // from a decorator to what it decorates
  }
  const found: string[] = [];
  let indent = Infinity;
  for (let at = Math.min(row, lines.length - 1); at >= 0 && indent > 0; at--) {
    const line = lines[at]!;
    const head = /^(\s*)(?:async\s+)?(def|class)\s+(\w+)/.exec(line);
    if (head !== null && head[1]!.length < indent) {
      indent = head[1]!.length;
      const isTest = head[2] === "def" ? head[3]!.startsWith("test") : head[3]!.startsWith("Test");
      if (isTest) {
        found.unshift(head[3]!);
      } else {
        found.length = 0;
      }
    } else if (found.length === 0 && /^\S/.test(line) && !/^[@#)\]}]/.test(line)) {
      break; // the cursor stands behind the last function, at the file's top level
    }
  }
  return ["python3 -m pytest -q " + quoted(path), ...found].join("::");
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** What to tell the server: a command that runs tests, or the words of an issue. */
export function asked(typed: string): { test?: string; instruction?: string } {
  const text = typed.trim();
  if (text === "") {
    return {};
  }
  const isCommand =
    !text.includes("\n") &&
    (/^(\.?\/\S+|python[\d.]*|py\.test|pytest|tox|nox|make|npm|npx|node|go|cargo|uv|poetry)(\s|$)/.test(
      text,
    ) ||
      /^\S+\.py(::\S+)?$/.test(text));
  if (!isCommand) {
    return { instruction: text };
  }
  return { test: /^\S+\.py(::\S+)?$/.test(text) ? `python3 -m pytest -q ${text}` : text };
}
