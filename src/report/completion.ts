/** A completion as a list: the verdict that the model gave each of its tries in colour, the final answer set off. */

import { completionLines } from "../inspect/completion-lines.ts";
import { type Html, html } from "./html.ts";

/** The completion as a list; where it is not `solved`, a try that it calls right was called so by mistake. */
export function completionHtml(completion: string, solved: boolean): Html {
  const lines = completionLines(completion);
  if (lines.length === 0) return html`<p class="nothing">(nothing)</p>`;
  return html`<ol class="lines">${lines.map(({ text, kind }) => html`<li class="${kind === "hit" && !solved ? "hit mistaken" : kind}">${text}</li>`)}</ol>`;
}
