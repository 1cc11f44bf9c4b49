/**
 * The chat commands as VS Code has them: from the palette, the editor's menu, a key or the
 * lightbulb, which gives the arguments. The answer goes into the panel, a change into a review.
 */

import * as vscode from "vscode";

import type { Asked, Chat } from "./chat";
import { complain, lineOf } from "./log";
import type { Panel, Writer } from "./panel";
import { type Answer, CHANGES, type Kind, remarks, SAVED } from "./pure/answer";
import type { Review } from "./review";

const TITLES: Record<Kind, string> = {
  explain: "Explain",
  edit: "Edit",
  document: "Document",
  tests: "Write Tests",
  fix: "Fix",
  ask: "Ask",
};
const PROMPTS: Partial<Record<Kind, vscode.InputBoxOptions>> = {
  edit: { title: "Edit with an Instruction", prompt: "What to change in the selected code" },
  ask: { title: "Ask", prompt: "A question about this file, or about what is selected" },
};

export class Commands implements vscode.Disposable {
  readonly #chat: Chat;
  readonly #panel: Panel;
  readonly #review: Review;
  readonly #disposables: vscode.Disposable[] = [];

  constructor(chat: Chat, panel: Panel, review: Review) {
    this.#chat = chat;
    this.#panel = panel;
    this.#review = review;
    const names: [string, Kind][] = [
      ["explain", "explain"],
      ["edit", "edit"],
      ["doc", "document"],
      ["document", "document"], // as the server's code actions name it
      ["tests", "tests"],
      ["ask", "ask"],
    ];
    for (const [name, kind] of names) {
      this.#disposables.push(
        vscode.commands.registerCommand(`tandem.${name}`, (given?: Partial<Asked>) =>
          this.run(kind, given),
        ),
      );
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  /** Run a command; `given` are arguments of the lightbulb or of another extension. */
  async run(kind: Kind, given: Partial<Asked> = {}): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const asked = await this.arguments(kind, given, editor);
    if (asked === undefined) {
      return;
    }
    const format = CHANGES.has(kind) && kind !== "tests" ? "diff" : "markdown";
    const writer = this.#panel.open(TITLES[kind], headOf(asked), format);
    try {
      const answer = await this.#chat.ask(kind, asked, watching(writer, format));
      if (answer === undefined) {
        writer.done(["- Stopped."]);
        return;
      }
      await this.finish(kind, answer, writer, format);
    } catch (error) {
      writer.fail(lineOf(error));
      complain(lineOf(error));
    }
  }

  /** Show what an answer says, then its change, if it has one. */
  async finish(kind: Kind, answer: Answer, writer: Writer, format: string): Promise<void> {
    if (format === "diff" && answer.diff) {
      writer.set(answer.diff);
    } else if (writer.text === "") {
      writer.as("markdown");
      writer.set(answer.text);
    }
    writer.done(remarks(answer));
    if (!CHANGES.has(kind)) {
      return;
    }
    if (!answer.edit) {
      void vscode.window.showWarningMessage(`Tandem: ${answer.why ?? "no change"}.`);
      return;
    }
    const verdict = await this.#review.open(answer.edit, SAVED.has(kind));
    vscode.window.setStatusBarMessage(`Tandem: ${verdict}`, 5000);
  }

  /** What to ask; undefined if the person left the question. */
  async arguments(
    kind: Kind,
    given: Partial<Asked>,
    editor: vscode.TextEditor | undefined,
  ): Promise<Asked | undefined> {
    if (editor === undefined && given.uri === undefined && kind !== "ask") {
      void vscode.window.showWarningMessage("Tandem: open a file, and put the cursor into code.");
      return undefined;
    }
    if (kind === "tests" && !vscode.workspace.isTrusted) {
      refuse("Tests are not run in a workspace that is not trusted.");
      return undefined;
    }
    const asked: Asked = { ...this.#chat.placeOf(kind, editor), ...chosen(given) };
    const prompt = PROMPTS[kind];
    if (prompt !== undefined && !asked.instruction) {
      const typed = await vscode.window.showInputBox({ ...prompt, ignoreFocusOut: true });
      if (!typed?.trim()) {
        return undefined;
      }
      asked.instruction = typed;
    }
    return asked;
  }
}

/** Say why something is not done where others' code is not trusted, and how to say that it is. */
export function refuse(why: string): void {
  void vscode.window.showWarningMessage(`Tandem: ${why}`, "Manage Trust").then((choice) => {
    if (choice !== undefined) {
      void vscode.commands.executeCommand("workbench.trust.manage");
    }
  });
}

/** The arguments that are ours: a menu gives a URI object, the lightbulb also `show`. */
function chosen(given: Partial<Asked>): Partial<Asked> {
  const { uri, range, instruction, diagnostics } = given;
  return {
    ...(typeof uri === "string" && { uri }),
    ...(range !== undefined && { range }),
    ...(typeof instruction === "string" && { instruction }),
    ...(Array.isArray(diagnostics) && { diagnostics }),
  };
}

function watching(writer: Writer, format: string): Parameters<Chat["ask"]>[2] {
  return {
    ...(format === "diff"
      ? { diff: (diff) => writer.set(diff) }
      : { text: (piece) => writer.append(piece) }),
    step: (message) => writer.step(message),
  };
}

function headOf(asked: Asked): string {
  const name = asked.uri && decodeURIComponent(asked.uri.split("/").pop() ?? "");
  const { start, end } = asked.range ?? {};
  const lines =
    start && end && `:${start.line + 1}${end.line > start.line ? `-${end.line + 1}` : ""}`;
  return [asked.instruction, name && `${name}${lines ?? ""}`].filter(Boolean).join("\n");
}
