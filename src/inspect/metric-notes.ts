/**
 * What every metric means, in one sentence, and what to watch for in another: for people who see the name for the first
 * time. Names are those of metrics.jsonl and timings.jsonl; `*` stands for any text, and is put in for `*` in the sentence.
 */

/** About one metric. */
export interface MetricNote {
  readonly meaning: string;
  readonly watch: string;
  /** A share between 0 and 1, shown in per cent. */
  readonly isShare?: boolean;
  readonly unit?: string;
}

const share = { isShare: true } as const;
const tokens = { unit: "tokens" } as const;
const seconds = { unit: "s" } as const;
const nats = { unit: "nats" } as const;

/** Name, meaning, what to watch for, kind; the first that fits counts. */
const NOTES: readonly (readonly [string, string, string, Pick<MetricNote, "isShare" | "unit">?])[] = [
  [
    "solve_rate",
    "Share of the sampled training answers that the task itself judges right, whatever the rewards say.",
    "It should rise; a reward that rises without it is being gamed.",
    share,
  ],
  [
    "format_rate",
    "Share of the answers that have the form which was asked for.",
    "It should come close to 100 % early, and stay there.",
    share,
  ],
  [
    "reward",
    "Mean over the completions of the weighted sum of all rewards: what the policy learns from.",
    "A steady rise is learning; a jump to the maximum may be a reward that is too easy to please.",
  ],
  [
    "reward_std",
    "Standard deviation of the reward over all completions of the iteration.",
    "Near zero there is nothing left to tell good from bad answers by.",
  ],
  [
    "rewards/*/mean",
    "Mean score of the reward “*” over the completions that it judged.",
    "Compare it with the solve rate: they should rise together.",
  ],
  [
    "rewards/*/std",
    "Standard deviation of the score of the reward “*”.",
    "At zero this reward adds nothing to the advantage.",
  ],
  [
    "rewards/*/frac_abstained",
    "Share of the completions on which the reward “*” gave no judgement.",
    "A high share means that it cannot read the answers, or was not reached.",
    share,
  ],
  [
    "rewards/*/abandoned",
    "1 in iterations in which the reward “*” was given up because it did not answer in time.",
    "Any 1 is worth a look at events.jsonl.",
  ],
  [
    "frac_reward_zero_std",
    "Share of the groups whose completions all got the same reward, so that they teach nothing.",
    "Near 100 % the problems are too hard or too easy for this policy.",
    share,
  ],
  ["frac_reward_abstained", "Share of the completions that no reward judged.", "It should be 0.", share],
  [
    "loss",
    "The loss that the optimizer minimises: cross-entropy in SFT, the policy objective in reinforcement learning.",
    "In SFT it should fall; in reinforcement learning it stays near zero and says little.",
  ],
  ["policy_loss", "The policy objective without the entropy bonus.", "It says little by itself; watch the reward."],
  [
    "eval_loss",
    "Cross-entropy of held-out demonstrations, in nats per token.",
    "When it rises while the training loss falls, the model learns the demonstrations by heart.",
    nats,
  ],
  [
    "eval_perplexity",
    "e to the power of the held-out loss: among how many equally likely tokens the model wavers.",
    "Lower is better; a rise is overfitting.",
  ],
  [
    "mean_token_accuracy",
    "Share of the demonstrations' tokens that the model would have chosen itself.",
    "It rises with learning and levels off below 100 %.",
    share,
  ],
  [
    "grad_norm",
    "Length of the gradient before it is clipped.",
    "Single spikes are clipped; a level that climbs announces divergence.",
  ],
  [
    "learning_rate",
    "Step size of the optimizer, as the schedule sets it.",
    "It should look like the schedule of the recipe.",
  ],
  [
    "skipped_steps",
    "Optimizer steps that were left out because a number in them was not finite.",
    "It should be 0; several in a row end the run.",
  ],
  [
    "entropy",
    "Mean entropy of the policy's next-token distribution: how undecided it is per token.",
    "A slow fall is normal; near zero the policy has stopped exploring.",
    nats,
  ],
  ["entropy_coef", "Weight of the entropy bonus in the loss.", "It is what the recipe says."],
  [
    "kl",
    "Mean KL divergence (estimator k3) of the policy from the reference of the stage, per token.",
    "A slow rise is learning; a steep one is the policy running away from the reference.",
    nats,
  ],
  [
    "clip_ratio/low_mean",
    "Share of tokens whose probability fell as far as one update may lower it.",
    "A few per cent are normal; much more means updates that are too large.",
    share,
  ],
  [
    "clip_ratio/low_min",
    "The least share of tokens clipped downwards in any completion.",
    "Above 0 every completion is clipped.",
    share,
  ],
  [
    "clip_ratio/high_mean",
    "Share of tokens whose probability rose as far as one update may raise it.",
    "A few per cent are normal; much more means updates that are too large.",
    share,
  ],
  [
    "clip_ratio/high_max",
    "The greatest share of tokens clipped upwards in any completion.",
    "Near 100 % a completion had no influence any more.",
    share,
  ],
  [
    "clip_ratio/region_mean",
    "Share of tokens that were clipped either way.",
    "At 0 in on-policy training; high where many updates are made from one batch.",
    share,
  ],
  [
    "cispo_clip_ratio",
    "Share of tokens whose importance weight was cut (CISPO).",
    "High values mean that samples are far from the policy.",
    share,
  ],
  [
    "vespo/phi_seq_mean",
    "Mean weight that VESPO gives a completion.",
    "Far below 1 most completions are nearly ignored.",
  ],
  [
    "sampling/sampling_logp_difference/mean",
    "Mean difference between the log-probabilities of the sampler and those of the trainer, per token.",
    "It should be rounding, below 0.0001; more means that ratios are wrong. With maxStaleness 1 it has what a step moved, too.",
    nats,
  ],
  [
    "sampling/sampling_logp_difference/max",
    "The greatest such difference of any token.",
    "Single tokens may differ more, never by whole nats.",
    nats,
  ],
  [
    "sampling/importance_sampling_ratio/*",
    "The * of the correction ratios between trainer and sampler.",
    "All should be near 1.",
  ],
  [
    "staleness/*",
    "The * of the age of the completions: by how many iterations the weights that sampled were older (maxStaleness).",
    "1 from the second iteration on; less where further rounds were sampled from the policy as it is.",
  ],
  [
    "sampling_rounds",
    "How often problems were sampled until enough groups could teach something.",
    "At the maximum the problems are too hard or too easy.",
  ],
  [
    "completions/mean_length",
    "Mean length of the completions.",
    "In R1-Zero it grows with reasoning; a sudden rise may be rambling.",
    tokens,
  ],
  ["completions/min_length", "Length of the shortest completion.", "A value near 1 is a policy that gives up.", tokens],
  [
    "completions/max_length",
    "Length of the longest completion.",
    "At maxCompletionTokens completions are cut off.",
    tokens,
  ],
  [
    "completions/clipped_ratio",
    "Share of the completions that were cut off at the length limit before they ended.",
    "Above a third raise maxCompletionTokens, or reward brevity.",
    share,
  ],
  [
    "completions/mean_terminated_length",
    "Mean length of the completions that ended by themselves.",
    "It should grow no faster than the solve rate.",
    tokens,
  ],
  [
    "completions/min_terminated_length",
    "Length of the shortest completion that ended by itself.",
    "A value near 1 is a policy that gives up.",
    tokens,
  ],
  [
    "completions/max_terminated_length",
    "Length of the longest completion that ended by itself.",
    "Near the limit there is little room left.",
    tokens,
  ],
  [
    "tries/mean",
    "Mean number of attempts in an answer.",
    "Rising tries mean that the model searches longer before it settles.",
  ],
  [
    "task/*",
    "“*”, a statistic of the task itself, as a mean over the answers.",
    "The task's documentation says what it should do.",
  ],
  [
    "num_tokens",
    "Tokens of prompts and completions that the stage has seen so far.",
    "It only grows; choose it as the axis to compare runs of different batch sizes.",
    tokens,
  ],
  ["num_demonstrations", "Demonstrations in the batch of this step.", "It varies where batches are filled by tokens."],
  [
    "num_too_long",
    "Demonstrations that were left out because they do not fit.",
    "Many mean that maxLength is too small for the data.",
  ],
  ["num_truncated", "Demonstrations that were cut to fit.", "Cut answers teach the model not to end."],
  ["num_pairs", "Preference pairs in this step.", "It is what the recipe says."],
  ["num_equal", "Pairs that were left out because both answers are equal.", "Many mean data with little in it."],
  [
    "accuracy",
    "Share of the pairs whose preferred answer gets the higher reward.",
    "It starts near 50 % and should rise.",
    share,
  ],
  ["margin", "How far the preferred answer's reward is ahead, on average.", "It should rise, and not explode."],
  ["*_reward", "The * reward of the answers in the batch.", "Its drift is of no matter; the margin counts."],
  [
    "reverse_kl",
    "KL divergence of the student from the teacher, on what the student writes.",
    "It should fall: the student becomes like the teacher.",
    nats,
  ],
  [
    "teacher_logprob",
    "Mean log-probability that the teacher gives the student's tokens.",
    "It should rise towards 0.",
    nats,
  ],
  [
    "student_logprob",
    "Mean log-probability that the student gives its own tokens.",
    "It rises as the student becomes more certain.",
    nats,
  ],
  [
    "step_time",
    "Seconds that the step or iteration took, evaluations and checkpoints apart.",
    "A rise means longer completions, or a machine that does something else.",
    seconds,
  ],
  [
    "sampling_time",
    "Seconds in which completions were sampled.",
    "It grows with the length of completions; it is most of the time in reinforcement learning.",
    seconds,
  ],
  [
    "rewards_time",
    "Seconds in which rewards judged completions.",
    "Rules take milliseconds; models and programs of your own may take most of a step.",
    seconds,
  ],
  [
    "reference_time",
    "Seconds in which completions were scored under the old policy and the reference.",
    "Only where a KL term in the reward or a correction of the sampler asks for it.",
    seconds,
  ],
  [
    "teacher_time",
    "Seconds in which the teacher scored the student's completions.",
    "A larger teacher takes longer.",
    seconds,
  ],
  [
    "update_time",
    "The rest of the step: gradients, the optimizer, and everything that is not counted apart.",
    "It grows with the tokens that are trained on.",
    seconds,
  ],
  [
    "resident_mib",
    "Memory of the process that trains, in MiB, at the end of the step.",
    "It should level off; a steady rise is a leak.",
    { unit: "MiB" },
  ],
];

const COMPILED = NOTES.map(([name, meaning, watch, kind]) => {
  const source = name.split("*").map((part) => part.replace(/[.\\/]/g, "\\$&"));
  return { pattern: new RegExp(`^${source.join("(.+)")}$`), note: { meaning, watch, ...kind } as MetricNote };
});

/** What is known of a metric; of one that nobody knows, a sentence that says so. */
export function metricNote(name: string): MetricNote {
  for (const { pattern, note } of COMPILED) {
    const match = pattern.exec(name);
    if (match) return match[1] === undefined ? note : { ...note, meaning: note.meaning.replace("*", match[1]) };
  }
  return {
    meaning: "A metric of a trainer or loss that was added from outside; its author knows what it means.",
    watch: "Look for sudden changes.",
  };
}

/** Whether the catalogue has a sentence of its own for it. */
export function isKnownMetric(name: string): boolean {
  return COMPILED.some(({ pattern }) => pattern.test(name));
}
