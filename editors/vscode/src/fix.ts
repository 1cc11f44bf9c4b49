/**
 * "Fix a Failing Test": asks for the test or the issue, shows the search as it goes, then the
 * evidence in the panel and the patch in a review. What the lightbulb gives (diagnostics) is
 * mended by the model in place, without a search.
 */

import * as vscode from "vscode";

import type { Asked, Chat } from "./chat";
import { type Commands, refuse } from "./commands";
import type { Server } from "./client";
import { complain, lineOf } from "./log";
import type { Panel } from "./panel";
import { evidence } from "./pure/answer";
import { asked as askedFor, testAt } from "./pure/pytest";
import type { Review } from "./review";

export class Fix implements vscode.Disposable {
  readonly #server: Server;
  readonly #chat: Chat;
  readonly #panel: Panel;
  readonly #review: Review;
  readonly #command: vscode.Disposable;

  constructor(server: Server, chat: Chat, panel: Panel, review: Review, commands: Commands) {
    this.#server = server;
    this.#chat = chat;
    this.#panel = panel;
    this.#review = review;
    this.#command = vscode.commands.registerCommand("tandem.fix", (given?: Partial<Asked>) =>
      given?.diagnostics?.length ? commands.run("fix", given) : this.run(),
    );
  }

  dispose(): void {
    this.#command.dispose();
  }

  async run(): Promise<void> {
    if (!vscode.workspace.isTrusted) {
      refuse("Tests are not run in a workspace that is not trusted.");
      return;
    }
    if (!this.#server.isRunning) {
      complain(this.#server.trouble || "the server is not running");
      return;
    }
    const editor = vscode.window.activeTextEditor;
    const typed = await vscode.window.showInputBox({
      title: "Fix a Failing Test",
      prompt: "A command that runs the failing test, or what is wrong in words; empty: all tests",
      value: editor === undefined ? "" : testOf(editor),
      ignoreFocusOut: true,
    });
    if (typed === undefined) {
      return;
    }
    const uri = editor && this.#server.uriOf(editor.document);
    await vscode.workspace.saveAll(false); // the search is for the files as they are on disk
    await this.#search({ ...(uri !== undefined && { uri }), ...askedFor(typed) }, typed);
  }

  async #search(asked: Asked, typed: string): Promise<void> {
    const writer = this.#panel.open("Fix", typed, "markdown");
    const answer = await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: "Tandem: fixing",
        cancellable: true,
      },
      async (progress, token) => {
        const step = (message: string): void => {
          progress.report({ message });
          writer.step(message);
        };
        try {
          return await this.#chat.ask("fix", asked, { step }, token);
        } catch (error) {
          writer.fail(lineOf(error));
          complain(lineOf(error));
          return null;
        }
      },
    );
    if (answer === null) {
      return;
    }
    if (answer === undefined) {
      writer.done(["- Stopped."]);
      return;
    }
    writer.set(evidence(answer));
    writer.done();
    if (!answer.edit) {
      void vscode.window.showWarningMessage(`Tandem: ${answer.why ?? "no patch"}.`);
      return;
    }
    const verdict = await this.#review.open(answer.edit, true);
    vscode.window.setStatusBarMessage(`Tandem: ${verdict}`, 5000);
  }
}

/** A command for the test that the cursor is in. */
function testOf({ document, selection }: vscode.TextEditor): string {
  if (document.languageId !== "python" || document.uri.scheme !== "file") {
    return "";
  }
  const path = vscode.workspace.asRelativePath(document.uri, false);
  return testAt(path, document.getText().split(/\r?\n/), selection.active.line);
}
