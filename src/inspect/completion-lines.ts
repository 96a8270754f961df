/**
 * A completion for reading: its tries one under the other, and the final answer set off. It knows no task: a try is a line
 * with an equation, a verdict what follows the last number.
 */

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
