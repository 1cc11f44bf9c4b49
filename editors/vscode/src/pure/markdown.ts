/**
 * Markdown as models write it, cut into blocks for the panel: fences, headings, lists, paragraphs.
 * Pure, and text only: who draws the blocks sets them as text, so that no answer becomes markup.
 */

export interface Span {
  kind: "text" | "code" | "strong" | "emphasis";
  text: string;
}

export type Block =
  | { kind: "code"; language: string; text: string; open: boolean }
  | { kind: "heading"; level: number; spans: Span[] }
  | { kind: "item"; ordered: boolean; depth: number; spans: Span[] }
  | { kind: "paragraph"; spans: Span[] };

const FENCE = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;

/** A fence that the text ends within is a block that is still `open`. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let paragraph: string[] = [];
  const close = (): void => {
    if (paragraph.length > 0) {
      blocks.push({ kind: "paragraph", spans: spansOf(paragraph.join("\n")) });
      paragraph = [];
    }
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const fence = FENCE.exec(line);
    if (fence !== null) {
      close();
      const code: string[] = [];
      let isOpen = true;
      while (++at < lines.length) {
        if (endsFence(lines[at]!, fence[1]!)) {
          isOpen = false;
          break;
        }
        code.push(lines[at]!);
      }
      blocks.push({ kind: "code", language: fence[2]!, text: code.join("\n"), open: isOpen });
      continue;
    }
    const heading = HEADING.exec(line);
    const item = ITEM.exec(line);
    if (heading !== null) {
      close();
      blocks.push({ kind: "heading", level: heading[1]!.length, spans: spansOf(heading[2]!) });
    } else if (item !== null) {
      close();
      const depth = Math.floor(item[1]!.replace(/\t/g, "  ").length / 2);
      blocks.push({
        kind: "item",
        ordered: item[3] !== undefined,
        depth,
        spans: spansOf(item[4]!),
      });
    } else if (line.trim() === "") {
      close();
    } else {
      paragraph.push(line);
    }
  }
  close();
  return blocks;
}

function endsFence(line: string, fence: string): boolean {
  const found = line.trim();
  return found.length >= fence.length && found === fence[0]!.repeat(found.length);
}

const MARKED = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*(\S|\S[\s\S]*?\S)\*\*|\*(\S|\S[^*]*?\S)\*/g;

/** Code, strong and emphasised text in a line; all other signs stay as they are. */
export function spansOf(text: string): Span[] {
  const spans: Span[] = [];
  let last = 0;
  const plain = (to: number): void => {
    if (to > last) {
      spans.push({ kind: "text", text: text.slice(last, to) });
    }
  };
  for (const found of text.matchAll(MARKED)) {
    plain(found.index);
    if (found[2] !== undefined) {
      spans.push({ kind: "code", text: found[2] });
    } else if (found[3] !== undefined) {
      spans.push({ kind: "strong", text: found[3] });
    } else {
      spans.push({ kind: "emphasis", text: found[4]! });
    }
    last = found.index + found[0].length;
  }
  plain(text.length);
  return spans;
}
