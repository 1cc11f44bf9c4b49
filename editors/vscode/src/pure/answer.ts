/** The server's answer to a chat command, and what there is to say of it beside its text. Pure. */

import type { WorkspaceEditJson } from "./edits";

export type Kind = "explain" | "edit" | "document" | "tests" | "fix" | "ask";

/** See lsp/chat/commands.py; `run` and what follows it are of `tandem.fix` alone. */
export interface Answer {
  text: string;
  leftOut?: string[];
  warnings?: string[];
  notes?: string[];
  diff?: string;
  edit?: WorkspaceEditJson | null;
  why?: string;
  tests?: { path: string; passed: string[]; failed: string[]; output: string };
  run?: string;
  ended?: string;
  failing?: string[];
}

/** Commands whose answer is a change, and those whose change was tried on the files on disk. */
export const CHANGES: ReadonlySet<Kind> = new Set<Kind>(["edit", "document", "tests", "fix"]);
export const SAVED: ReadonlySet<Kind> = new Set<Kind>(["tests", "fix"]);

/** One remark a line, as Markdown. */
export function remarks(answer: Answer): string[] {
  const lines = [
    ...(answer.leftOut ?? []).map((one) => `- Left out: ${one}`),
    ...(answer.warnings ?? []).map((one) => `- Warning: ${one}`),
    ...(answer.notes ?? []).map((one) => `- ${one}`),
  ];
  if (answer.tests !== undefined) {
    const { passed, failed } = answer.tests;
    lines.push(`- In the sandbox: ${passed.length} passed, ${failed.length} failed`);
    lines.push(...failed.map((one) => `- Failed: \`${one}\``));
  }
  return lines;
}

/** What a fix run found and how it was proved, as Markdown. */
export function evidence(answer: Answer): string {
  const failing = answer.failing ?? [];
  return [
    `**${answer.text}**`,
    ...(failing.length > 0 ? ["Tests that failed before:"] : []),
    failing.map((one) => `- \`${one}\``).join("\n"),
    answer.diff ? fenced(answer.diff, "diff") : "",
    remarks(answer).join("\n"),
    answer.run ? `All of the run: \`tandem audit show ${answer.run}\`` : "",
  ]
    .filter((one) => one !== "")
    .join("\n\n");
}

/** A text in a fence that it cannot close. */
export function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((found) => found[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n$/, "")}\n${fence}`;
}
