/**
 * A suggestion's text on the cursor's line: what of it is left, and whether it goes on with what
 * the editor's own list would insert. Pure; columns are UTF-16 units, as VS Code counts them.
 */

/** A text that takes the place of the columns `start` to `end` of the cursor's line. */
export interface Insertion {
  text: string;
  start: number;
  end: number;
}

/** Where an insertion may stand: VS Code draws only what is on one line and holds the cursor. */
export function fits(insertion: Insertion, cursor: number): boolean {
  return insertion.start <= cursor && cursor <= insertion.end && insertion.text !== "";
}

/**
 * The insertion as one that begins with the item that the editor's list has selected, in that
 * item's place; undefined if it says something else.
 */
export function extending(
  insertion: Insertion,
  line: string,
  selected: Insertion,
): Insertion | undefined {
  if (selected.start > insertion.start || selected.end > insertion.end) {
    return undefined;
  }
  const text = line.slice(selected.start, insertion.start) + insertion.text;
  if (!text.startsWith(selected.text) || text.length === selected.text.length) {
    return undefined;
  }
  return { text, start: selected.start, end: insertion.end };
}

/** What an insertion adds behind the cursor, where all before it is as the document has it. */
export function ahead(insertion: Insertion, line: string, cursor: number): string {
  const before = line.slice(insertion.start, cursor);
  return insertion.text.startsWith(before) ? insertion.text.slice(before.length) : insertion.text;
}

/** What is left of `text` where `typed` has been typed of it; undefined if something else was. */
export function rest(text: string, typed: string): string | undefined {
  return text.startsWith(typed) ? text.slice(typed.length) : undefined;
}

/** A text in one line for a label: at most `most` characters, its line ends as one sign. */
export function short(text: string, most: number): string {
  const line = text.replace(/\s*\r?\n\s*/g, " ↵ ").trim();
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}
