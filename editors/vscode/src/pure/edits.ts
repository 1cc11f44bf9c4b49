/**
 * What a server's WorkspaceEdit does to each file. Pure.
 *
 * The client's own conversion is not used: it would carry the annotation that wants a yes, and
 * VS Code would then ask a second time, in its refactoring preview.
 */

export interface Position {
  line: number;
  character: number;
}

export interface Range {
  start: Position;
  end: Position;
}

export interface TextEdit {
  range: Range;
  newText: string;
}

/** `version` is that of the open document that the edits are for; null: not open, or not told. */
export interface FileChange {
  uri: string;
  isNew: boolean;
  version: number | null;
  edits: TextEdit[];
}

interface Change {
  kind?: string;
  uri?: string;
  textDocument?: { uri: string; version?: number | null };
  edits?: TextEdit[];
}

export interface WorkspaceEditJson {
  changes?: Record<string, TextEdit[]> | null;
  documentChanges?: Change[] | null;
}

/** The files that an edit changes, by URI. Throws for what a review cannot show. */
export function filesOf(edit: WorkspaceEditJson): FileChange[] {
  const found = new Map<string, FileChange>();
  const of = (uri: string): FileChange => {
    const known = found.get(uri) ?? { uri, isNew: false, version: null, edits: [] };
    found.set(uri, known);
    return known;
  };
  for (const [uri, edits] of Object.entries(edit.changes ?? {})) {
    of(uri).edits.push(...edits);
  }
  for (const change of edit.documentChanges ?? []) {
    if (change.kind === "create" && change.uri !== undefined) {
      of(change.uri).isNew = true;
    } else if (change.kind === undefined && change.textDocument !== undefined) {
      const file = of(change.textDocument.uri);
      file.version = change.textDocument.version ?? null;
      file.edits.push(...(change.edits ?? []));
    } else {
      throw new Error(`A review cannot show a change of the kind ${change.kind ?? "unknown"}.`);
    }
  }
  return [...found.values()].sort((one, other) => (one.uri < other.uri ? -1 : 1));
}

/** A text with edits made that do not overlap; positions are those of the text as it was. */
export function edited(text: string, edits: readonly TextEdit[]): string {
  const starts = lineStarts(text);
  const offset = (at: Position): number => {
    if (at.line >= starts.length) {
      return text.length;
    }
    const next = starts[at.line + 1] ?? text.length;
    return Math.min(starts[at.line]! + at.character, next);
  };
  let made = "";
  let last = 0;
  const placed = edits.map((edit, number) => ({
    start: offset(edit.range.start),
    end: offset(edit.range.end),
    text: edit.newText,
    number,
  }));
  placed.sort((one, other) => one.start - other.start || one.number - other.number);
  for (const one of placed) {
    if (one.start < last) {
      throw new Error("Two edits overlap.");
    }
    made += text.slice(last, one.start) + one.text;
    last = one.end;
  }
  return made + text.slice(last);
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const found of text.matchAll(/\r\n|\r|\n/g)) {
    starts.push(found.index + found[0].length);
  }
  return starts;
}
