/**
 * A completion for reading: its tries one under the other, the verdict that the model gave each of them in colour, the
 * final answer set off. It knows no task: a try is a line with an equation, a verdict what follows the last number.
 */

import { type Html, html } from "./html.ts";

/** A line as it is shown. */
export interface CompletionLine {
  readonly text: string;
  /** `try`: an equation that the text itself does not call right; `hit`: one that it does; `answer`: the final answer. */
  readonly kind: "try" | "hit" | "answer" | "text";
}

const EQUATION = /\d\s*=\s*\d/;
const HIT = /\b(yes|correct|works|found it)\b|✓/i;
const TAG = /<\/?(think|answer)>/g;

/** Lines of a completion with the tags of thinking taken out, blank lines dropped. */
export function completionLines(completion: string): CompletionLine[] {
  return completion
    .split("\n")
    .map((line): CompletionLine => {
      const text = line.replace(TAG, "").trim();
      if (line.includes("<answer>")) return { text, kind: "answer" };
      if (!EQUATION.test(text)) return { text, kind: "text" };
      return { text, kind: HIT.test(text) ? "hit" : "try" };
    })
    .filter(({ text }) => text !== "");
}

/** The completion as a list; where it is not `solved`, a try that it calls right was called so by mistake. */
export function completionHtml(completion: string, solved: boolean): Html {
  const lines = completionLines(completion);
  if (lines.length === 0) return html`<p class="nothing">(nothing)</p>`;
  return html`<ol class="lines">${lines.map(({ text, kind }) => html`<li class="${kind === "hit" && !solved ? "hit mistaken" : kind}">${text}</li>`)}</ol>`;
}
