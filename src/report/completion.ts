/** A completion as a list: the verdict that the model gave each of its tries in colour, the final answer below it. */

import { completionParts } from "../inspect/completion-lines.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { type Html, html } from "./html.ts";

/** The completion; where it is not `solved`, a try that it calls right was called so by mistake. */
export function completionHtml(completion: string, solved: boolean): Html {
  const { thinking, ending, isAnswer } = completionParts(completion);
  if (ending.length === 0) return html`<p class="soft">(nothing)</p>`;
  const kindOf = (kind: string) => (kind === "hit" && !solved ? "hit mistaken" : kind);
  return html`${
    thinking.length > 0
      ? html`<ol class="lines" tabindex="0" aria-label="The thinking">${thinking.map(({ text, kind }) => html`<li class="${kindOf(kind)}" dir="auto">${visibleText(text)}</li>`)}</ol>`
      : undefined
  }<p class="final-answer" dir="auto"><span class="soft">${isAnswer ? "answer" : "ends with"}</span> ${visibleText(ending.join("\n"))}</p>`;
}
