/**
 * Where VS Code begins and ends. All parts are made here and joined; the language client's library
 * is loaded only after that, when the server is started.
 */

import * as vscode from "vscode";

import { Chat } from "./chat";
import { Server } from "./client";
import { Commands } from "./commands";
import { Fix } from "./fix";
import { GhostText, SELECTOR } from "./ghost";
import { Installer } from "./install";
import { log } from "./log";
import { Menu } from "./menu";
import { NextEdit } from "./nextEdit";
import { Outcomes } from "./outcomes";
import { Panel } from "./panel";
import { registerParticipant } from "./participant";
import { Review } from "./review";
import { Settings } from "./settings";
import { Status } from "./status";
import { Tools } from "./tools";
import { welcome } from "./walkthrough";

const SHUTDOWN_MS = 3000;
let running: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const since = performance.now();
  const settings = new Settings(context);
  const server = new Server(settings);
  running = server;
  const outcomes = new Outcomes(server);
  const ghost = new GhostText(server, outcomes);
  const status = new Status(server, settings, ghost);
  const chat = new Chat(server);
  const panel = new Panel(context.extensionUri, () => chat.stop());
  const review = new Review();
  const commands = new Commands(chat, panel, review);
  const participant = registerParticipant(context.extensionUri, chat, commands, review);
  context.subscriptions.push(
    log(),
    server,
    outcomes,
    ghost,
    status,
    panel,
    review,
    commands,
    new Fix(server, chat, panel, review, commands),
    new NextEdit(server),
    new Menu(server, settings, status),
    new Tools(settings),
    new Installer(server, settings),
    ...(participant === undefined ? [] : [participant]),
    review.onWaiting((is) => panel.reviewing(is)),
    vscode.languages.registerInlineCompletionItemProvider(SELECTOR, ghost),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (
        event.affectsConfiguration("tandem.command") ||
        event.affectsConfiguration("tandem.env")
      ) {
        void server.start();
      }
    }),
    // What runs code was refused till now; settings that were held back count from now on.
    vscode.workspace.onDidGrantWorkspaceTrust(() => void server.start()),
  );
  log().info(`Activated in ${(performance.now() - since).toFixed(0)} ms, the server not started`);
  void server.start().then(() => welcome(context, settings));
}

export async function deactivate(): Promise<void> {
  // VS Code gives a few seconds; a server that is busy ends by its closed input.
  const late = new Promise<void>((done) => setTimeout(done, SHUTDOWN_MS));
  await Promise.race([running?.stop(), late]);
}
