/** `@tandem` in the chat view, where the host has one: the same commands, the same server. */

import * as vscode from "vscode";

import type { Asked, Chat } from "./chat";
import type { Commands } from "./commands";
import { lineOf } from "./log";
import { CHANGES, evidence, fenced, type Answer, type Kind, remarks, SAVED } from "./pure/answer";
import { asked as askedFor } from "./pure/pytest";
import type { Review } from "./review";

const KINDS: Record<string, Kind> = {
  explain: "explain",
  edit: "edit",
  doc: "document",
  tests: "tests",
  fix: "fix",
};

/** The participant, or undefined where this host has no chat. */
export function registerParticipant(
  extension: vscode.Uri,
  chat: Chat,
  commands: Commands,
  review: Review,
): vscode.Disposable | undefined {
  // Editors built from VS Code's sources may lack it, whatever the types say.
  const host = (vscode as Partial<typeof vscode>).chat;
  if (typeof host?.createChatParticipant !== "function") {
    return undefined;
  }
  const participant = host.createChatParticipant(
    "tandem.pair",
    async (request, _context, stream, token) => {
      const kind = KINDS[request.command ?? ""] ?? "ask";
      const asked = await wordsOf(kind, request.prompt, commands);
      if (asked === undefined) {
        stream.markdown("Say what to do, with a file open.");
        return {};
      }
      try {
        const answer = await chat.ask(kind, asked, watching(kind, stream), token);
        if (answer !== undefined) {
          tell(kind, answer, stream, review);
        }
        return {};
      } catch (error) {
        return { errorDetails: { message: lineOf(error) } };
      }
    },
  );
  participant.iconPath = vscode.Uri.joinPath(extension, "media", "icon.png");
  return participant;
}

async function wordsOf(kind: Kind, prompt: string, commands: Commands): Promise<Asked | undefined> {
  if (kind === "fix") {
    if (!vscode.workspace.isTrusted) {
      return undefined;
    }
    await vscode.workspace.saveAll(false);
    return askedFor(prompt);
  }
  if ((kind === "ask" || kind === "edit") && prompt.trim() === "") {
    return undefined;
  }
  return commands.arguments(kind, { instruction: prompt }, vscode.window.activeTextEditor);
}

function watching(kind: Kind, stream: vscode.ChatResponseStream): Parameters<Chat["ask"]>[2] {
  return {
    step: (message) => stream.progress(message),
    ...(!CHANGES.has(kind) && { text: (piece: string) => stream.markdown(piece) }),
  };
}

function tell(kind: Kind, answer: Answer, stream: vscode.ChatResponseStream, review: Review): void {
  if (!CHANGES.has(kind)) {
    stream.markdown(`\n\n${remarks(answer).join("\n")}`);
    return;
  }
  if (answer.run !== undefined) {
    stream.markdown(evidence(answer));
  } else {
    const shown = answer.diff ? fenced(answer.diff, "diff") : answer.text;
    stream.markdown([shown, remarks(answer).join("\n")].join("\n\n"));
  }
  if (!answer.edit) {
    stream.markdown(`\n\nNo change: ${answer.why ?? "none"}.`);
    return;
  }
  // It waits in its diff for as long as it takes; the chat's answer ends here.
  void review.open(answer.edit, SAVED.has(kind));
  stream.button({ command: "tandem.acceptReview", title: "Accept" });
  stream.button({ command: "tandem.rejectReview", title: "Reject" });
}
