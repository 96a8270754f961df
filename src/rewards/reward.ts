/**
 * What a reward is: a pure judgement of one completion, with a score and the reason for it. A reward never throws and
 * never hangs; where it cannot judge it abstains (`score: null`) and says why.
 */

export interface RewardInput {
  /** The text before the completion, as the model saw it. */
  readonly prompt: string;
  /** The sampled text, special end tokens removed. */
  readonly completion: string;
  /** The task's columns for this problem, e.g. `{ nums: [6, 3, 3], target: 54 }`. */
  readonly columns: Readonly<Record<string, unknown>>;
}

export interface RewardResult {
  /** null: abstained, the reward counts neither for nor against. */
  readonly score: number | null;
  /** A short phrase for people and logs, e.g. `the answer is 53, not 54`. */
  readonly reason: string;
}

export interface Reward {
  readonly name: string;
  readonly judge: (input: RewardInput) => RewardResult;
}
