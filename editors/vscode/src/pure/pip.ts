/** What pip says, as a step for a person. Pure. */

const STEPS: [RegExp, string][] = [
  [/^Collecting ([\w.[\]-]+)/, "looking for $1"],
  [/^\s*Downloading (\S+?)(?:-\d\S*)? \(([^)]+)\)/, "downloading $1, $2"],
  [/^Building wheels? for collected packages: (.+)/, "building $1"],
  [/^Installing collected packages: /, "unpacking"],
];

/** "" for lines that are no step. */
export function pipLine(line: string): string {
  for (const [pattern, text] of STEPS) {
    const found = pattern.exec(line);
    if (found !== null) {
      return text.replace(/\$(\d)/g, (_, number: string) => found[Number(number)] ?? "");
    }
  }
  return "";
}
