/**
 * A completion for reading: its tries one under the other, and the final answer apart, so that it is seen however long the
 * thinking is. It knows no task: a try is a line with an equation, a verdict what follows the last number.
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

/** Lines of a completion with the tags of thinking taken out, blank lines dropped; an answer may have several. */
export function completionLines(completion: string): CompletionLine[] {
  let inAnswer = false;
  return completion
    .split("\n")
    .map((line): CompletionLine => {
      const text = line.replace(TAG, "").trim();
      const opens = line.includes("<answer>");
      const isAnswer = opens || inAnswer;
      if (opens) inAnswer = true;
      if (line.includes("</answer>")) inAnswer = false;
      if (isAnswer) return { text, kind: "answer" };
      if (!EQUATION.test(text)) return { text, kind: "text" };
      return { text, kind: HIT.test(text) ? "hit" : "try" };
    })
    .filter(({ text }) => text !== "");
}

/** A completion in two parts. */
export interface CompletionParts {
  readonly thinking: readonly CompletionLine[];
  /** The last answer; of a completion without one, how it ends. Empty where it says nothing. */
  readonly ending: readonly string[];
  /** Whether `ending` is an answer. */
  readonly isAnswer: boolean;
}

/** Splits it. */
export function completionParts(completion: string): CompletionParts {
  const lines = completionLines(completion);
  const end = lines.findLastIndex(({ kind }) => kind === "answer");
  if (end < 0) {
    // Solutions of mathematics say what they found in their last line.
    return { thinking: lines.slice(0, -1), ending: lines.slice(-1).map(({ text }) => text), isAnswer: false };
  }
  let begin = end;
  while (begin > 0 && lines[begin - 1]!.kind === "answer") begin--;
  const thinking = [...lines.slice(0, begin), ...lines.slice(end + 1)];
  return { thinking, ending: lines.slice(begin, end + 1).map(({ text }) => text), isAnswer: true };
}
