/** The menu behind the status bar item, and the commands that switch suggestions on and off. */

import * as vscode from "vscode";

import type { Server } from "./client";
import { complain, lineOf } from "./log";
import type { Settings } from "./settings";
import { snoozeLine, type Status } from "./status";

const MINUTES = [5, 30, 60, 240];
const LONGEST_MINUTES = 7 * 24 * 60;

interface Choice extends vscode.QuickPickItem {
  run?: () => unknown;
}

export class Menu implements vscode.Disposable {
  readonly #server: Server;
  readonly #settings: Settings;
  readonly #status: Status;
  readonly #disposables: vscode.Disposable[];

  constructor(server: Server, settings: Settings, status: Status) {
    this.#server = server;
    this.#settings = settings;
    this.#status = status;
    const command = vscode.commands.registerCommand.bind(vscode.commands);
    this.#disposables = [
      command("tandem.menu", () => this.open()),
      command("tandem.snooze", (minutes?: unknown) => this.snooze(minutes)),
      command("tandem.enable", () => this.#enable(true)),
      command("tandem.disable", () => this.#enable(false)),
      command("tandem.restart", () => server.start()),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  async open(): Promise<void> {
    const choice = await vscode.window.showQuickPick(this.#choices(), {
      title: "Tandem",
      placeHolder: this.#server.trouble || "What to do",
    });
    await choice?.run?.();
  }

  /** Be quiet for so many minutes in all editors, or suggest again; asks where nothing is given. */
  async snooze(given?: unknown): Promise<void> {
    const minutes = typeof given === "number" ? given : await this.#minutes();
    if (minutes === undefined) {
      return;
    }
    try {
      if (minutes > 0) {
        await this.#server.execute("tandem.snooze", [Math.min(minutes, LONGEST_MINUTES)]);
      } else {
        await this.#server.execute("tandem.unsnooze", []);
      }
    } catch (error) {
      complain(lineOf(error));
    }
    this.#status.refresh();
  }

  #choices(): Choice[] {
    const document = vscode.window.activeTextEditor?.document;
    const isOn = this.#settings.suggests(document);
    const run = (command: string): (() => unknown) => {
      return () => vscode.commands.executeCommand(command);
    };
    const line = (label: string): Choice => ({ label, kind: vscode.QuickPickItemKind.Separator });
    return [
      line("Suggestions"),
      isOn
        ? { label: "$(circle-slash) Disable everywhere", run: run("tandem.disable") }
        : { label: "$(check) Enable everywhere", run: run("tandem.enable") },
      ...(document === undefined ? [] : [this.#language(document)]),
      {
        label: "$(bell-slash) Snooze…",
        description: snoozeLine(this.#status.last?.snoozedSeconds ?? 0),
        run: run("tandem.snooze"),
      },
      line("What it did"),
      {
        label: "$(list-tree) Trace",
        description: "requests and reasons",
        run: run("tandem.trace"),
      },
      { label: "$(graph) Stats", description: "what became of them", run: run("tandem.stats") },
      { label: "$(output) Show Log", run: run("tandem.log") },
      line("Server"),
      { label: "$(debug-restart) Restart Server", run: run("tandem.restart") },
      { label: "$(pulse) Doctor", run: run("tandem.doctor") },
      {
        label: "$(gear) Settings",
        run: () =>
          vscode.commands.executeCommand(
            "workbench.action.openSettings",
            "@ext:tandem.tandem-pair",
          ),
      },
      ...(this.#server.phase === "missing"
        ? [{ label: "$(cloud-download) Install Server", run: run("tandem.install") }]
        : []),
    ];
  }

  #language(document: vscode.TextDocument): Choice {
    const name = document.languageId;
    const speaks = this.#settings.speaks(document);
    return {
      label: speaks ? `$(circle-slash) Disable for ${name}` : `$(check) Enable for ${name}`,
      run: () => this.#settings.enableLanguage(name, !speaks),
    };
  }

  async #enable(on: boolean): Promise<void> {
    await this.#settings.enable(on);
    this.#status.refresh();
  }

  async #minutes(): Promise<number | undefined> {
    const isSnoozed = (this.#status.last?.snoozedSeconds ?? 0) > 0;
    const choices = [
      ...(isSnoozed ? [{ label: "Suggest again", minutes: 0 }] : []),
      ...MINUTES.map((minutes) => ({
        label:
          minutes < 60 ? `${minutes} minutes` : minutes === 60 ? "1 hour" : `${minutes / 60} hours`,
        minutes,
      })),
    ];
    const choice = await vscode.window.showQuickPick(choices, {
      title: "Snooze Tandem",
      placeHolder: "No suggestions for that long, in all editors of this machine",
    });
    return choice?.minutes;
  }
}
