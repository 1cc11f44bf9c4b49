/**
 * The one file that loads `vscode-languageclient`: a bundle of its own, which is read when a server
 * is started and not before. Of our files it takes types only, or there would be two of each.
 *
 * Some of the library's own features are left out: ghost text is asked for in ghost.ts, commands of
 * the server run through ours (they open panels and reviews), and its list of completions is for
 * editors without ghost text.
 */

import * as vscode from "vscode";
import {
  type DynamicFeature,
  CloseAction,
  ErrorAction,
  LanguageClient,
  type Middleware,
  ProgressType,
  type ServerOptions,
  type StaticFeature,
} from "vscode-languageclient/node";

import type { Settings } from "./settings";

const LEFT_OUT = new Set([
  "textDocument/completion",
  "textDocument/inlineCompletion",
  "workspace/executeCommand",
]);

export class Client extends LanguageClient {
  /** For the log alone: what a person has to know, client.ts says once. */
  override error(message: string, data?: unknown): void {
    const told = data instanceof Error ? `${message}: ${data.message}` : message;
    this.outputChannel.debug(told);
  }

  /** Hear what the server sends to a token of ours. */
  pieces(token: string, listener: (value: unknown) => void): vscode.Disposable {
    return this.onProgress(new ProgressType<unknown>(), token, listener);
  }

  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    const method = "registrationType" in feature ? feature.registrationType.method : "";
    if (!LEFT_OUT.has(method)) {
      super.registerFeature(feature);
    }
  }
}

/** What this extension is able to do in the place of the features left out. */
const ABLE: StaticFeature = {
  fillClientCapabilities(able) {
    able.textDocument = { ...able.textDocument, inlineCompletion: { dynamicRegistration: false } };
    able.workspace = { ...able.workspace, executeCommand: { dynamicRegistration: false } };
  },
  initialize() {},
  getState() {
    return { kind: "static" };
  },
  clear() {},
};

/** What the client tells of: work that begins, goes on and ends; and the end of the connection. */
export interface Events {
  /** Whether someone shows this work, so that VS Code need not. */
  begins(token: string | number, title: string): boolean;
  reports(token: string | number, message: string): void;
  ends(token: string | number): void;
  closed(): void;
}

export function makeClient(
  command: readonly string[],
  settings: Settings,
  channel: vscode.LogOutputChannel,
  events: Events,
): Client {
  const server: ServerOptions = {
    command: command[0]!,
    args: command.slice(1),
    // Not the workspace: Python would take modules from its folder.
    options: { env: settings.env(), cwd: settings.home },
  };
  const client: Client = new Client("tandem", "Tandem", server, {
    documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
    initializationOptions: settings.options(),
    outputChannel: channel,
    middleware: middleware(() => client, settings, events),
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        events.closed();
        return { action: CloseAction.DoNotRestart, handled: true, message: "Disconnected" };
      },
    },
    initializationFailedHandler: () => false,
  });
  client.registerFeature(ABLE);
  return client;
}

function middleware(client: () => Client, settings: Settings, events: Events): Middleware {
  return {
    workspace: {
      configuration: (params) =>
        params.items.map((item) =>
          settings.options(item.scopeUri ? vscode.Uri.parse(item.scopeUri) : undefined),
        ),
      // The server asks for them, folder by folder, once it hears that they have changed.
      didChangeConfiguration: () =>
        client().sendNotification("workspace/didChangeConfiguration", { settings: null }),
    },
    handleWorkDoneProgress: (token, params, next) => {
      if (params.kind === "begin" && events.begins(token, params.title)) {
        return;
      }
      if (params.kind === "report") {
        events.reports(token, params.message ?? "");
      } else if (params.kind === "end") {
        events.ends(token);
      }
      next(token, params);
    },
  };
}
