/** What the status bar says: its text, the lines of its tooltip, what a screen reader says. Pure. */

/** The answer to `tandem/status`; see lsp/status.py. */
export interface ServerStatus {
  version: string;
  enabled: boolean;
  snoozedSeconds: number;
  model: string;
  failure: string;
  last: {
    file: string;
    line: number;
    shown: boolean;
    reason: string;
    ms: number | null;
  } | null;
}

export type Phase = "missing" | "starting" | "running" | "restarting" | "failed" | "stopped";

export interface Seen {
  phase: Phase;
  /** Why no server runs, in one line; "" if nothing is in the way. */
  trouble: string;
  /** Whether `tandem.completion.enabled` is on, and whether the file's language is not switched off. */
  enabled: boolean;
  language: { name: string; suggests: boolean } | undefined;
  /** What the server is at, in one line. */
  work: string;
  status: ServerStatus | undefined;
  /** How long the last answer took, seen from here. */
  ms: number | undefined;
}

export interface Shown {
  text: string;
  lines: string[];
  isProblem: boolean;
}

export function shown(seen: Seen): Shown {
  const lines: string[] = [];
  if (seen.phase !== "running") {
    const isProblem = seen.phase === "missing" || seen.phase === "failed";
    const icon = isProblem ? "error" : seen.phase === "stopped" ? "circle-slash" : "loading~spin";
    lines.push(seen.trouble || PHASES[seen.phase]);
    return { text: `$(${icon}) Tandem`, lines, isProblem };
  }
  const status = seen.status;
  const isOff = !seen.enabled || status?.enabled === false;
  const snoozed = status?.snoozedSeconds ?? 0;
  if (isOff) {
    lines.push("Suggestions are off: tandem.completion.enabled");
  } else if (snoozed > 0) {
    lines.push(`Snoozed for ${minutes(snoozed)} more`);
  } else if (seen.language !== undefined && !seen.language.suggests) {
    lines.push(`Suggestions are off for ${seen.language.name}`);
  } else {
    lines.push("Suggestions are on");
  }
  if (seen.work) {
    lines.push(`At work: ${seen.work}`);
  }
  lines.push(...told(status, seen.ms));
  const quiet = snoozed > 0 || seen.language?.suggests === false;
  const icon = isOff
    ? "circle-slash"
    : seen.work
      ? "loading~spin"
      : quiet
        ? "bell-slash"
        : "sparkle";
  return { text: isOff ? `$(${icon}) Tandem off` : `$(${icon}) Tandem`, lines, isProblem: false };
}

const PHASES: Record<Phase, string> = {
  missing: "Tandem's server is not installed",
  starting: "The server is starting",
  running: "",
  restarting: "The server ended and is started again",
  failed: "The server does not run",
  stopped: "The server is stopped",
};

function told(status: ServerStatus | undefined, seenMs: number | undefined): string[] {
  if (status === undefined) {
    return [];
  }
  const lines = [`Model: ${status.model || status.failure || "not ready"}`];
  const last = status.last;
  if (last === null) {
    lines.push("Last answer: none yet");
  } else {
    const what = last.shown ? "a suggestion" : `nothing: ${last.reason}`;
    const name = last.file.split(/[\\/]/).pop() ?? "";
    const took = last.ms === null ? "" : `, ${last.ms.toFixed(0)} ms in the server`;
    const here = seenMs === undefined ? "" : `, ${seenMs.toFixed(0)} ms as seen here`;
    lines.push(`Last answer: ${what}, at ${name}:${last.line}${took}${here}`);
  }
  lines.push(`Version ${status.version}`);
  return lines;
}

export function minutes(seconds: number): string {
  const count = Math.max(1, Math.ceil(seconds / 60));
  return count === 1 ? "1 minute" : `${count} minutes`;
}

/** The text for a screen reader: no icons. */
export function spoken(shown: Shown): string {
  return [shown.text.replace(/\$\([^)]*\)\s*/g, ""), ...shown.lines].join(". ");
}
