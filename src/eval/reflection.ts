/**
 * Counts the words by which a model shows that it looks back at what it thought: the sign by which DeepSeek-R1's authors
 * follow the emergence of reflection over training. A count of words is not a measure of thinking: a policy may say
 * "wait" and not wait. It is a curve to look at beside the solve rate, never a reward.
 */

/** English words and phrases, matched whole and in any case; a phrase counts once, not its words as well. */
const ENGLISH = [
  "let me (?:double[- ])?check",
  "let me verify",
  "let me re-?(?:consider|think|calculate|evaluate|examine)",
  "let me try again",
  "double[- ]check",
  "hold on",
  "on second thought",
  "hmm+",
  "wait",
  "mistake",
  "however",
  "retry",
  "error",
  "verify",
  "wrong",
  "evaluate",
  "check",
  "recheck",
  "alternatively",
  "reconsider",
  "rethink",
  "re-?evaluate",
  "re-?examine",
];

/** Chinese ones, matched anywhere: the script has no spaces between words. */
const CHINESE = ["等等", "等一下", "错误", "不对", "检查", "验证", "重新", "再试", "再想想", "让我想想", "不过"];

const REFLECTION = new RegExp(`\\b(?:${ENGLISH.join("|")})\\b|${CHINESE.join("|")}`, "giu");

/**
 * How often each reflective word or phrase occurs in the text, by what was found in lower case; what does not occur is
 * absent.
 */
export function reflectionWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(REFLECTION)) {
    const name = word.toLowerCase();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
