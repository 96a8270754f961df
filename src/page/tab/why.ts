/**
 * Why a token became more likely, or less: its probability before and after the step, and what in the step moved it. The
 * gradient of GRPO is advantage × ∇ log π of every token, summed over all answers of the step, through weights that all of
 * them share: a token moves with the advantage of its own answer, and with whatever the others did to the same weights.
 */

import { plain } from "../../number-text.ts";
import { mean } from "../../statistics.ts";
import type { GroupMessage, TabCompletion, TabToken } from "../../web/protocol.ts";
import { signed } from "../words.ts";

/** A change of a log-probability that is none worth a word, nats. */
const STILL = 0.002;
/** Changes at which a token takes the next shade, nats. */
const SHADES = [0.005, 0.02, 0.06, 0.2, 0.6];
/** Probabilities at which there is nothing left to win. */
const CERTAIN = Math.log(0.995);

/** What the panel says of a token. */
export interface TokenStory {
  readonly headline: string;
  readonly numbers: string;
  readonly reason: string;
}

/** A probability, in per cent that tell even the near certain apart. */
export function chance(logprob: number): string {
  const share = Math.exp(logprob) * 100;
  if (share >= 99.95) return "100 %";
  if (share >= 99) return `${share.toFixed(1)} %`;
  if (share >= 9.95) return `${share.toFixed(0)} %`;
  if (share >= 0.095) return `${share.toFixed(1)} %`;
  return share >= 0.001 ? `${share.toPrecision(1)} %` : "0 %";
}

/** A number with a minus sign that is one. */
function number(value: number): string {
  return plain(value).replace("-", "−");
}

/** A signed number; 0 where it is too small to have a sign. */
export function signedText(value: number): string {
  return Math.abs(value) < 5e-4 ? "0" : signed(value, false);
}

/** From −5 to 5: how much less or more likely. */
export function shadeOf({ before, after }: TabToken): number {
  if (after === null) return 0;
  const change = after - before;
  const size = SHADES.findLastIndex((least) => Math.abs(change) >= least) + 1;
  return Math.sign(change) * size || 0;
}

/** What happened to it, in a word or two. */
export function moveOf({
  before,
  after,
}: TabToken): "more likely" | "less likely" | "as likely as before" | "not scored" {
  if (after === null) return "not scored";
  if (Math.abs(after - before) < STILL) return "as likely as before";
  return after > before ? "more likely" : "less likely";
}

/** The story of a token of `completion`. `name` is the token as it is shown. */
export function storyOf(name: string, token: TabToken, completion: TabCompletion, group: GroupMessage): TokenStory {
  const { before, after } = token;
  const move = moveOf(token);
  if (after === null) {
    return {
      headline: `“${name}” was drawn with a probability of ${chance(before)}`,
      numbers: `log-probability ${number(before)}`,
      reason:
        group.tryOutStep === undefined
          ? "It was not scored again after the step, so there is no telling how far it moved."
          : "The cold start learns from demonstrations alone; this answer was only looked at.",
    };
  }
  const headline = move === "as likely as before" ? `“${name}” stayed as likely as it was` : `“${name}” became ${move}`;
  return {
    headline,
    numbers: `${chance(before)} → ${chance(after)} (log-probability ${number(before)} → ${number(after)}, ${signedText(after - before)})`,
    reason: reasonOf(token, completion, group),
  };
}

function reasonOf({ before, after }: TabToken, completion: TabCompletion, group: GroupMessage): string {
  const { advantage } = completion;
  const change = (after ?? before) - before;
  const all = group.groups * group.completions.length;
  if (advantage === 0) {
    const own = isEven(group)
      ? "All answers of this group got the same reward, so none was pushed."
      : "This answer got the mean reward of its group, so it was not pushed.";
    return `${own} What moved are weights that it shares with the other ${all - 1} answers of the step.`;
  }
  const baseline = meanReward(group);
  const push = advantage > 0 ? "up" : "down";
  const own = `Its answer got ${plain(completion.reward)}, its group ${plain(baseline)} on average. The advantage, ${signedText(advantage)}, pushed every token of the answer ${push}.`;
  if (before > CERTAIN && Math.abs(change) < SHADES[1]!) {
    return `${own} This token was nearly certain already, so there was little to move.`;
  }
  if (Math.abs(change) < STILL) return `${own} Here other answers of the step pushed the other way, about as much.`;
  if (change > 0 === advantage > 0) return own;
  return `${own} But all ${all} answers of the step move the same weights: at this place others, or the optimizer's momentum, were stronger.`;
}

/** Whether all judged rewards of a group are equal. */
export function isEven(group: GroupMessage): boolean {
  const rewards = judgedRewards(group);
  return rewards.every((reward) => reward === rewards[0]);
}

/** The baseline of the group: the mean of its judged rewards. */
export function meanReward(group: GroupMessage): number {
  return mean(judgedRewards(group));
}

/** The rewards of the answers that a rule has judged. */
export function judgedRewards({ completions }: GroupMessage): number[] {
  return completions.map(({ reward }) => reward).filter((reward) => reward !== null);
}
