/** The status bar item: what Tandem does, the last answer's time, and the reason of a silence. */

import * as vscode from "vscode";

import type { Server } from "./client";
import type { GhostText } from "./ghost";
import { lineOf, log } from "./log";
import { minutes, type ServerStatus, shown, spoken } from "./pure/status";
import { SECTION, type Settings } from "./settings";

/** An answer's silence is asked for that much later, so that a burst of keys asks once. */
const AFTER_MS = 250;

export class Status implements vscode.Disposable {
  /** The server's last answer to `tandem/status`. */
  last: ServerStatus | undefined;
  readonly #server: Server;
  readonly #settings: Settings;
  readonly #ghost: GhostText;
  readonly #item = vscode.window.createStatusBarItem(
    "tandem.status",
    vscode.StatusBarAlignment.Right,
    100,
  );
  readonly #disposables: vscode.Disposable[];
  #timer: NodeJS.Timeout | undefined;
  #wake: NodeJS.Timeout | undefined;

  constructor(server: Server, settings: Settings, ghost: GhostText) {
    this.#server = server;
    this.#settings = settings;
    this.#ghost = ghost;
    this.#item.name = "Tandem";
    this.#item.command = "tandem.menu";
    this.#disposables = [
      this.#item,
      server.onDidChange(() => this.#serverChanged()),
      ghost.onAnswer(() => this.refresh()),
      vscode.window.onDidChangeActiveTextEditor(() => this.refresh()),
      vscode.window.onDidChangeWindowState((state) => state.focused && this.refresh()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(SECTION)) {
          this.refresh();
        }
      }),
    ];
    this.#draw();
    this.#item.show();
  }

  /** Ask the server soon, then draw. */
  refresh(): void {
    this.#draw();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#ask();
    }, AFTER_MS);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#wake);
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  #serverChanged(): void {
    if (this.#server.isRunning) {
      this.refresh();
    } else {
      this.last = undefined;
      this.#draw();
    }
  }

  async #ask(): Promise<void> {
    if (!this.#server.isRunning) {
      return;
    }
    try {
      const document = vscode.window.activeTextEditor?.document;
      const place = document && { textDocument: { uri: this.#server.uriOf(document) } };
      this.last = await this.#server.request<ServerStatus>("tandem/status", place ?? {});
    } catch (error) {
      log().debug(`tandem/status: ${lineOf(error)}`);
      return;
    }
    clearTimeout(this.#wake);
    if (this.last.snoozedSeconds > 0) {
      // The tooltip counts the minutes, and the end of a snooze is seen.
      const wait = Math.min(this.last.snoozedSeconds, 60) * 1000 + 100;
      this.#wake = setTimeout(() => this.refresh(), wait);
    }
    this.#draw();
  }

  #draw(): void {
    const document = vscode.window.activeTextEditor?.document;
    const now = shown({
      phase: this.#server.phase,
      trouble: this.#server.trouble,
      enabled: this.#settings.suggests(document),
      language: document && {
        name: document.languageId,
        suggests: this.#settings.speaks(document),
      },
      work: this.#server.work,
      status: this.last,
      ms: this.#ghost.lastMs,
    });
    this.#item.text = now.text;
    this.#item.tooltip = now.lines.join("\n");
    this.#item.accessibilityInformation = { label: spoken(now), role: "button" };
    this.#item.backgroundColor = now.isProblem
      ? new vscode.ThemeColor("statusBarItem.errorBackground")
      : undefined;
  }
}

/** What to say of a snooze. */
export function snoozeLine(seconds: number): string {
  return seconds > 0 ? `Snoozed for ${minutes(seconds)} more` : "Not snoozed";
}
