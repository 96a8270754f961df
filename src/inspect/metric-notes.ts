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

/** By name; the first that fits counts. */
const NOTES: readonly (readonly [name: string, note: MetricNote])[] = [
  [
    "solve_rate",
    {
      meaning: "Share of the sampled training answers that the task itself judges right, whatever the rewards say.",
      watch: "It should rise; a reward that rises without it is being gamed.",
      ...share,
    },
  ],
  [
    "format_rate",
    {
      meaning: "Share of the answers that have the form which was asked for.",
      watch: "It should come close to 100 % early, and stay there.",
      ...share,
    },
  ],
  [
    "reward",
    {
      meaning: "Mean over the completions of the weighted sum of all rewards: what the policy learns from.",
      watch: "A steady rise is learning; a jump to the maximum may be a reward that is too easy to please.",
    },
  ],
  [
    "reward_std",
    {
      meaning: "Standard deviation of the reward over all completions of the iteration.",
      watch: "Near zero there is nothing left to tell good from bad answers by.",
    },
  ],
  [
    "rewards/*/mean",
    {
      meaning: "Mean score of the reward “*” over the completions that it judged.",
      watch: "Compare it with the solve rate: they should rise together.",
    },
  ],
  [
    "rewards/*/std",
    {
      meaning: "Standard deviation of the score of the reward “*”.",
      watch: "At zero this reward adds nothing to the advantage.",
    },
  ],
  [
    "rewards/*/frac_abstained",
    {
      meaning: "Share of the completions on which the reward “*” gave no judgement.",
      watch: "A high share means that it cannot read the answers, or was not reached.",
      ...share,
    },
  ],
  [
    "rewards/*/abandoned",
    {
      meaning: "1 in iterations in which the reward “*” was given up because it did not answer in time.",
      watch: "Any 1 is worth a look at events.jsonl.",
    },
  ],
  [
    "frac_reward_zero_std",
    {
      meaning: "Share of the groups whose completions all got the same reward, so that they teach nothing.",
      watch: "Near 100 % the problems are too hard or too easy for this policy.",
      ...share,
    },
  ],
  [
    "frac_reward_abstained",
    { meaning: "Share of the completions that no reward judged.", watch: "It should be 0.", ...share },
  ],
  [
    "loss",
    {
      meaning:
        "The loss that the optimizer minimises: cross-entropy in SFT, the policy objective in reinforcement learning.",
      watch: "In SFT it should fall; in reinforcement learning it stays near zero and says little.",
    },
  ],
  [
    "policy_loss",
    {
      meaning: "The policy objective without the entropy bonus.",
      watch: "It says little by itself; watch the reward.",
    },
  ],
  [
    "eval_loss",
    {
      meaning: "Cross-entropy of held-out demonstrations, in nats per token.",
      watch: "When it rises while the training loss falls, the model learns the demonstrations by heart.",
      ...nats,
    },
  ],
  [
    "eval_perplexity",
    {
      meaning: "e to the power of the held-out loss: among how many equally likely tokens the model wavers.",
      watch: "Lower is better; a rise is overfitting.",
    },
  ],
  [
    "mean_token_accuracy",
    {
      meaning: "Share of the demonstrations' tokens that the model would have chosen itself.",
      watch: "It rises with learning and levels off below 100 %.",
      ...share,
    },
  ],
  [
    "grad_norm",
    {
      meaning: "Length of the gradient before it is clipped.",
      watch: "Single spikes are clipped; a level that climbs announces divergence.",
    },
  ],
  [
    "learning_rate",
    {
      meaning: "Step size of the optimizer, as the schedule sets it.",
      watch: "It should look like the schedule of the recipe.",
    },
  ],
  [
    "skipped_steps",
    {
      meaning: "Optimizer steps that were left out because a number in them was not finite.",
      watch: "It should be 0; several in a row end the run.",
    },
  ],
  [
    "entropy",
    {
      meaning: "Mean entropy of the policy's next-token distribution: how undecided it is per token.",
      watch: "A slow fall is normal; near zero the policy has stopped exploring.",
      ...nats,
    },
  ],
  ["entropy_coef", { meaning: "Weight of the entropy bonus in the loss.", watch: "It is what the recipe says." }],
  [
    "kl",
    {
      meaning: "Mean KL divergence (estimator k3) of the policy from the reference of the stage, per token.",
      watch: "A slow rise is learning; a steep one is the policy running away from the reference.",
      ...nats,
    },
  ],
  [
    "clip_ratio/low_mean",
    {
      meaning: "Share of tokens whose probability fell as far as one update may lower it.",
      watch: "A few per cent are normal; much more means updates that are too large.",
      ...share,
    },
  ],
  [
    "clip_ratio/low_min",
    {
      meaning: "The least share of tokens clipped downwards in any completion.",
      watch: "Above 0 every completion is clipped.",
      ...share,
    },
  ],
  [
    "clip_ratio/high_mean",
    {
      meaning: "Share of tokens whose probability rose as far as one update may raise it.",
      watch: "A few per cent are normal; much more means updates that are too large.",
      ...share,
    },
  ],
  [
    "clip_ratio/high_max",
    {
      meaning: "The greatest share of tokens clipped upwards in any completion.",
      watch: "Near 100 % a completion had no influence any more.",
      ...share,
    },
  ],
  [
    "clip_ratio/region_mean",
    {
      meaning: "Share of tokens that were clipped either way.",
      watch: "At 0 in on-policy training; high where many updates are made from one batch.",
      ...share,
    },
  ],
  [
    "cispo_clip_ratio",
    {
      meaning: "Share of tokens whose importance weight was cut (CISPO).",
      watch: "High values mean that samples are far from the policy.",
      ...share,
    },
  ],
  [
    "vespo/phi_seq_mean",
    {
      meaning: "Mean weight that VESPO gives a completion.",
      watch: "Far below 1 most completions are nearly ignored.",
    },
  ],
  [
    "sampling/sampling_logp_difference/mean",
    {
      meaning: "Mean difference between the log-probabilities of the sampler and those of the trainer, per token.",
      watch: "It should be rounding, below 0.0001; more means that ratios are wrong.",
      ...nats,
    },
  ],
  [
    "sampling/sampling_logp_difference/max",
    {
      meaning: "The greatest such difference of any token.",
      watch: "Single tokens may differ more, never by whole nats.",
      ...nats,
    },
  ],
  [
    "sampling/importance_sampling_ratio/*",
    { meaning: "The * of the correction ratios between trainer and sampler.", watch: "All should be near 1." },
  ],
  [
    "sampling_rounds",
    {
      meaning: "How often problems were sampled until enough groups could teach something.",
      watch: "At the maximum the problems are too hard or too easy.",
    },
  ],
  [
    "completions/mean_length",
    {
      meaning: "Mean length of the completions.",
      watch: "In R1-Zero it grows with reasoning; a sudden rise may be rambling.",
      ...tokens,
    },
  ],
  [
    "completions/min_length",
    { meaning: "Length of the shortest completion.", watch: "A value near 1 is a policy that gives up.", ...tokens },
  ],
  [
    "completions/max_length",
    {
      meaning: "Length of the longest completion.",
      watch: "At maxCompletionTokens completions are cut off.",
      ...tokens,
    },
  ],
  [
    "completions/clipped_ratio",
    {
      meaning: "Share of the completions that were cut off at the length limit before they ended.",
      watch: "Above a third raise maxCompletionTokens, or reward brevity.",
      ...share,
    },
  ],
  [
    "completions/mean_terminated_length",
    {
      meaning: "Mean length of the completions that ended by themselves.",
      watch: "It should grow no faster than the solve rate.",
      ...tokens,
    },
  ],
  [
    "completions/min_terminated_length",
    {
      meaning: "Length of the shortest completion that ended by itself.",
      watch: "A value near 1 is a policy that gives up.",
      ...tokens,
    },
  ],
  [
    "completions/max_terminated_length",
    {
      meaning: "Length of the longest completion that ended by itself.",
      watch: "Near the limit there is little room left.",
      ...tokens,
    },
  ],
  [
    "tries/mean",
    {
      meaning: "Mean number of attempts in an answer.",
      watch: "Rising tries mean that the model searches longer before it settles.",
    },
  ],
  [
    "task/*",
    {
      meaning: "“*”, a statistic of the task itself, as a mean over the answers.",
      watch: "The task's documentation says what it should do.",
    },
  ],
  [
    "num_tokens",
    {
      meaning: "Tokens of prompts and completions that the stage has seen so far.",
      watch: "It only grows; choose it as the axis to compare runs of different batch sizes.",
      ...tokens,
    },
  ],
  [
    "num_demonstrations",
    { meaning: "Demonstrations in the batch of this step.", watch: "It varies where batches are filled by tokens." },
  ],
  [
    "num_too_long",
    {
      meaning: "Demonstrations that were left out because they do not fit.",
      watch: "Many mean that maxLength is too small for the data.",
    },
  ],
  [
    "num_truncated",
    { meaning: "Demonstrations that were cut to fit.", watch: "Cut answers teach the model not to end." },
  ],
  ["num_pairs", { meaning: "Preference pairs in this step.", watch: "It is what the recipe says." }],
  [
    "num_equal",
    { meaning: "Pairs that were left out because both answers are equal.", watch: "Many mean data with little in it." },
  ],
  [
    "accuracy",
    {
      meaning: "Share of the pairs whose preferred answer gets the higher reward.",
      watch: "It starts near 50 % and should rise.",
      ...share,
    },
  ],
  [
    "margin",
    {
      meaning: "How far the preferred answer's reward is ahead, on average.",
      watch: "It should rise, and not explode.",
    },
  ],
  [
    "*_reward",
    { meaning: "The * reward of the answers in the batch.", watch: "Its drift is of no matter; the margin counts." },
  ],
  [
    "reverse_kl",
    {
      meaning: "KL divergence of the student from the teacher, on what the student writes.",
      watch: "It should fall: the student becomes like the teacher.",
      ...nats,
    },
  ],
  [
    "teacher_logprob",
    {
      meaning: "Mean log-probability that the teacher gives the student's tokens.",
      watch: "It should rise towards 0.",
      ...nats,
    },
  ],
  [
    "student_logprob",
    {
      meaning: "Mean log-probability that the student gives its own tokens.",
      watch: "It rises as the student becomes more certain.",
      ...nats,
    },
  ],
  [
    "step_time",
    {
      meaning: "Seconds that the step or iteration took, evaluations and checkpoints apart.",
      watch: "A rise means longer completions, or a machine that does something else.",
      ...seconds,
    },
  ],
  [
    "sampling_time",
    {
      meaning: "Seconds in which completions were sampled.",
      watch: "It grows with the length of completions; it is most of the time in reinforcement learning.",
      ...seconds,
    },
  ],
  [
    "rewards_time",
    {
      meaning: "Seconds in which rewards judged completions.",
      watch: "Rules take milliseconds; models and programs of your own may take most of a step.",
      ...seconds,
    },
  ],
  [
    "reference_time",
    {
      meaning: "Seconds in which completions were scored under the old policy and the reference.",
      watch: "Only where a KL term in the reward or a correction of the sampler asks for it.",
      ...seconds,
    },
  ],
  [
    "teacher_time",
    {
      meaning: "Seconds in which the teacher scored the student's completions.",
      watch: "A larger teacher takes longer.",
      ...seconds,
    },
  ],
  [
    "update_time",
    {
      meaning: "The rest of the step: gradients, the optimizer, and everything that is not counted apart.",
      watch: "It grows with the tokens that are trained on.",
      ...seconds,
    },
  ],
  [
    "resident_mib",
    {
      meaning: "Memory of the process that trains, in MiB, at the end of the step.",
      watch: "It should level off; a steady rise is a leak.",
      unit: "MiB",
    },
  ],
];

const COMPILED = NOTES.map(([name, note]) => {
  const source = name.split("*").map((part) => part.replace(/[.\\/]/g, "\\$&"));
  return { pattern: new RegExp(`^${source.join("(.+)")}$`), note };
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
