/**
 * The form that R1-Zero asks of a completion, `<think>…</think>\n<answer>…</answer>`, read exactly as the seeds' regular
 * expressions read it but by a scanner that looks at each character a constant number of times.
 *
 * The seeds put `<think>` before every completion because their prompts end with it. Here the prompt's text decides: if
 * it ends with `<think>` (white space after it aside) the tag is put back, else the completion has to bring its own.
 */

const THINK_OPEN = "<think>";
const THINK_CLOSE = "</think>";
const ANSWER_OPEN = "<answer>";
const ANSWER_CLOSE = "</answer>";

/** True where a prompt leaves the model inside its thinking: the last thing it says is `<think>`. */
export function endsInsideThink(prompt: string): boolean {
  return prompt.trimEnd().endsWith(THINK_OPEN);
}

/** The completion with the `<think>` that its prompt ends with, and the white space between them, put back before it. */
export function withPromptedThink(prompt: string, completion: string): string {
  return endsInsideThink(prompt) ? prompt.slice(prompt.lastIndexOf(THINK_OPEN)) + completion : completion;
}

/**
 * Why a completion does not have the form, or undefined where it does: the seeds'
 * `^<think>([^<]*(?:<(?!/?think>)[^<]*)*)<\/think>\n<answer>([\s\S]*?)<\/answer>$`. As in Python, `$` also stands before
 * one line feed at the very end. The answer's content is free: it may hold further tags.
 */
export function formFault(prompt: string, completion: string): string | undefined {
  const hasPromptedThink = endsInsideThink(prompt);
  if (!hasPromptedThink && !completion.startsWith(THINK_OPEN)) return "does not start with <think>";
  const thinking = hasPromptedThink ? 0 : THINK_OPEN.length;
  const close = completion.indexOf(THINK_CLOSE, thinking);
  if (close < 0) return "has no </think>";
  const reopened = completion.slice(thinking, close).includes(THINK_OPEN);
  if (reopened) return "opens <think> again inside the thinking";
  const answer = close + THINK_CLOSE.length;
  if (!completion.startsWith(`\n${ANSWER_OPEN}`, answer)) return "has no line feed and <answer> right after </think>";
  const content = answer + 1 + ANSWER_OPEN.length;
  const end = completion.endsWith("\n") ? completion.length - 1 : completion.length;
  const closesLast = completion.startsWith(ANSWER_CLOSE, end - ANSWER_CLOSE.length);
  if (!closesLast || end - ANSWER_CLOSE.length < content) return "does not end with </answer>";
  return undefined;
}

/** The first answer of a completion. */
export interface FoundAnswer {
  /** Between the tags, white space around it removed. */
  readonly text: string;
  /** How many single-line answers there are; the first one counts. */
  readonly count: number;
}

/**
 * The first `<answer>…</answer>` that lies on one line, wherever it is, inside the thinking too: the seeds'
 * `re.search(r"<answer>(.*?)<\/answer>")`. Where there is none, the reason.
 */
export function findAnswer(completion: string): FoundAnswer | { readonly fault: string } {
  let first: string | undefined;
  let count = 0;
  let open = completion.indexOf(ANSWER_OPEN);
  // The next closing tag and the next line feed are kept between rounds: each character is searched once.
  let close = -1;
  let lineEnd = -1;
  let sawClosed = false;
  while (open >= 0) {
    const content = open + ANSWER_OPEN.length;
    if (close < content) close = completion.indexOf(ANSWER_CLOSE, content);
    if (close < 0) break;
    sawClosed = true;
    if (lineEnd < content) lineEnd = indexOrEnd(completion, "\n", content);
    if (close < lineEnd) {
      first ??= completion.slice(content, close).trim();
      count++;
      open = completion.indexOf(ANSWER_OPEN, close);
    } else {
      open = completion.indexOf(ANSWER_OPEN, content);
    }
  }
  if (first !== undefined) return { text: first, count };
  if (sawClosed) return { fault: "the answer does not lie on one line" };
  return { fault: completion.includes(ANSWER_OPEN) ? "the answer is not closed" : "there is no <answer>" };
}

function indexOrEnd(text: string, pattern: string, from: number): number {
  const index = text.indexOf(pattern, from);
  return index < 0 ? text.length : index;
}

/** The text before the first `</think>`, or before the first `<answer>` where the thinking is not closed, else all. */
export function thinkingOf(completion: string): string {
  const close = completion.indexOf(THINK_CLOSE);
  if (close >= 0) return completion.slice(0, close);
  return completion.slice(0, indexOrEnd(completion, ANSWER_OPEN, 0));
}

/** Whether a completion has ended its thinking. */
export function closesThinking(completion: string): boolean {
  return completion.includes(THINK_CLOSE);
}

/** What a completion says when it has thought: the text after its last `</think>`; all of it where there is none. */
export function summaryOf(completion: string): string {
  const close = completion.lastIndexOf(THINK_CLOSE);
  return close < 0 ? completion : completion.slice(close + THINK_CLOSE.length);
}

/**
 * The final answer: the content of the last closed `<answer>` after the thinking, which may have several lines; where there
 * is none, all that follows the thinking. Unlike `findAnswer`, which reads as the seeds' expressions for Countdown do.
 */
export function finalAnswerOf(completion: string): string {
  const summary = summaryOf(completion);
  const close = summary.lastIndexOf(ANSWER_CLOSE);
  const open = close < 0 ? -1 : summary.lastIndexOf(ANSWER_OPEN, close);
  return open < 0 ? summary : summary.slice(open + ANSWER_OPEN.length, close);
}
