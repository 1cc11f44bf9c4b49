/**
 * "Install Server": a Python environment of the extension's own, with Tandem in it. Made beside the
 * one in use and moved into its place at the end, so that one that was stopped half way is no harm.
 */

import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";

import type { Server } from "./client";
import { complain, lineOf, log } from "./log";
import { pipLine } from "./pure/pip";
import type { Settings } from "./settings";

const PYTHONS = ["python3.13", "python3.12", "python3.11", "python3", "python"];
const NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))";

export class Installer implements vscode.Disposable {
  readonly #server: Server;
  readonly #settings: Settings;
  readonly #command: vscode.Disposable;

  constructor(server: Server, settings: Settings) {
    this.#server = server;
    this.#settings = settings;
    this.#command = vscode.commands.registerCommand("tandem.install", () => this.install());
  }

  dispose(): void {
    this.#command.dispose();
  }

  async install(): Promise<void> {
    const name = this.#settings.package;
    const yes = "Install";
    const choice = await vscode.window.showInformationMessage(
      "Install Tandem's server?",
      {
        modal: true,
        detail: `pip puts ${name} into ${this.#settings.environment}. That takes some minutes and some gigabytes, most of them PyTorch.`,
      },
      yes,
    );
    if (choice !== yes) {
      return;
    }
    try {
      const isDone = await vscode.window.withProgress(
        {
          location: vscode.ProgressLocation.Notification,
          title: "Tandem: installing the server",
          cancellable: true,
        },
        (progress, token) => this.#make(name, (message) => progress.report({ message }), token),
      );
      if (isDone) {
        void vscode.window.showInformationMessage("Tandem: the server is installed.");
        await this.#server.start();
      }
    } catch (error) {
      complain(`the server was not installed: ${lineOf(error)}`);
    }
  }

  /** Whether it was made; false if it was stopped. */
  async #make(
    name: string,
    tell: (message: string) => void,
    token: vscode.CancellationToken,
  ): Promise<boolean> {
    const home = this.#settings.home;
    const fresh = path.join(home, "server");
    const old = path.join(home, "server-before");
    await fs.mkdir(home, { recursive: true });
    const python = await newEnough(token);
    if (python === undefined) {
      if (token.isCancellationRequested) {
        return false;
      }
      throw new Error("There is no Python 3.11 or newer on PATH.");
    }
    await this.#server.stop();
    await fs.rm(old, { recursive: true, force: true });
    // An environment names its own folder in its scripts: it has to be made where it stays.
    const hadOne = await moved(fresh, old);
    let isDone = false;
    try {
      tell("making an environment");
      await run([python, "-m", "venv", fresh], home, tell, token);
      const own = path.join(fresh, process.platform === "win32" ? "Scripts" : "bin", "python");
      const pip = [own, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"];
      await run([...pip, name], home, tell, token);
      isDone = true;
    } catch (error) {
      if (!token.isCancellationRequested) {
        throw error;
      }
    } finally {
      if (!isDone) {
        await fs.rm(fresh, { recursive: true, force: true });
        if (hadOne) {
          await fs.rename(old, fresh);
        }
        await this.#server.start();
      }
      await fs.rm(old, { recursive: true, force: true });
    }
    return isDone;
  }
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await fs.rename(from, to);
    return true;
  } catch {
    return false;
  }
}

async function newEnough(token: vscode.CancellationToken): Promise<string | undefined> {
  for (const python of PYTHONS) {
    if (token.isCancellationRequested) {
      return undefined;
    }
    try {
      await run([python, "-c", NEW_ENOUGH], "/", () => undefined, token);
      return python;
    } catch {
      // Not there, or too old: the next one.
    }
  }
  return undefined;
}

/** Run a program to its end; its lines go to the log. Rejects with its last line of error. */
function run(
  words: string[],
  cwd: string,
  tell: (message: string) => void,
  token: vscode.CancellationToken,
): Promise<void> {
  return new Promise((done, fail) => {
    const [program, ...rest] = words;
    // A group of its own, so that what pip starts ends with it.
    const isGroup = process.platform !== "win32";
    const child = spawn(program!, rest, {
      cwd,
      detached: isGroup,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stop = token.onCancellationRequested(() => kill(child, isGroup));
    let last = "";
    const hear = (data: string): void => {
      for (const line of data.split(/[\r\n]+/).filter((one) => one.trim() !== "")) {
        log().info(line);
        last = line;
        const told = pipLine(line);
        if (told !== "") {
          tell(told);
        }
      }
    };
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    child.on("error", fail);
    child.on("close", (code) => {
      stop.dispose();
      if (code === 0) {
        done();
      } else {
        fail(new Error(last || `${program} ended with ${code}`));
      }
    });
  });
}

function kill(child: ChildProcess, isGroup: boolean): void {
  if (isGroup && child.pid !== undefined) {
    try {
      process.kill(-child.pid, "SIGTERM");
    } catch {
      // It has ended meanwhile.
    }
  } else {
    child.kill();
  }
}
