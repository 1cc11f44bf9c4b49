/** The output channel "Tandem": what the extension and its server say for whoever looks. */

import * as vscode from "vscode";

let channel: vscode.LogOutputChannel | undefined;

export function log(): vscode.LogOutputChannel {
  channel ??= vscode.window.createOutputChannel("Tandem", { log: true });
  return channel;
}

/** The first line of an error, for a person. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0]!;
}

/** Say that something failed, with the log a click away. */
export function complain(text: string): void {
  log().error(text);
  void vscode.window.showErrorMessage(`Tandem: ${text}`, "Show Log").then((choice) => {
    if (choice === "Show Log") {
      log().show();
    }
  });
}
