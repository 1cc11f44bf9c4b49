/**
 * A change that waits for a yes: each file in VS Code's diff, beside itself as it would be. One is
 * open at a time. Accepting makes all of it in one edit, which one undo takes back.
 */

import * as vscode from "vscode";

import { complain, lineOf } from "./log";
import {
  edited,
  type FileChange,
  filesOf,
  type TextEdit,
  type WorkspaceEditJson,
} from "./pure/edits";

/** The scheme of texts that are only shown: a file as it would be, and the nothing before a new one. */
export const SCHEME = "tandem-proposed";

export type Verdict = "accepted" | "rejected" | "outdated";

interface Side {
  change: FileChange;
  uri: vscode.Uri;
  /** The text that the change is for; undefined for a new file. */
  version: number | undefined;
  before: string;
}

interface Open {
  sides: Side[];
  save: boolean;
  end: (verdict: Verdict) => void;
  /** Not before its diffs stand can they be found closed. */
  isShown: boolean;
}

export class Review implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #texts = new Map<string, string>();
  readonly #disposables: vscode.Disposable[] = [];
  readonly #waiting = new vscode.EventEmitter<boolean>();
  /** A change waits for a yes, or none does any more. */
  readonly onWaiting = this.#waiting.event;
  #open: Open | undefined;
  #count = 0;

  constructor() {
    this.#disposables.push(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.commands.registerCommand("tandem.acceptReview", () => this.accept()),
      vscode.commands.registerCommand("tandem.rejectReview", () => this.reject()),
      vscode.window.tabGroups.onDidChangeTabs((event) => {
        if (event.closed.some(isOurs) && this.#open?.isShown && tabs().length === 0) {
          void this.reject();
        }
      }),
    );
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.toString()) ?? "";
  }

  /** Show a change and wait for what becomes of it. With `save` its files are saved, too. */
  async open(edit: WorkspaceEditJson, save: boolean): Promise<Verdict> {
    await this.reject();
    const sides = await Promise.all(filesOf(edit).map(sideOf));
    const verdict = new Promise<Verdict>((end) => {
      this.#open = { sides, save, end, isShown: false };
    });
    const open = this.#open!;
    await this.#wait(true);
    this.#count++;
    for (const side of sides.toReversed()) {
      await this.#show(side); // the first is the last, and stays in front
    }
    open.isShown = true;
    const names = sides.map((side) => nameOf(side.uri)).join(", ");
    void vscode.window
      .showInformationMessage(`Tandem: change ${names}?`, "Accept", "Reject")
      .then((choice) => {
        if (choice !== undefined && this.#open === open) {
          void (choice === "Accept" ? this.accept() : this.reject());
        }
      });
    return verdict;
  }

  async accept(): Promise<void> {
    const open = this.#open;
    if (open === undefined) {
      void vscode.window.showInformationMessage("Tandem: no change waits for a yes.");
      return;
    }
    this.#open = undefined;
    let verdict: Verdict = "rejected";
    try {
      verdict = (await apply(open)) ? "accepted" : "outdated";
    } catch (error) {
      complain(`the change was not made: ${lineOf(error)}`);
    }
    await this.#close(); // the change is in the text before its diff goes
    open.end(verdict);
  }

  async reject(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) {
      await this.#close();
      open.end("rejected");
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  async #show(side: Side): Promise<void> {
    const query = `${this.#count}`;
    const after = side.uri.with({ scheme: SCHEME, authority: "", query });
    const before = side.change.isNew
      ? side.uri.with({ scheme: SCHEME, authority: "", query: `${query}-before` })
      : side.uri;
    this.#texts.set(after.toString(), edited(side.before, side.change.edits));
    await vscode.commands.executeCommand(
      "vscode.diff",
      before,
      after,
      `Tandem: ${nameOf(side.uri)} (proposed)`,
      { preview: false, viewColumn: vscode.ViewColumn.One },
    );
  }

  async #close(): Promise<void> {
    await this.#wait(false);
    await vscode.window.tabGroups.close(tabs());
    this.#texts.clear();
  }

  async #wait(is: boolean): Promise<void> {
    this.#waiting.fire(is);
    await vscode.commands.executeCommand("setContext", "tandem.reviewing", is);
  }
}

async function sideOf(change: FileChange): Promise<Side> {
  const uri = vscode.Uri.parse(change.uri);
  if (change.isNew) {
    return { change, uri, version: undefined, before: "" };
  }
  const document = await vscode.workspace.openTextDocument(uri);
  if (change.version !== null && change.version !== document.version) {
    throw new Error("The text has changed meanwhile: ask again.");
  }
  return { change, uri, version: document.version, before: document.getText() };
}

/** Make the change, if the texts are still those that it is for. */
async function apply({ sides, save }: Open): Promise<boolean> {
  const edit = new vscode.WorkspaceEdit();
  for (const { change, uri, version, before } of sides) {
    if (change.isNew) {
      edit.createFile(uri, { ignoreIfExists: false });
      edit.insert(uri, new vscode.Position(0, 0), edited("", change.edits));
      continue;
    }
    const document = await vscode.workspace.openTextDocument(uri);
    if (document.version !== version && document.getText() !== before) {
      complain(`${nameOf(uri)} has changed meanwhile: ask again.`);
      return false;
    }
    for (const one of change.edits) {
      edit.replace(uri, rangeOf(one), one.newText);
    }
  }
  if (!(await vscode.workspace.applyEdit(edit))) {
    throw new Error("VS Code did not make it.");
  }
  for (const { uri } of save ? sides : []) {
    await (await vscode.workspace.openTextDocument(uri)).save();
  }
  const first = sides[0];
  if (first !== undefined) {
    await vscode.window.showTextDocument(first.uri, { preview: false });
  }
  return true;
}

function tabs(): vscode.Tab[] {
  return vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter(isOurs);
}

function isOurs(tab: vscode.Tab): boolean {
  return tab.input instanceof vscode.TabInputTextDiff && tab.input.modified.scheme === SCHEME;
}

function rangeOf({ range: { start, end } }: TextEdit): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}

function nameOf(uri: vscode.Uri): string {
  return uri.path.split("/").pop() ?? uri.path;
}
