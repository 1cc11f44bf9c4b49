/**
 * What becomes of suggestions, told to the server: accepted whole, by word, by line, or dismissed.
 *
 * VS Code runs the command that comes with a suggestion when all of it is taken. For the other
 * ends it has no public event, so our keys run VS Code's own commands, and the document's changes
 * around them say how much was inserted. What is taken by other ways the server sees by the edits.
 */

import * as vscode from "vscode";

import type { Server } from "./client";
import { rest } from "./pure/suggestion";

export const ACCEPTED = "tandem.accepted";

/** A suggestion that VS Code may show: `text` is what it adds behind `offset`. */
export interface Offered {
  id: string;
  text: string;
}

interface Current {
  document: vscode.TextDocument;
  offset: number;
  offered: Offered[];
  /** UTF-16 units of it that are in the document by now. */
  taken: number;
}

export class Outcomes implements vscode.Disposable {
  readonly #server: Server;
  readonly #disposables: vscode.Disposable[] = [];
  #current: Current | undefined;

  constructor(server: Server) {
    this.#server = server;
    const command = vscode.commands.registerCommand.bind(vscode.commands);
    this.#disposables.push(
      command(ACCEPTED, (id: string) => this.#whole(id)),
      command("tandem.acceptWord", () => this.#part("word", "acceptNextWord")),
      command("tandem.acceptLine", () => this.#part("line", "acceptNextLine")),
      command("tandem.dismiss", () => this.#dismiss()),
      vscode.workspace.onDidChangeTextDocument((event) => this.#follow(event)),
    );
  }

  /** These are handed to VS Code, which shows the first. */
  offer(document: vscode.TextDocument, position: vscode.Position, offered: Offered[]): void {
    const offset = document.offsetAt(position);
    this.#current = { document, offset, offered, taken: 0 };
    const first = offered[0];
    if (first?.id) {
      this.#server.notify("tandem/shown", { id: first.id });
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  async #whole(id: string): Promise<void> {
    this.#current = undefined;
    await this.#server.execute(ACCEPTED, [id]);
  }

  async #part(how: "word" | "line", command: string): Promise<void> {
    const before = this.#here();
    const taken = before?.taken ?? 0;
    await vscode.commands.executeCommand(`editor.action.inlineSuggest.${command}`);
    const after = this.#current;
    // Where nothing is left of it, VS Code takes it for accepted whole and has run its command.
    if (before !== undefined && after === before && after.taken > taken) {
      const characters = after.taken - taken;
      this.#server.notify("tandem/accepted", { id: after.offered[0]!.id, how, characters });
    }
  }

  async #dismiss(): Promise<void> {
    const current = this.#here();
    this.#current = undefined;
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    if (current !== undefined) {
      this.#server.notify("tandem/rejected", { id: current.offered[0]!.id });
    }
  }

  /** The suggestion at the cursor, if it is ours. */
  #here(): Current | undefined {
    const editor = vscode.window.activeTextEditor;
    const current = this.#current;
    if (current === undefined || editor?.document !== current.document) {
      return undefined;
    }
    const cursor = current.document.offsetAt(editor.selection.active);
    return cursor === current.offset + current.taken ? current : undefined;
  }

  #follow(event: vscode.TextDocumentChangeEvent): void {
    const current = this.#current;
    if (current?.document !== event.document || event.contentChanges.length === 0) {
      return;
    }
    const [change] = event.contentChanges;
    const at = current.offset + current.taken;
    if (event.contentChanges.length > 1 || change!.rangeOffset !== at || change!.rangeLength > 0) {
      this.#current = undefined;
      return;
    }
    const left = current.offered.flatMap(({ id, text }) => {
      const more = rest(text.slice(current.taken), change!.text);
      return more === undefined || more === "" ? [] : [{ id, text }];
    });
    if (left.length === 0) {
      this.#current = undefined;
      return;
    }
    current.offered = left;
    current.taken += change!.text.length;
  }
}
