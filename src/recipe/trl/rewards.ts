/**
 * Which rewards a TRL recipe asks for, and with which options. Names are those of open-r1's registry, of TRL's own script
 * and of the functions behind them; options are open-r1's script arguments, with its defaults where the file has none.
 *
 * What it is not: a way to rewards that Aha has not. Those that execute code are refused by that name, before the keys of
 * the file are looked at one by one.
 */

import { ConfigError, nearestName } from "../../errors.ts";
import type { TrlDraft } from "./conversion.ts";
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
  /** Where in its options the judge of right and wrong stands that reads the gold column. */
  readonly judges?: "gold" | "correct";
}

/** A reward under its own name, the names that people make of it, and further ones. */
function reward(name: string, aliases: readonly string[], rest: Partial<TrlReward> = {}): TrlReward {
  return { name, aliases: [name, `${name}_reward`, `${name}_reward_func`, ...aliases], keys: [], fixed: {}, ...rest };
}

const TRL_REWARDS: readonly TrlReward[] = [
  reward("format", []),
  { ...reward("format", [], { fixed: { form: "think" } }), aliases: ["think_format_reward", "think_format"] },
  reward("equation", []),
  reward("accuracy", ["reasoning_accuracy_reward"], { judges: "gold" }),
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
    judges: "correct",
  }),
  reward("repetition_penalty", ["get_repetition_penalty_reward"], {
    keys: [
      ["repetition_n_grams", "ngramSize", 3],
      ["repetition_max_penalty", "maxPenalty", -1],
    ],
    // open-r1 splits at white space, whatever the script.
    fixed: { unit: "words" },
  }),
  reward("length", ["len_reward"], { judges: "correct" }),
  reward("soft_overlong", ["soft_overlong_punishment"], { keys: overlongKeys(16384, 4096) }),
  // TRL's own script calls the function itself, with numbers of its own.
  { ...reward("soft_overlong", [], { keys: overlongKeys(1280, 256) }), aliases: ["get_soft_overlong_punishment"] },
];

/** open-r1's rewards that execute a completion's code, and the one that looks for its form beside them. */
const CODE_REWARDS = ["code", "binary_code", "ioi_code", "cf_code", "code_format"];

/**
 * Refuses rewards that execute code; `asked` is `reward_funcs` as it stands in the file.
 *
 * @throws ConfigError naming them
 */
export function refuseCodeRewards(asked: unknown, source: string): void {
  const names = Array.isArray(asked) ? (asked as unknown[]) : [asked];
  const found = names.filter(
    (name) => typeof name === "string" && CODE_REWARDS.includes(name.replace(/_reward(_func)?$/, "")),
  );
  if (found.length === 0) return;
  throw new ConfigError(
    `${source} rewards completions whose code passes tests (reward_funcs: ${found.join(", ")}). Aha executes no code that a ` +
      "model writes, so there is no such reward: a recipe of these cannot be run.",
  );
}

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

/** Whose rewards are meant, and what they read. */
export interface RewardScript {
  /** Those that the script takes where the file names none; none where it has to. */
  readonly byDefault: readonly string[];
  /** Whose they are, for people. */
  readonly whose: string;
  /** Whether `format` wants every tag on a line of its own, as open-r1's does. */
  readonly tagsOnLines: boolean;
  /** The column with the right answer of a question; undefined where the rows have none. */
  readonly gold: string | undefined;
  /** Whether answers are compared as mathematics; Countdown's are equations. */
  readonly hasAnswers: boolean;
  /** Whether the script writes completions to files. */
  readonly samples: boolean;
}

/** The seeds' scripts for Countdown. */
export const COUNTDOWN_REWARDS: RewardScript = {
  byDefault: ["format", "equation"],
  whose: "those of the seeds' scripts",
  tagsOnLines: false,
  gold: undefined,
  hasAnswers: false,
  samples: true,
};

/** Whether a name is of a reward that compares answers as mathematics. */
export function judgesAnswers(name: string): boolean {
  return REWARDS_BY_ALIAS.get(name)?.judges !== undefined;
}

/**
 * The rewards that the file names, or those of its script; `modelPath` is where a reward model is.
 *
 * @throws ConfigError for one that there is not
 */
