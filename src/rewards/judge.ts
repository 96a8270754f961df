/**
 * Asks a reward, and turns everything that is not a judgement into an abstention: an exception, a score that is not a
 * finite number, too few results. A broken reward must not end a run of hours. The metrics of `rewards/NAME` then show
 * that it scored nothing, and each rollout has the reason.
 */

import { shorten } from "../errors.ts";
import type { AnyReward, RewardInput, RewardResult } from "./reward.ts";

/** Longer reasons are cut: they are written once for every completion. */
const MAX_REASON_LENGTH = 300;

/** One result for each input, in order. It never rejects because of the reward. */
export async function judgeAll(reward: AnyReward, inputs: readonly RewardInput[]): Promise<RewardResult[]> {
  if ("judge" in reward) {
    return inputs.map((input) => {
      try {
        return checkedResult(reward.judge(input));
      } catch (error) {
        return abstention(`threw: ${errorText(error)}`);
      }
    });
  }
  try {
    const results = await reward.judgeBatch(inputs);
    return inputs.map((_, i) => checkedResult(results[i]));
  } catch (error) {
    const result = abstention(`threw: ${errorText(error)}`);
    return inputs.map(() => result);
  }
}

/**
 * What a judge returned, as a result. A number, a boolean (1 or 0) and null count as a score without a reason; what is none
 * of these, and a score that is not finite, is an abstention that says what came.
 */
export function checkedResult(returned: unknown): RewardResult {
  if (typeof returned === "object" && returned !== null && "score" in returned) {
    const { score, reason, ...why } = returned as Record<"score" | "reason", unknown> & Partial<RewardResult>;
    const text = typeof reason === "string" ? reason : "";
    if (score === null) {
      return {
        ...abstention(text === "" ? "abstained" : text),
        ...(why.isLost === true && { isLost: true }),
        ...(why.isForOthers === true && { isForOthers: true }),
        ...(why.isAbandoned === true && { isAbandoned: true }),
      };
    }
    if (typeof score === "number" && Number.isFinite(score)) return { score, reason: shorten(text, MAX_REASON_LENGTH) };
    return abstention(`returned a score of ${shown(score)}, which is not a finite number`);
  }
  if (returned === null) return abstention("abstained");
  if (typeof returned === "boolean") return { score: Number(returned), reason: "" };
  if (typeof returned === "number" && Number.isFinite(returned)) return { score: returned, reason: "" };
  return abstention(`returned ${shown(returned)}, which is not a score`);
}

/** A result without a score. */
export function abstention(reason: string): RewardResult {
  return { score: null, reason: shorten(reason, MAX_REASON_LENGTH) };
}

/** The message of whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : shown(error);
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, MAX_REASON_LENGTH));
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object without a score";
  return String(value);
}
