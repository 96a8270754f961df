/**
 * Counts the words by which a model shows that it looks back at what it thought: the sign by which DeepSeek-R1's authors
 * follow the emergence of reflection over training. A count of words is not a measure of thinking: a policy may say
 * "wait" and not wait. It is a curve to look at beside the solve rate, never a reward.
 */

/** English words, matched whole and in any case. */
const ENGLISH = [
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
];

/** Chinese ones, matched anywhere: the script has no spaces between words. */
const CHINESE = ["等等", "等一下", "错误", "不对", "检查", "验证", "重新", "再试"];

const REFLECTION = new RegExp(`\\b(?:${ENGLISH.join("|")})\\b|${CHINESE.join("|")}`, "giu");

/** How often each reflective word occurs in the text, by word in lower case; words that do not occur are absent. */
export function reflectionWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(REFLECTION)) {
    const name = word.toLowerCase();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
