/**
 * Which rewards a TRL recipe asks for, and with which options. Names are those of open-r1's registry, of TRL's own script
 * and of the functions behind them; options are open-r1's script arguments, with its defaults where the file has none.
 *
 * What it is not: a way to rewards that Aha has not, or that a task of Countdown has no use for; those are refused by name.
 */

import { ConfigError } from "../../errors.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import { shown } from "./settings.ts";

/** A reward that a TRL recipe may name. */
interface TrlReward {
  readonly name: string;
  /** What scripts call it. */
  readonly aliases: readonly string[];
  /** Keys of the file, each with the reward's own option and the script's default. */
  readonly keys: readonly (readonly [key: string, option: string, fallback: number])[];
  /** Options that no key stands for. */
  readonly fixed: Readonly<Record<string, unknown>>;
}

/** A reward under its own name, the names that people make of it, and further ones. */
function reward(name: string, aliases: readonly string[], rest: Partial<TrlReward> = {}): TrlReward {
  return { name, aliases: [name, `${name}_reward`, `${name}_reward_func`, ...aliases], keys: [], fixed: {}, ...rest };
}

const TRL_REWARDS: readonly TrlReward[] = [
  reward("format", []),
  reward("equation", []),
  reward("tag_count", []),
  reward("reasoning_steps", []),
  reward("cosine", ["cosine_scaled", "cosine_scaled_reward", "get_cosine_scaled_reward"], {
    keys: [
      ["cosine_min_value_wrong", "minWrong", 0],
      ["cosine_max_value_wrong", "maxWrong", -0.5],
      ["cosine_min_value_correct", "minCorrect", 0.5],
      ["cosine_max_value_correct", "maxCorrect", 1],
      ["cosine_max_len", "maxLength", 1000],
    ],
  }),
  reward("repetition_penalty", ["get_repetition_penalty_reward"], {
    keys: [
      ["repetition_n_grams", "ngramSize", 3],
      ["repetition_max_penalty", "maxPenalty", -1],
    ],
    // open-r1 splits at white space, whatever the script.
    fixed: { unit: "words" },
  }),
  reward("length", ["len_reward"]),
  reward("soft_overlong", ["soft_overlong_punishment"], { keys: overlongKeys(16384, 4096) }),
  // TRL's own script calls the function itself, with numbers of its own.
  { ...reward("soft_overlong", [], { keys: overlongKeys(1280, 256) }), aliases: ["get_soft_overlong_punishment"] },
];

function overlongKeys(limit: number, cache: number): TrlReward["keys"] {
  return [
    ["max_completion_len", "maxTokens", limit],
    ["soft_punish_cache", "cacheTokens", cache],
  ];
}

const REWARDS_BY_ALIAS: ReadonlyMap<string, TrlReward> = new Map(
  TRL_REWARDS.flatMap((one) => one.aliases.map((alias) => [alias, one])),
);

/** How many completions the seeds' reward functions write to files on the way. */
const SAMPLED_SHARE = 0.1;

/** The rewards that the file names, or those of the seeds' scripts. Throws ConfigError for one that there is not. */
export function setRewards(draft: TrlDraft): void {
  const { settings } = draft;
  const path = `stages.${STAGE}.rewards`;
  const fallback = ["format", "equation"];
  const asked = settings.texts("reward_funcs") ?? fallback;
  const chosen = asked.map(rewardNamed);
  const names = chosen.map(({ name }) => name);
  const weights = settings.numbers("reward_weights") ?? names.map(() => 1);
  if (weights.length !== names.length) {
    throw new ConfigError(
      `reward_weights has ${weights.length} numbers for ${names.length} rewards (${names.join(", ")}); give one each.`,
    );
  }
  const rewards = chosen.map(({ name, keys, fixed }, i) => {
    const options = keys.map(([key, option, byDefault]) => {
      const value = settings.number(key) ?? byDefault;
      draft.goesTo(key, `${path}.${i}.options.${option}`, value);
      return [option, value] as const;
    });
    return { name, weight: weights[i], options: { ...fixed, ...Object.fromEntries(options) } };
  });
  requireRisingWrong(rewards);
  const read = new Set(chosen.flatMap(({ keys }) => keys.map(([key]) => key)));
  for (const [key] of TRL_REWARDS.flatMap(({ keys }) => keys)) {
    if (!read.has(key)) draft.hasNoEffect(key, "of a reward that was not chosen");
  }
  const note = settings.has("reward_funcs") ? "" : "those of the seeds' scripts";
  draft.becomes("reward_weights", path, rewards, { fallback: weights });
  draft.becomes("reward_funcs", path, rewards, { fallback, note });
  if (settings.has("reward_funcs")) return;
  draft.put("completionSamples.share", SAMPLED_SHARE);
  draft.choices.push({
    what: "completion samples",
    chosen: "a tenth of the completions in completion_samples/ of the run, as the scripts' reward functions write them",
  });
}

function rewardNamed(name: string): TrlReward {
  const known = REWARDS_BY_ALIAS.get(name);
  if (known !== undefined) return known;
  const names = [...new Set(TRL_REWARDS.map((one) => one.name))].join(", ");
  throw new ConfigError(`reward_funcs: there is no reward ${shown(name)} for a TRL recipe; there are ${names}.`);
}

/** open-r1's defaults punish long wrong answers most, the paper's cosine short ones; Aha has the paper's alone. */
function requireRisingWrong(rewards: readonly { readonly options: Readonly<Record<string, unknown>> }[]): void {
  for (const { options } of rewards) {
    const { minWrong, maxWrong } = options as { readonly minWrong?: number; readonly maxWrong?: number };
    if (minWrong === undefined || maxWrong === undefined || minWrong <= maxWrong) continue;
    throw new ConfigError(
      `cosine_min_value_wrong (${minWrong}) is above cosine_max_value_wrong (${maxWrong}), as open-r1's defaults are: long ` +
        "wrong answers would be punished most. The cosine here is the paper's (arXiv:2502.03373), which punishes short " +
        `ones most. Set cosine_min_value_wrong to ${maxWrong} and cosine_max_value_wrong to ${minWrong}.`,
    );
  }
}
