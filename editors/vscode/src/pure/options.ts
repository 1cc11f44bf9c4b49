/** The server's command and options, made of settings. Pure. */

export type Options = { [name: string]: unknown };

/** `[["completion.enabled", false]]` as `{completion: {enabled: false}}`. */
export function nested(values: Iterable<readonly [string, unknown]>): Options {
  const made: Options = {};
  for (const [name, value] of values) {
    const parts = name.split(".");
    const last = parts.pop()!;
    let section = made;
    for (const part of parts) {
      section = (section[part] ??= {}) as Options;
    }
    section[last] = value;
  }
  return made;
}

/** The program that a server's command runs: `[".../tandem", "lsp"]` gives `[".../tandem"]`. */
export function programOf(command: readonly string[]): string[] {
  const at = command.lastIndexOf("lsp");
  return at > 0 ? command.slice(0, at) : command.slice(0, 1);
}

/** A path with `~` for the home folder written out. */
export function expanded(path: string, home: string): string {
  return path === "~" || path.startsWith("~/") ? home + path.slice(1) : path;
}

/**
 * The list of languages without suggestions after one was switched; what it held of others stays.
 */
export function switched(
  languages: readonly string[],
  language: string,
  suggests: boolean,
): string[] {
  const others = languages.filter((one) => one !== language);
  return suggests ? others : [...others, language].sort();
}
