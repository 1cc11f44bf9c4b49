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
  readonly #work = new Map<string | number, { title: string; message: string }>();
  readonly #listeners = new Map<string, (message: string) => void>();
  readonly #deaths = new Deaths();
  #client: Client | undefined;
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
    return client.sendRequest<T>(method, params, token);
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
    this.#set("starting");
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
        closed: () => this.#closed(era),
      });
      this.#client = client;
      client.onDidChangeState(() => {
        if (era === this.#era && client.isRunning()) {
          this.#deaths.born(Date.now());
          this.#set("running");
        }
      });
      this.#deaths.born(Date.now());
      await client.start();
    } catch (error) {
      log().error(`The server did not start: ${lineOf(error)}`);
      if (era === this.#era && this.phase === "starting") {
        this.#fail(`The server does not start: ${lineOf(error)}`);
      }
    }
  }

  async #end(): Promise<void> {
    this.#era++;
    const client = this.#client;
    this.#client = undefined;
    this.#work.clear();
    if (client !== undefined) {
      try {
        await client.dispose();
      } catch (error) {
        // It may have ended by itself, or while it started.
        log().debug(`Stopping the server: ${lineOf(error)}`);
      }
    }
  }

  /** The connection is closed, and nobody wanted that. The numbers are the library's actions. */
  async #closed(era: number): Promise<{ action: 1 | 2; handled: true }> {
    const [leave, again] = [1, 2] as const;
    if (era !== this.#era) {
      return { action: leave, handled: true };
    }
    this.#work.clear();
    const wait = this.#deaths.died(Date.now());
    if (wait === undefined) {
      this.#fail("The server ends again and again");
      return { action: leave, handled: true };
    }
    log().warn(`The server ended; it is started again in ${wait} ms`);
    this.#set("restarting");
    await new Promise((done) => setTimeout(done, wait));
    return { action: era === this.#era ? again : leave, handled: true };
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
  }

  #set(phase: Phase, trouble = ""): void {
    this.phase = phase;
    this.trouble = trouble;
    this.#changed.fire();
  }
}
