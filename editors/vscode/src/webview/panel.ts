/** Runs in the panel: draws what the extension sends. Text is set as text, never as markup. */

import type { Shown } from "../panel";
import { blocksOf, type Span } from "../pure/markdown";

declare function acquireVsCodeApi(): { postMessage(message: unknown): void };

const host = acquireVsCodeApi();
const TOLD: Record<Shown["state"], string> = {
  streaming: "Answering…",
  done: "The answer is complete.",
  error: "",
};
let shown: Shown | undefined;

function element(id: string): HTMLElement {
  return document.getElementById(id)!;
}

function made(tag: string, text = "", name = ""): HTMLElement {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = name;
  return node;
}

function inline(into: HTMLElement, spans: readonly Span[]): HTMLElement {
  const tags = { code: "code", strong: "strong", emphasis: "em" };
  for (const span of spans) {
    into.append(span.kind === "text" ? span.text : made(tags[span.kind], span.text));
  }
  return into;
}

function code(text: string, language: string): HTMLElement {
  const block = document.createElement("pre");
  const inner = block.appendChild(document.createElement("code"));
  block.tabIndex = 0; // long lines are scrolled with the keyboard
  if (language !== "diff") {
    inner.textContent = text;
    return block;
  }
  for (const line of text.split("\n")) {
    const kind = { "+": "added", "-": "removed", "@": "place" }[line[0] ?? ""] ?? "";
    inner.append(made("span", `${line}\n`, kind));
  }
  return block;
}

function markdown(text: string): Node[] {
  const nodes: Node[] = [];
  let list: HTMLElement | undefined;
  for (const block of blocksOf(text)) {
    if (block.kind === "item") {
      const tag = block.ordered ? "OL" : "UL";
      if (list?.tagName !== tag) {
        list = document.createElement(tag.toLowerCase());
        nodes.push(list);
      }
      const item = inline(document.createElement("li"), block.spans);
      item.className = `depth-${Math.min(block.depth, 3)}`;
      list.append(item);
      continue;
    }
    list = undefined;
    if (block.kind === "code") {
      nodes.push(code(block.text, block.language));
    } else if (block.kind === "heading") {
      nodes.push(inline(document.createElement(`h${Math.min(block.level + 1, 6)}`), block.spans));
    } else {
      nodes.push(inline(document.createElement("p"), block.spans));
    }
  }
  return nodes;
}

function draw(now: Shown): void {
  const isNew = now.title !== shown?.title || !now.text.startsWith(shown.text);
  const isAtEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
  shown = now;
  element("title").textContent = now.title;
  element("question").textContent = now.question;
  element("steps").replaceChildren(...now.steps.map((step) => made("li", step)));
  const answer = element("answer");
  answer.dataset["state"] = now.state;
  answer.setAttribute("aria-busy", String(now.state === "streaming"));
  element("text").replaceChildren(...(now.format === "diff" ? diff(now.text) : markdown(now.text)));
  element("remarks").replaceChildren(...markdown(now.remarks));
  const told = element("told");
  told.className = now.state;
  told.textContent = now.error || TOLD[now.state];
  element("stop").hidden = now.state !== "streaming";
  element("copy").hidden = now.text === "";
  element("accept").hidden = element("reject").hidden = !now.reviewing;
  if (isAtEnd && !isNew && now.state === "streaming") {
    window.scrollTo(0, document.body.scrollHeight);
  }
}

function diff(text: string): Node[] {
  return text === "" ? [] : [code(text, "diff")];
}

function say(kind: string): () => void {
  return () => host.postMessage({ kind });
}

for (const id of ["stop", "accept", "reject"]) {
  element(id).addEventListener("click", say(id));
}
element("copy").addEventListener("click", () => {
  void navigator.clipboard.writeText(shown?.text ?? "");
});
const words = element("words") as HTMLTextAreaElement;
element("more").addEventListener("submit", (event) => {
  event.preventDefault();
  if (words.value.trim() !== "") {
    host.postMessage({ kind: "ask", text: words.value });
    words.value = "";
  }
});
words.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    (element("more") as HTMLFormElement).requestSubmit();
  }
});
window.addEventListener("message", (event: MessageEvent<Shown | undefined>) => {
  if (event.data !== undefined) {
    draw(event.data);
  }
});
host.postMessage({ kind: "ready" });
