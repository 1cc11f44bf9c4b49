/**
 * The next edit: the place that the last change implies, marked in the text. One key goes there,
 * the same key again makes the edit, and then the next place is marked (docs/next-edit.md).
 */

import * as vscode from "vscode";

import type { Server } from "./client";
import { SELECTOR } from "./ghost";
import { lineOf, log } from "./log";
import type { Range, TextEdit } from "./pure/edits";
import { short } from "./pure/suggestion";

const PAUSE_MS = 350;
const LONGEST_LABEL = 60;

interface Found {
  id: string;
  title: string;
  uri: string;
  version: number | null;
  range: Range;
  edit: TextEdit;
  remaining: number;
}

export class NextEdit implements vscode.Disposable {
  readonly #server: Server;
  readonly #disposables: vscode.Disposable[] = [];
  readonly #mark = vscode.window.createTextEditorDecorationType({
    border: "1px solid",
    borderColor: new vscode.ThemeColor("editorInfo.foreground"),
    borderRadius: "2px",
    overviewRulerColor: new vscode.ThemeColor("editorInfo.foreground"),
    overviewRulerLane: vscode.OverviewRulerLane.Right,
  });
  #found: Found | undefined;
  #timer: NodeJS.Timeout | undefined;
  #asking: vscode.CancellationTokenSource | undefined;

  constructor(server: Server) {
    this.#server = server;
    this.#disposables.push(
      this.#mark,
      vscode.commands.registerCommand("tandem.nextEdit", () => this.#go()),
      vscode.commands.registerCommand("tandem.dismissNextEdit", () => this.#forget()),
      vscode.workspace.onDidChangeTextDocument((event) => this.#changed(event)),
      vscode.window.onDidChangeVisibleTextEditors(() => this.#draw()),
    );
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#asking?.cancel();
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  #changed(event: vscode.TextDocumentChangeEvent): void {
    const editor = vscode.window.activeTextEditor;
    if (event.contentChanges.length === 0 || editor?.document !== event.document) {
      return;
    }
    this.#forget();
    if (vscode.languages.match(SELECTOR, event.document) > 0 && this.#server.isRunning) {
      this.#timer = setTimeout(() => void this.#ask(), PAUSE_MS);
    }
  }

  /** Ask for the cursor's place; a later question ends this one. */
  async #ask(): Promise<void> {
    this.#forget();
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined || !this.#server.isRunning) {
      return;
    }
    const asking = new vscode.CancellationTokenSource();
    this.#asking = asking;
    const { line, character } = editor.selection.active;
    try {
      const params = {
        textDocument: { uri: this.#server.uriOf(editor.document) },
        position: { line, character },
      };
      const found = await this.#server.request<Found | null>(
        "tandem/nextEdit",
        params,
        asking.token,
      );
      if (this.#asking === asking && found !== null && isFor(found)) {
        this.#found = found;
        await vscode.commands.executeCommand("setContext", "tandem.hasNextEdit", true);
        this.#draw();
      }
    } catch (error) {
      if (!asking.token.isCancellationRequested) {
        log().warn(`no next edit: ${lineOf(error)}`);
      }
    } finally {
      asking.dispose();
    }
  }

  async #go(): Promise<void> {
    if (this.#found === undefined) {
      clearTimeout(this.#timer);
      await this.#ask();
    }
    const found = this.#found;
    if (found === undefined) {
      vscode.window.setStatusBarMessage("Tandem: no next edit", 3000);
      return;
    }
    const range = rangeOf(found.range);
    const uri = vscode.Uri.parse(found.uri);
    const editor = vscode.window.activeTextEditor;
    const isHere =
      editor?.document.uri.toString() === uri.toString() &&
      editor.selection.active.line >= range.start.line &&
      editor.selection.active.line <= range.end.line;
    if (isHere) {
      await this.#make(editor, found);
      return;
    }
    const shown = await vscode.window.showTextDocument(uri, { selection: range });
    shown.selection = new vscode.Selection(range.start, range.start);
    shown.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    this.#draw();
  }

  async #make(editor: vscode.TextEditor, found: Found): Promise<void> {
    this.#forget();
    if (!isFor(found)) {
      return;
    }
    const range = rangeOf(found.edit.range);
    const start = editor.document.offsetAt(range.start);
    const isMade = await editor.edit((edit) => edit.replace(range, found.edit.newText));
    if (!isMade) {
      return;
    }
    const end = editor.document.positionAt(start + found.edit.newText.length);
    editor.selection = new vscode.Selection(end, end);
    clearTimeout(this.#timer);
    await this.#ask();
  }

  #draw(): void {
    const found = this.#found;
    for (const editor of vscode.window.visibleTextEditors) {
      const isIt = found !== undefined && editor.document.uri.toString() === key(found.uri);
      editor.setDecorations(this.#mark, isIt ? [decoration(found)] : []);
    }
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#asking?.cancel();
    this.#asking = undefined;
    if (this.#found !== undefined) {
      this.#found = undefined;
      void vscode.commands.executeCommand("setContext", "tandem.hasNextEdit", false);
      this.#draw();
    }
  }
}

function decoration(found: Found): vscode.DecorationOptions {
  const hover = new vscode.MarkdownString();
  hover.appendText(found.title);
  hover.appendMarkdown("\n\n[Go there, or make it](command:tandem.nextEdit)");
  hover.isTrusted = { enabledCommands: ["tandem.nextEdit"] };
  const text = short(found.edit.newText, LONGEST_LABEL) || "remove";
  return {
    range: rangeOf(found.range),
    hoverMessage: hover,
    renderOptions: {
      after: {
        contentText: ` → ${text}`,
        color: new vscode.ThemeColor("editorGhostText.foreground"),
        fontStyle: "italic",
      },
    },
  };
}

/** Whether the file is still the one that the edit is for. */
function isFor(found: Found): boolean {
  const uri = key(found.uri);
  const open = vscode.workspace.textDocuments.find((one) => one.uri.toString() === uri);
  return found.version === null || open === undefined || open.version === found.version;
}

function key(uri: string): string {
  return vscode.Uri.parse(uri).toString();
}

function rangeOf({ start, end }: Range): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}
