/**
 * The section `tandem` of VS Code's settings: those that the server knows (docs/settings.md), and
 * our own: how to start it.
 *
 * Only what somebody has set is sent. The defaults in package.json are the server's; sent along,
 * they would hide the user's config.toml.
 */

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";

import { expanded, nested, programOf, switched, type Options } from "./pure/options";

export const SECTION = "tandem";
/** Settings of the extension alone. */
const OURS = new Set(["command", "env", "package"]);

export class Settings {
  readonly #names: string[];
  readonly #home: vscode.Uri;

  constructor(context: vscode.ExtensionContext) {
    const manifest = context.extension.packageJSON as {
      contributes: { configuration: { properties: object }[] };
    };
    this.#names = manifest.contributes.configuration
      .flatMap((group) => Object.keys(group.properties))
      .map((name) => name.slice(SECTION.length + 1))
      .filter((name) => !OURS.has(name));
    this.#home = context.globalStorageUri;
  }

  /** What is set for a place, nested as the server wants it. */
  options(scope?: vscode.Uri): Options {
    const section = vscode.workspace.getConfiguration(SECTION, scope ?? null);
    const isSet = (name: string): boolean => {
      const found = section.inspect(name);
      const values = [found?.globalValue, found?.workspaceValue, found?.workspaceFolderValue];
      return values.some((value) => value !== undefined);
    };
    return nested(this.#names.filter(isSet).map((name) => [name, section.get(name)] as const));
  }

  /** Whether suggestions are on for a document, as far as VS Code's own settings say. */
  suggests(document?: vscode.TextDocument): boolean {
    const section = vscode.workspace.getConfiguration(SECTION, document?.uri ?? null);
    return section.get("completion.enabled", true);
  }

  speaks(document: vscode.TextDocument): boolean {
    const section = vscode.workspace.getConfiguration(SECTION, document.uri);
    const off = section.get<string[]>("completion.disabled_languages", []);
    return !off.includes(document.languageId);
  }

  /** Where the server is installed by the command "Install Server". */
  get environment(): string {
    return path.join(this.#home.fsPath, "server");
  }

  get home(): string {
    return this.#home.fsPath;
  }

  get package(): string {
    return vscode.workspace.getConfiguration(SECTION).get<string>("package", "") || "tandem-pair";
  }

  /** The program that the user has named, or "". */
  get named(): string {
    return vscode.workspace.getConfiguration(SECTION).get<string[]>("command", [])[0] ?? "";
  }

  /** The server's command with the whole path of its program, or undefined if that is not there. */
  command(): string[] | undefined {
    const given = vscode.workspace.getConfiguration(SECTION).get<string[]>("command", []);
    if (given.length > 0) {
      const program = found(expanded(given[0]!, os.homedir()));
      return program === undefined ? undefined : [program, ...given.slice(1)];
    }
    const installed = path.join(this.environment, BIN, `tandem${SUFFIX}`);
    const program = isProgram(installed) ? installed : found("tandem");
    return program === undefined ? undefined : [program, "lsp"];
  }

  /** The command line's program, for `tandem doctor` and the like. */
  program(): string[] | undefined {
    const command = this.command();
    return command === undefined ? undefined : programOf(command);
  }

  /** The environment of what we start. */
  env(): Record<string, string> {
    const given = vscode.workspace.getConfiguration(SECTION).get<Record<string, string>>("env", {});
    const own = Object.entries(process.env).filter(([, value]) => value !== undefined);
    return { ...(Object.fromEntries(own) as Record<string, string>), ...given };
  }

  /** Switch suggestions where they are set now, else for the user. */
  async enable(on: boolean): Promise<void> {
    await write("completion.enabled", on);
  }

  async enableLanguage(language: string, on: boolean): Promise<void> {
    const section = vscode.workspace.getConfiguration(SECTION);
    const now = section.get<string[]>("completion.disabled_languages", []);
    await write("completion.disabled_languages", switched(now, language, on));
  }
}

const BIN = process.platform === "win32" ? "Scripts" : "bin";
const SUFFIX = process.platform === "win32" ? ".exe" : "";

async function write(name: string, value: unknown): Promise<void> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const isOfWorkspace = section.inspect(name)?.workspaceValue !== undefined;
  const target = isOfWorkspace
    ? vscode.ConfigurationTarget.Workspace
    : vscode.ConfigurationTarget.Global;
  await section.update(name, value, target);
}

/** A program by its path or, without a folder, on PATH; never relative to a workspace. */
function found(program: string): string | undefined {
  if (path.isAbsolute(program)) {
    return isProgram(program) ? program : undefined;
  }
  if (program.includes("/") || program.includes(path.sep)) {
    return undefined;
  }
  return (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, program + SUFFIX))
    .find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
