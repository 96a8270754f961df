/**
 * What a reward is: a judgement of one completion, with a score and the reason for it. Where it cannot judge it abstains
 * (`score: null`) and says why.
 *
 * Two kinds. `Reward` is a pure function of one completion that never throws and never hangs: most of the registry.
 * `BatchReward` is asked about many completions at once: because it compares those of one prompt, because it asks
 * another reward first, or because it judges in another thread (`user/thread.ts`) or on another machine. Callers use
 * `judge.ts`, which accepts both kinds and checks the results of both.
 */

export interface RewardInput {
  /** The text before the completion, as the model saw it. */
  readonly prompt: string;
  /** The sampled text, special end tokens removed. */
  readonly completion: string;
  /** The task's columns for this problem, e.g. `{ nums: [6, 3, 3], target: 54 }`. */
  readonly columns: Readonly<Record<string, unknown>>;
  /**
   * Completions of one prompt, which are compared with each other, share it. The caller of a `BatchReward` gives it all
   * completions of a group in one call (`groupsOf` sorts them). Absent: completions with the same prompt text are a
   * group.
   */
  readonly group?: string | number;
  /** Length of the completion, its end token included; absent where only the text is known. */
  readonly completionTokens?: number;
  /** `length`: cut at `maxCompletionTokens`. */
  readonly finishReason?: "stop" | "length";
  /** What the sampler allowed. */
  readonly maxCompletionTokens?: number;
}

export interface RewardResult {
  /** null: abstained, the reward counts neither for nor against. */
  readonly score: number | null;
  /** A short phrase for people and logs, e.g. `the answer is 53, not 54`. */
  readonly reason: string;
  /** Of an abstention: the judge could not be asked (down, too slow, over its limit); a later request may succeed. */
  readonly isLost?: boolean;
  /** Of an abstention: the reward was not asked, for it is for other tasks of a mixture. */
  readonly isForOthers?: boolean;
  /** Of an abstention: the reward was abandoned for this session, because it hung or crashed repeatedly. */
  readonly isAbandoned?: boolean;
}

export interface Reward {
  readonly name: string;
  readonly judge: (input: RewardInput) => RewardResult;
}

export interface BatchReward {
  readonly name: string;
  /** One result for each input, in order. */
  readonly judgeBatch: (inputs: readonly RewardInput[]) => Promise<readonly RewardResult[]>;
  /** Makes it ready, with what `state` gave in an earlier session; a reward that cannot be used throws ConfigError here. */
  readonly open?: (state?: string) => Promise<void>;
  /** What a checkpoint keeps of it, as JSON text: the state after the last batch; undefined where there is none. */
  readonly state?: () => string | undefined;
  /** Stops immediately: the judgements that are in progress are lost. */
  readonly stop?: () => void;
  /** Releases its resources. It may be asked again later, and then starts again. */
  readonly close?: () => Promise<void>;
}

/** Either kind. */
export type AnyReward = Reward | BatchReward;

/** A reward and how much it counts in the sum. */
export interface WeightedReward {
  readonly reward: AnyReward;
  readonly weight: number;
}

/** The same reward by another name. */
export function renamed(reward: AnyReward, name: string): AnyReward {
  return "judge" in reward ? { ...reward, name } : decorated(reward, { name });
}

/** A reward with another name or another judgement, and with the life of `reward`: it is opened, saved, stopped and closed
 * as that one is. */
export function decorated(
  reward: BatchReward,
  changes: Partial<Pick<BatchReward, "name" | "judgeBatch">>,
): BatchReward {
  return {
    name: reward.name,
    judgeBatch: async (inputs) => reward.judgeBatch(inputs),
    open: async (state) => reward.open?.(state),
    state: () => reward.state?.(),
    stop: () => reward.stop?.(),
    close: async () => reward.close?.(),
    ...changes,
  };
}

/** The indices of each group's completions, groups and completions in the order in which they first came. */
export function groupsOf(inputs: readonly RewardInput[]): number[][] {
  const groups = new Map<string | number, number[]>();
  for (const [index, { group, prompt }] of inputs.entries()) {
    const key = group ?? `prompt:${prompt}`;
    const members = groups.get(key);
    if (members) members.push(index);
    else groups.set(key, [index]);
  }
  return [...groups.values()];
}
