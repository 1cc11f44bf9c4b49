/**
 * The panel that an answer is written into while it comes: one webview, opened again when it is
 * needed. It holds no text of its own: the whole of an answer is sent to it, at most every 50 ms.
 */

import { randomBytes } from "node:crypto";
import * as vscode from "vscode";

const EVERY_MS = 50;

export type State = "streaming" | "done" | "error";

/** All that the panel shows. `format` says what `text` is. */
export interface Shown {
  title: string;
  question: string;
  text: string;
  format: "markdown" | "diff";
  steps: string[];
  remarks: string;
  state: State;
  error: string;
  /** Whether a change waits for a yes. */
  reviewing: boolean;
}

type Message = { kind: "ready" | "stop" | "accept" | "reject" } | { kind: "ask"; text: string };

export class Panel implements vscode.Disposable {
  readonly #extension: vscode.Uri;
  readonly #stop: () => void;
  #panel: vscode.WebviewPanel | undefined;
  #shown: Shown | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `stop` ends the answers under way. */
  constructor(extension: vscode.Uri, stop: () => void) {
    this.#extension = extension;
    this.#stop = stop;
  }

  /** Begin an answer; what is still written of an older one is not seen any more. */
  open(title: string, question: string, format: Shown["format"]): Writer {
    const shown: Shown = {
      title,
      question,
      text: "",
      format,
      steps: [],
      remarks: "",
      state: "streaming",
      error: "",
      reviewing: false,
    };
    this.#shown = shown;
    this.#panel ??= this.#make();
    this.#panel.reveal(this.#panel.viewColumn, true);
    this.#send();
    return new Writer(shown, () => this.#changed(shown));
  }

  /** Whether a change waits for a yes, for its two buttons. */
  reviewing(is: boolean): void {
    if (this.#shown !== undefined && this.#shown.reviewing !== is) {
      this.#shown.reviewing = is;
      this.#send();
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#panel?.dispose();
  }

  #changed(shown: Shown): void {
    if (shown !== this.#shown) {
      return;
    }
    if (shown.state !== "streaming") {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#send();
      }, EVERY_MS);
    }
  }

  #send(): void {
    void this.#panel?.webview.postMessage(this.#shown);
  }

  #make(): vscode.WebviewPanel {
    const panel = vscode.window.createWebviewPanel(
      "tandem.answer",
      "Tandem",
      { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
      { enableScripts: true, localResourceRoots: [this.#extension], retainContextWhenHidden: true },
    );
    panel.iconPath = vscode.Uri.joinPath(this.#extension, "media", "icon.png");
    panel.webview.onDidReceiveMessage((message: Message) => this.#hear(message));
    panel.onDidDispose(() => {
      this.#panel = undefined;
      this.#stop();
    });
    panel.webview.html = this.#html(panel.webview);
    return panel;
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case "ready":
        this.#send();
        break;
      case "stop":
        this.#stop();
        break;
      case "accept":
        void vscode.commands.executeCommand("tandem.acceptReview");
        break;
      case "reject":
        void vscode.commands.executeCommand("tandem.rejectReview");
        break;
      case "ask":
        void vscode.commands.executeCommand("tandem.ask", { instruction: message.text });
        break;
    }
  }

  /** No script without the nonce, nothing from anywhere but this extension. */
  #html(webview: vscode.Webview): string {
    const of = (...parts: string[]): string =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.#extension, ...parts)).toString();
    const nonce = randomBytes(16).toString("base64url");
    const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${of("media", "panel.css")}">
<title>Tandem</title>
</head>
<body>
<header>
<h1 id="title">Tandem</h1>
<p id="question"></p>
<p role="toolbar" aria-label="Answer">
<button id="stop" type="button">Stop</button>
<button id="copy" type="button">Copy</button>
<button id="accept" type="button" hidden>Accept</button>
<button id="reject" type="button" hidden>Reject</button>
</p>
</header>
<ol id="steps" aria-label="Steps"></ol>
<main id="answer" data-state="done" aria-label="Answer">
<div id="text"></div>
<section id="remarks" aria-label="Remarks"></section>
</main>
<p id="told" role="status"></p>
<form id="more">
<label for="words">Ask on</label>
<textarea id="words" rows="2"></textarea>
<button type="submit">Ask</button>
</form>
<script nonce="${nonce}" src="${of("dist", "panel.js")}"></script>
</body>
</html>`;
  }
}

/** Writes one answer. */
export class Writer {
  readonly #shown: Shown;
  readonly #changed: () => void;

  constructor(shown: Shown, changed: () => void) {
    this.#shown = shown;
    this.#changed = changed;
  }

  get text(): string {
    return this.#shown.text;
  }

  append(piece: string): void {
    this.#shown.text += piece;
    this.#changed();
  }

  set(text: string): void {
    this.#shown.text = text;
    this.#changed();
  }

  as(format: Shown["format"]): void {
    this.#shown.format = format;
  }

  /** A step; one that only counts on takes the place of the last. */
  step(message: string): void {
    const { steps } = this.#shown;
    const plain = (step: string | undefined): string | undefined => step?.replace(/\d+/g, "");
    if (message === "" || message === steps.at(-1)) {
      return;
    }
    if (plain(message) === plain(steps.at(-1))) {
      steps.pop();
    }
    steps.push(message);
    this.#changed();
  }

  done(remarks: readonly string[] = []): void {
    this.#shown.remarks = remarks.join("\n");
    this.#shown.state = "done";
    this.#changed();
  }

  fail(error: string): void {
    this.#shown.error = error;
    this.#shown.state = "error";
    this.#changed();
  }
}