export function setRewards(draft: TrlDraft, script: RewardScript, modelPath: string | undefined): void {
  const { settings } = draft;
  const path = draft.at("rewards");
  const asked = settings.texts("reward_funcs") ?? (modelPath === undefined ? script.byDefault : []);
  const chosen = asked.map(rewardNamed);
  if (chosen.length === 0 && modelPath === undefined) {
    throw new ConfigError(`${settings.source} names no rewards (reward_funcs, reward_model_name_or_path); give some.`);
  }
  const answering = script.hasAnswers ? undefined : asked.find((_, i) => chosen[i]!.judges === "gold");
  if (answering !== undefined) {
    throw new ConfigError(
      `reward_funcs: ${answering} compares answers as mathematics, and a Countdown problem has none; equation judges it.`,
    );
  }
  const names = [...(modelPath === undefined ? [] : ["reward_model"]), ...chosen.map(({ name }) => name)];
  const weights = settings.numbers("reward_weights") ?? names.map(() => 1);
  if (weights.length !== names.length) {
    throw new ConfigError(
      `reward_weights has ${weights.length} numbers for ${names.length} rewards (${names.join(", ")}); give one each.`,
    );
  }
  // A reward model comes first, as in TRL's script.
  const offset = names.length - chosen.length;
  const ofModel =
    modelPath === undefined ? [] : [{ name: "reward_model", weight: weights[0], options: { path: modelPath } }];
  if (modelPath !== undefined) draft.goesTo("reward_model_name_or_path", `${path}.0.options.path`, modelPath);
  const ofFunctions = chosen.map(({ name, keys, fixed, judges }, i) => {
    const options = keys.map(([key, option, byDefault]) => {
      const value = settings.number(key) ?? byDefault;
      draft.goesTo(key, `${path}.${i + offset}.options.${option}`, value, { fallback: byDefault });
      return [option, value] as const;
    });
    const form = name === "format" && script.tagsOnLines ? { form: "lines" } : {};
    const judge = judges === undefined ? {} : judgeOptions(judges, script.gold);
    const all = { ...form, ...fixed, ...judge, ...Object.fromEntries(options) };
    return { name, weight: weights[i + offset], options: all };
  });
  const rewards = [...ofModel, ...ofFunctions];
  requireRisingWrong(rewards);
  const read = new Set(chosen.flatMap(({ keys }) => keys.map(([key]) => key)));
  for (const [key] of TRL_REWARDS.flatMap(({ keys }) => keys)) {
    if (!read.has(key)) draft.hasNoEffect(key, "of a reward that was not chosen");
  }
  draft.becomes("reward_weights", path, rewards, { fallback: weights });
  if (chosen.length > 0) {
    const note = settings.has("reward_funcs") ? "" : script.whose;
    draft.becomes("reward_funcs", path, rewards, { fallback: asked, note });
  } else draft.hasNoEffect("reward_funcs", "reward_model_name_or_path judges");
  if (settings.has("reward_funcs") || !script.samples) return;
  draft.put("completionSamples.share", SAMPLED_SHARE);
  draft.choices.push({
    what: "completion samples",
    chosen: "a tenth of the completions in completion_samples/ of the run, as the scripts' reward functions write them",
  });
}

/** How a reward is told where the right answer is. */
function judgeOptions(judges: NonNullable<TrlReward["judges"]>, gold: string | undefined): Record<string, unknown> {
  if (gold === undefined) return {};
  return judges === "gold" ? { gold } : { correct: { name: "accuracy", options: { gold } } };
}

function rewardNamed(name: string): TrlReward {
  const known = REWARDS_BY_ALIAS.get(name);
  if (known !== undefined) return known;
  const names = [...new Set(TRL_REWARDS.map((one) => one.name))];
  const nearest = nearestName(name, names);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  const ofPython = name.includes(".") ? " A function of your own is a TypeScript file here (docs/rewards.md)." : "";
  throw new ConfigError(
    `reward_funcs: there is no reward ${shown(name)} for a TRL recipe; there are ${names.join(", ")}.${hint}${ofPython}`,
  );
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
