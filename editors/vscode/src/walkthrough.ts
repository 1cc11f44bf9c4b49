/** The first start: the walkthrough opens once, unless someone has set the server up already. */

import * as vscode from "vscode";

import type { Settings } from "./settings";
import { offerInstall } from "./tools";

const SEEN = "walkthroughSeen";

export async function welcome(context: vscode.ExtensionContext, settings: Settings): Promise<void> {
  const isMissing = settings.command() === undefined;
  const isFirst = !context.globalState.get<boolean>(SEEN, false);
  if (isFirst) {
    await context.globalState.update(SEEN, true);
    if (settings.named === "") {
      await vscode.commands.executeCommand(
        "workbench.action.openWalkthrough",
        `${context.extension.id}#start`,
        false,
      );
    }
  }
  if (isMissing && (!isFirst || settings.named !== "")) {
    offerInstall(
      settings.named
        ? `${settings.named}, which tandem.command names, is not there.`
        : "its server is not installed.",
    );
  }
}
