/**
 * Ghost text: VS Code's inline suggestions, fed by `textDocument/inlineCompletion`.
 *
 * The server decides when to be quiet and how long to wait (docs/quiet.md); here nothing is kept
 * or guessed. Where the editor's own list is open, only what goes on with its item is shown.
 */

import * as vscode from "vscode";

import type { Server } from "./client";
import { Early } from "./early";
import { lineOf, log } from "./log";
import { ACCEPTED, type Offered, type Outcomes } from "./outcomes";
import type { Range } from "./pure/edits";
import type { ServerStatus } from "./pure/status";
import { ahead, extending, fits, type Insertion } from "./pure/suggestion";

const [INVOKED, AUTOMATIC] = [1, 2]; // LSP's InlineCompletionTriggerKind
const LOADING = "model loading"; // completion/silence.py
export const SELECTOR: vscode.DocumentSelector = [
  { scheme: "file" },
  { scheme: "untitled" },
  { scheme: "vscode-notebook-cell" },
];

interface Item {
  insertText: string | { value: string };
  range?: Range;
  command?: { title: string; arguments?: string[] };
}

/** What the server said, and when: milliseconds since 1970. */
interface Answer {
  items: Item[];
  asked: number;
  answered: number;
}

interface Place {
  document: vscode.TextDocument;
  version: number;
  position: vscode.Position;
}

export class GhostText implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  /** How long the last answer took, in milliseconds. */
  lastMs: number | undefined;
  readonly #server: Server;
  readonly #outcomes: Outcomes;
  readonly #early: Early<Answer>;
  readonly #again: vscode.Disposable;
  /** Where nothing was to be shown; undefined after something was. */
  #silent: Place | undefined;
  /** Whether VS Code asks because we told it to, and nobody pressed a key for it. */
  #isAgain = false;
  readonly #answered = new vscode.EventEmitter<void>();
  /** An answer came, or a silence. */
  readonly onAnswer = this.#answered.event;

  constructor(server: Server, outcomes: Outcomes) {
    this.#server = server;
    this.#outcomes = outcomes;
    this.#early = new Early((document, position, token) =>
      vscode.languages.match(SELECTOR, document) > 0 && server.isRunning
        ? this.#ask(document, position, AUTOMATIC, undefined, token)
        : Promise.resolve({ items: [], asked: now(), answered: now() }),
    );
    this.#again = server.onWorked(
      () => void this.#askAgain().catch((error: unknown) => log().debug(lineOf(error))),
    );
  }

  dispose(): void {
    this.#early.dispose();
    this.#again.dispose();
    this.#answered.dispose();
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    if (!this.#server.isRunning) {
      return [];
    }
    const isInvoked =
      context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke && !this.#isAgain;
    const kind = isInvoked ? INVOKED : AUTOMATIC;
    const selected = context.selectedCompletionInfo;
    const { version } = document;
    const wanted = now();
    const leaving = untilLeft(document, position, token);
    token = leaving.token;
    this.#early.isListOpen = selected !== undefined;
    const isPlain = !isInvoked && selected === undefined;
    const early = isPlain ? this.#early.take(document, position, token) : this.#early.leave();
    if (leaving.isLeft) {
      leaving.dispose();
      return [];
    }
    let found: Answer;
    try {
      found = await (early ?? this.#ask(document, position, kind, selected, token));
    } catch (error) {
      if (!token.isCancellationRequested) {
        log().warn(`no suggestion: ${lineOf(error)}`);
      }
      return [];
    } finally {
      leaving.dispose();
    }
    this.#answered.fire();
    if (token.isCancellationRequested || document.version !== version) {
      return [];
    }
    const shown = this.#show(document, position, found.items, selected);
    this.#silent = shown.length === 0 ? { document, version, position } : undefined;
    const { asked, answered } = found;
    const times = { ...plain(position), asked, answered, wanted, given: now() };
    log().trace(`times ${JSON.stringify(times)}`); // benchmarks/editor.py reads them
    return shown;
  }

  /**
   * Ask again for the same place, where there was no model to answer before. Once only: VS Code
   * does not pass on a second question without a change.
   */
  async #askAgain(): Promise<void> {
    const silent = this.#silent;
    if (silent === undefined) {
      return;
    }
    const { model, last } = await this.#server.request<ServerStatus>("tandem/status", {});
    const editor = vscode.window.activeTextEditor;
    if (
      model !== "" &&
      last?.reason === LOADING &&
      silent === this.#silent &&
      silent.document === editor?.document &&
      silent.version === editor.document.version &&
      silent.position.isEqual(editor.selection.active)
    ) {
      this.#silent = undefined;
      this.#isAgain = true;
      await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
      this.#isAgain = false;
    }
  }

  async #ask(
    document: vscode.TextDocument,
    position: vscode.Position,
    triggerKind: number,
    selected: vscode.SelectedCompletionInfo | undefined,
    token: vscode.CancellationToken,
  ): Promise<Answer> {
    const params = {
      textDocument: { uri: this.#server.uriOf(document) },
      position: plain(position),
      context: {
        triggerKind,
        ...(selected && {
          selectedCompletionInfo: {
            range: { start: plain(selected.range.start), end: plain(selected.range.end) },
            text: selected.text,
          },
        }),
      },
    };
    const asked = now();
    const answer = await this.#server.request<{ items: Item[] } | Item[] | null>(
      "textDocument/inlineCompletion",
      params,
      token,
    );
    const answered = now();
    this.lastMs = answered - asked;
    const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
    return { items, asked, answered };
  }

  #show(
    document: vscode.TextDocument,
    position: vscode.Position,
    found: readonly Item[],
    selected: vscode.SelectedCompletionInfo | undefined,
  ): vscode.InlineCompletionItem[] {
    const line = document.lineAt(position.line).text;
    const items: vscode.InlineCompletionItem[] = [];
    const offered: Offered[] = [];
    for (const one of found) {
      const insertion = insertionOf(one, position, line, selected);
      if (insertion === undefined || !fits(insertion, position.character)) {
        continue;
      }
      const { start, end, text } = insertion;
      const id = one.command?.arguments?.[0] ?? "";
      const range = new vscode.Range(position.line, start, position.line, end);
      const command = { title: "Count this suggestion", command: ACCEPTED, arguments: [id] };
      items.push(new vscode.InlineCompletionItem(text, range, id ? command : undefined));
      offered.push({ id, text: ahead(insertion, line, position.character) });
    }
    if (items.length > 0) {
      this.#outcomes.offer(document, position, offered);
    }
    return items;
  }
}

