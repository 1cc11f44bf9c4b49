/** The language server: found, started, started again when it dies, asked. */

import * as vscode from "vscode";

import type { Client } from "./languageClient";
import { lineOf, log } from "./log";
import { Deaths } from "./pure/deaths";
import type { Phase } from "./pure/status";
import type { Settings } from "./settings";

export class Server implements vscode.Disposable {
  phase: Phase = "stopped";
  /** Why no server runs, in one line; "" if nothing is in the way. */
  trouble = "";
  readonly #settings: Settings;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.#changed.event;
  readonly #worked = new vscode.EventEmitter<void>();
  /** Some work has ended: a model may be there now. */
  readonly onWorked = this.#worked.event;
  readonly #work = new Map<string | number, { title: string; message: string }>();
  readonly #listeners = new Map<string, (message: string) => void>();
  readonly #deaths = new Deaths();
  #client: Client | undefined;
  #starting: Promise<void> | undefined;
  #again: NodeJS.Timeout | undefined;
  /** Grows with each start and stop: what an older one still has to say is not heard. */
  #era = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** What the server is at, in one line; "" for nothing. */
  get work(): string {
    const [first] = this.#work.values();
    return first === undefined ? "" : [first.title, first.message].filter(Boolean).join(": ");
  }

  get isRunning(): boolean {
    return this.phase === "running";
  }

  async start(): Promise<void> {
    await this.#end();
    this.#deaths.forget();
    await this.#begin();
  }

  async stop(): Promise<void> {
    await this.#end();
    this.#set("stopped");
  }

  /** Ask the server. Rejects with its one-line error, or when it ends before it answers. */
  async request<T>(method: string, params: unknown, token?: vscode.CancellationToken): Promise<T> {
    const client = this.#client;
    if (client === undefined || !this.isRunning) {
      throw new Error(this.trouble || "The server is not running.");
    }
    // Not `undefined` for a token: the library would send it as a second parameter.
    return token === undefined
      ? client.sendRequest<T>(method, params)
      : client.sendRequest<T>(method, params, token);
  }

  execute<T>(command: string, given: unknown[], token?: vscode.CancellationToken): Promise<T> {
    return this.request<T>("workspace/executeCommand", { command, arguments: given }, token);
  }

  notify(method: string, params: unknown): void {
    if (this.#client !== undefined && this.isRunning) {
      this.#client.sendNotification(method, params).catch((error: unknown) => {
        log().warn(`${method} was not sent: ${lineOf(error)}`);
      });
    }
  }

  /** A document's URI as the server was told it. */
  uriOf(document: vscode.TextDocument): string {
    return this.#client?.code2ProtocolConverter.asUri(document.uri) ?? document.uri.toString();
  }

  /** Hear what the server sends to a token of ours. */
  onPieces(token: string, listener: (value: unknown) => void): vscode.Disposable {
    return this.#client?.pieces(token, listener) ?? { dispose: () => undefined };
  }

  /** Hear the steps of work by its title, which VS Code then does not show. */
  onSteps(title: string, listener: (message: string) => void): vscode.Disposable {
    this.#listeners.set(title, listener);
    return {
      dispose: () => {
        if (this.#listeners.get(title) === listener) {
          this.#listeners.delete(title);
        }
      },
    };
  }

  dispose(): void {
    void this.#end();
    this.#changed.dispose();
    this.#worked.dispose();
  }

  async #begin(): Promise<void> {
    const era = ++this.#era;
    const command = this.#settings.command();
    if (command === undefined) {
      const named = this.#settings.named;
      const what = named ? `${named} is not there` : "the server is not installed";
      this.#set("missing", `${what}: install the server, or set tandem.command`);
      return;
    }
    this.#set(this.phase === "restarting" ? "restarting" : "starting");
    log().info(`Starting ${command.join(" ")}`);
    await vscode.workspace.fs.createDirectory(vscode.Uri.file(this.#settings.home));
    try {
      const { makeClient } = await import("./languageClient.js");
      if (era !== this.#era) {
        return;
      }
      const client = makeClient(command, this.#settings, log(), {
        begins: (token, title) => this.#begins(token, title),
        reports: (token, message) => this.#reports(token, message),
        ends: (token) => this.#ends(token),
        closed: () => this.#died(era, ""),
      });
      this.#client = client;
      client.onDidChangeState(() => {
        if (era === this.#era && client.isRunning()) {
          this.#deaths.born(Date.now());
          this.#set("running");
        }
      });
      this.#deaths.born(Date.now());
      this.#starting = client.start();
      await this.#starting;
    } catch (error) {
      this.#died(era, lineOf(error));
    }
  }

  async #end(): Promise<void> {
    this.#era++;
    clearTimeout(this.#again);
    const client = this.#client;
    this.#client = undefined;
    this.#work.clear();
    try {
      await this.#starting; // one that starts cannot be stopped
      await client?.dispose();
    } catch (error) {
      // It may have ended by itself, or never have begun.
      log().debug(`Stopping the server: ${lineOf(error)}`);
    }
  }

  /** The server has ended, or did not begin, and nobody wanted that: start another, not for ever. */
  #died(era: number, why: string): void {
    if (era !== this.#era) {
      return; // it was stopped, or its end has been told already
    }
    this.#era++;
    this.#client = undefined;
    this.#work.clear();
    const wait = this.#deaths.died(Date.now());
    if (wait === undefined) {
      this.#fail("The server ends again and again");
      return;
    }
    log().warn(`The server ended${why && ` (${why})`}; it is started again in ${wait} ms`);
    this.#set("restarting");
    this.#again = setTimeout(() => void this.#begin(), wait);
  }

  #fail(why: string): void {
    this.#set("failed", why);
    log().error(why);
    const buttons = ["Restart Server", "Show Log", "Doctor"];
    const commands = ["tandem.restart", "tandem.log", "tandem.doctor"];
    void vscode.window.showErrorMessage(`Tandem: ${why}.`, ...buttons).then((choice) => {
      const command = choice && commands[buttons.indexOf(choice)];
      if (command) {
        void vscode.commands.executeCommand(command);
      }
    });
  }

  #begins(token: string | number, title: string): boolean {
    this.#work.set(token, { title: title.replace(/^Tandem: /, ""), message: "" });
    this.#changed.fire();
    return this.#listeners.has(title);
  }

  #reports(token: string | number, message: string): void {
    const work = this.#work.get(token);
    if (work !== undefined) {
      work.message = message;
      this.#listeners.get(`Tandem: ${work.title}`)?.(message);
      this.#changed.fire();
    }
  }

  #ends(token: string | number): void {
    this.#work.delete(token);
    this.#changed.fire();
    this.#worked.fire();
  }

  #set(phase: Phase, trouble = ""): void {
    this.phase = phase;
    this.trouble = trouble;
    this.#changed.fire();
  }
}
