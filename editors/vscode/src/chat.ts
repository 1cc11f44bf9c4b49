/**
 * Questions to the server: what a command asks, the pieces of the answer as they come, the answer.
 * Of each kind one is in flight; a newer one ends the older.
 */

import * as vscode from "vscode";

import type { Server } from "./client";
import type { Answer, Kind } from "./pure/answer";
import type { Range } from "./pure/edits";

/** The arguments of a chat command; see lsp/chat/asked.py. */
export interface Asked {
  uri?: string;
  range?: Range;
  instruction?: string;
  test?: string;
  diagnostics?: string[];
  new?: boolean;
}

/** Who watches an answer come. */
export interface Watcher {
  /** A piece of the answer's text. */
  text?(piece: string): void;
  /** The change so far, as a whole diff. */
  diff?(diff: string): void;
  /** A step of work that takes long. */
  step?(message: string): void;
}

/** What the server titles its progress (lsp/chat/commands.py), where we show the steps. */
const TITLES: Partial<Record<Kind, string>> = {
  fix: "Tandem: fixing",
  tests: "Tandem: writing tests",
};
const CANCELLED = -32800;
let tokens = 0;

export class Chat {
  readonly #server: Server;
  readonly #running = new Map<Kind, vscode.CancellationTokenSource>();

  constructor(server: Server) {
    this.#server = server;
  }

  /** The answer; undefined if it was stopped. Rejects with the server's one-line error. */
  async ask(
    kind: Kind,
    asked: Asked,
    watcher: Watcher,
    stop?: vscode.CancellationToken,
  ): Promise<Answer | undefined> {
    this.#running.get(kind)?.cancel();
    const source = new vscode.CancellationTokenSource();
    this.#running.set(kind, source);
    const token = `tandem-vscode-${++tokens}`;
    const title = TITLES[kind];
    const listening = [
      this.#server.onPieces(token, (value) => hear(value, watcher)),
      ...(title ? [this.#server.onSteps(title, (step) => watcher.step?.(step))] : []),
      ...(stop ? [stop.onCancellationRequested(() => source.cancel())] : []),
    ];
    if (stop?.isCancellationRequested) {
      source.cancel();
    }
    try {
      const given = { ...asked, token, apply: false };
      return await this.#server.execute<Answer>(`tandem.${kind}`, [given], source.token);
    } catch (error) {
      if (source.token.isCancellationRequested || (error as { code?: number }).code === CANCELLED) {
        return undefined;
      }
      throw error;
    } finally {
      vscode.Disposable.from(...listening).dispose();
      if (this.#running.get(kind) === source) {
        this.#running.delete(kind);
      }
      source.dispose();
    }
  }

  /** End all answers under way. */
  stop(): void {
    for (const source of this.#running.values()) {
      source.cancel();
    }
  }

  /**
   * What a command is about: what is selected, or where the cursor stands. A question without a
   * selection is about the whole file.
   */
  placeOf(kind: Kind, editor: vscode.TextEditor | undefined): Asked {
    if (editor === undefined) {
      return {};
    }
    const { start, end, isEmpty } = editor.selection;
    const uri = this.#server.uriOf(editor.document);
    if (kind === "ask" && isEmpty) {
      return { uri };
    }
    return {
      uri,
      range: {
        start: { line: start.line, character: start.character },
        end: { line: end.line, character: end.character },
      },
    };
  }
}

function hear(value: unknown, watcher: Watcher): void {
  const { text, diff } = (value ?? {}) as { text?: unknown; diff?: unknown };
  if (typeof text === "string") {
    watcher.text?.(text);
  }
  if (typeof diff === "string" && diff !== "") {
    watcher.diff?.(diff);
  }
}