/**
 * A token that ends with a given one, or when the cursor leaves: VS Code does not tell of that, and
 * after its 50 ms it also asks for a place that the cursor has left meanwhile.
 */
function untilLeft(
  document: vscode.TextDocument,
  position: vscode.Position,
  token: vscode.CancellationToken,
): vscode.Disposable & { token: vscode.CancellationToken; isLeft: boolean } {
  const { version } = document;
  const source = new vscode.CancellationTokenSource();
  const look = (editor: vscode.TextEditor): void => {
    const isSame = editor.document === document && document.version === version;
    if (isSame && !editor.selections.some((one) => one.active.isEqual(position))) {
      source.cancel();
    }
  };
  const listening = [
    token.onCancellationRequested((): void => source.cancel()),
    vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => look(textEditor)),
  ];
  if (vscode.window.activeTextEditor !== undefined) {
    look(vscode.window.activeTextEditor);
  }
  if (token.isCancellationRequested) {
    source.cancel();
  }
  const dispose = (): void => {
    vscode.Disposable.from(...listening).dispose();
  };
  return { token: source.token, isLeft: source.token.isCancellationRequested, dispose };
}

function insertionOf(
  item: Item,
  position: vscode.Position,
  line: string,
  selected: vscode.SelectedCompletionInfo | undefined,
): Insertion | undefined {
  const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
  const { start, end } = item.range ?? { start: position, end: position };
  if (start.line !== position.line || end.line !== position.line) {
    return undefined;
  }
  const insertion = { text, start: start.character, end: end.character };
  if (selected === undefined) {
    return insertion;
  }
  const { range } = selected;
  return extending(insertion, line, {
    text: selected.text,
    start: range.start.character,
    end: range.end.character,
  });
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

function plain(position: vscode.Position): { line: number; character: number } {
  return { line: position.line, character: position.character };
}
