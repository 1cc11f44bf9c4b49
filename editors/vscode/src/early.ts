/**
 * Asks for ghost text as soon as a key has changed the text. VS Code waits 50 ms after each key
 * before it asks anyone; the server has a rule of its own for that (docs/quiet.md), so these would
 * be lost. What VS Code then asks for is here already, or on its way.
 */

import * as vscode from "vscode";

/** So many answers in a row that VS Code never asked for: it has no use for them here. */
const MOST_UNUSED = 3;
const PAIR = /^(?:\(\)|\[\]|\{\}|""|''|``)$/;

export type Ask<T> = (
  document: vscode.TextDocument,
  position: vscode.Position,
  token: vscode.CancellationToken,
) => Promise<T>;

interface Question<T> {
  document: vscode.TextDocument;
  version: number;
  position: vscode.Position;
  source: vscode.CancellationTokenSource;
  answer: Promise<T>;
}

export class Early<T> implements vscode.Disposable {
  /** Whether the editor's list is open: with an item selected the question is another one. */
  isListOpen = false;
  readonly #ask: Ask<T>;
  readonly #disposables: vscode.Disposable[];
  #question: Question<T> | undefined;
  /** A question that is about to be asked. */
  #soon: NodeJS.Immediate | undefined;
  #unused = 0;

  constructor(ask: Ask<T>) {
    this.#ask = ask;
    this.#disposables = [
      vscode.workspace.onDidChangeTextDocument((event) => this.#changed(event)),
      vscode.window.onDidChangeTextEditorSelection((event) => this.#moved(event)),
    ];
  }

  /** The answer to a question that was asked early, which then ends when the token says so. */
  take(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<T> | undefined {
    const question = this.#question;
    this.#unused = 0;
    this.#question = undefined;
    clearImmediate(this.#soon); // on a busy machine VS Code may be first, and would be asked twice
    if (question === undefined || !isSame(question, document, position)) {
      question?.source.cancel();
      return undefined;
    }
    token.onCancellationRequested(() => question.source.cancel());
    return question.answer;
  }

  /** End what was asked early: another question is asked in its place. */
  leave(): undefined {
    this.#unused = 0;
    this.#drop();
  }

  dispose(): void {
    this.#drop();
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  #changed(event: vscode.TextDocumentChangeEvent): void {
    const { document, contentChanges, reason } = event;
    if (contentChanges.length === 0 || document !== vscode.window.activeTextEditor?.document) {
      return;
    }
    this.#drop();
    const [change] = contentChanges;
    const isTyped = contentChanges.length === 1 && reason === undefined && change!.text !== "";
    if (!isTyped || this.isListOpen || this.#unused >= MOST_UNUSED) {
      return;
    }
    const { version } = document;
    const typed = PAIR.test(change!.text) ? 1 : change!.text.length;
    // After all that hear of this change, the client among them, which sends it to the server.
    this.#soon = setImmediate(() => {
      if (document.version === version && this.#question === undefined) {
        this.#begin(document, document.positionAt(change!.rangeOffset + typed));
      }
    });
  }

  #begin(document: vscode.TextDocument, position: vscode.Position): void {
    const source = new vscode.CancellationTokenSource();
    const answer = this.#ask(document, position, source.token);
    answer.catch(() => undefined); // whoever takes it hears of it
    this.#unused++;
    this.#question = { document, version: document.version, position, source, answer };
  }

  #moved({ textEditor, selections }: vscode.TextEditorSelectionChangeEvent): void {
    const question = this.#question;
    if (
      question?.document === textEditor.document &&
      question.version === textEditor.document.version &&
      !selections.some((one) => one.isEmpty && one.active.isEqual(question.position))
    ) {
      this.#drop();
    }
  }

  #drop(): void {
    clearImmediate(this.#soon);
    this.#question?.source.cancel();
    this.#question = undefined;
  }
}

function isSame<T>(
  question: Question<T>,
  document: vscode.TextDocument,
  position: vscode.Position,
): boolean {
  return (
    question.document === document &&
    question.version === document.version &&
    question.position.isEqual(position)
  );
}
