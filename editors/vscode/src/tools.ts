/** Tandem's command line from the palette: doctor and tune in a terminal, trace and stats as pages. */

import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";

import { refuse } from "./commands";
import { complain, lineOf, log } from "./log";
import type { Settings } from "./settings";

const PAGES: Record<string, string> = { trace: "Tandem: Trace", stats: "Tandem: Stats" };
const LONGEST_MS = 60_000;
const run = promisify(execFile);

export class Tools implements vscode.Disposable {
  readonly #settings: Settings;
  readonly #disposables: vscode.Disposable[];

  constructor(settings: Settings) {
    this.#settings = settings;
    const command = vscode.commands.registerCommand.bind(vscode.commands);
    this.#disposables = [
      command("tandem.log", () => log().show()),
      command("tandem.doctor", () => this.#inTerminal("doctor")),
      command("tandem.tune", () => this.#tune()),
      command("tandem.trace", () => this.#page("trace")),
      command("tandem.stats", () => this.#page("stats")),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  /** `tandem NAME …` as a task, whose terminal stays open when it ends. */
  async #inTerminal(name: string, words: string[] = [], folder?: vscode.WorkspaceFolder) {
    const program = this.#program();
    if (program === undefined) {
      return;
    }
    const [file, ...before] = program;
    // Elsewhere than in the workspace, Python cannot take a module from its folder.
    const options = { env: this.#settings.env(), cwd: folder?.uri.fsPath ?? this.#settings.home };
    await vscode.workspace.fs.createDirectory(vscode.Uri.file(this.#settings.home));
    const task = new vscode.Task(
      { type: "process", task: name },
      folder ?? vscode.TaskScope.Global,
      name,
      "Tandem",
      new vscode.ProcessExecution(file!, [...before, name, ...words], options),
    );
    task.presentationOptions = {
      reveal: vscode.TaskRevealKind.Always,
      panel: vscode.TaskPanelKind.Dedicated,
      clear: true,
    };
    await vscode.tasks.executeTask(task);
  }

  async #tune(): Promise<void> {
    if (!vscode.workspace.isTrusted) {
      refuse("A workspace that is not trusted teaches the model nothing.");
      return;
    }
    const folders = vscode.workspace.workspaceFolders ?? [];
    const folder = folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0];
    if (folder === undefined) {
      if (folders.length === 0) {
        void vscode.window.showWarningMessage("Tandem: open a repository first.");
      }
      return;
    }
    await this.#inTerminal("tune", [folder.uri.fsPath]);
  }

  /** `tandem NAME --html FILE`, shown; the page's own policy says which script may run. */
  async #page(name: string): Promise<void> {
    const program = this.#program();
    if (program === undefined) {
      return;
    }
    const [file, ...before] = program;
    const folder = await fs.mkdtemp(path.join(await this.#home(), "page-"));
    const page = path.join(folder, `${name}.html`);
    try {
      await vscode.window.withProgress(
        { location: vscode.ProgressLocation.Window, title: `Tandem: ${name}` },
        () =>
          run(file!, [...before, name, "--html", page], {
            env: this.#settings.env(),
            cwd: this.#settings.home,
            timeout: LONGEST_MS,
          }),
      );
      const text = await fs.readFile(page, "utf8");
      const panel = vscode.window.createWebviewPanel(
        `tandem.${name}`,
        PAGES[name]!,
        vscode.ViewColumn.Active,
        { enableScripts: true, enableFindWidget: true, localResourceRoots: [] },
      );
      panel.webview.html = text;
    } catch (error) {
      const told = (error as { stderr?: string }).stderr?.trim();
      complain(`no ${name}: ${told ? told.split("\n").at(-1) : lineOf(error)}`);
    } finally {
      await fs.rm(folder, { recursive: true, force: true });
    }
  }

  async #home(): Promise<string> {
    await fs.mkdir(this.#settings.home, { recursive: true });
    return this.#settings.home;
  }

  #program(): string[] | undefined {
    const program = this.#settings.program();
    if (program === undefined) {
      offerInstall("Tandem's server is not there.");
    }
    return program;
  }
}

/** Say that there is no server, and how to get one. */
export function offerInstall(why: string): void {
  void vscode.window
    .showWarningMessage(`Tandem: ${why}`, "Install Server", "Settings")
    .then((choice) => {
      if (choice === "Install Server") {
        void vscode.commands.executeCommand("tandem.install");
      } else if (choice === "Settings") {
        void vscode.commands.executeCommand("workbench.action.openSettings", "tandem.command");
      }
    });
}
