/**
 * Which rewards a TRL recipe asks for, and with which options. Each reward's entry says what open-r1's registry, TRL's own
 * script and the functions behind them call it, and which of the script's arguments are its options (`trl`).
 *
 * What it is not: a way to rewards that Aha has not. Those that execute code are refused by that name, before the keys of
 * the file are looked at one by one.
 */

import { ConfigError } from "../../errors.ts";
import { rewardModel } from "../../rewards/reward-model.ts";
import type { TrlDraft } from "./conversion.ts";
import { type NamedReward, rewardKeys, rewardNamed } from "./reward-names.ts";

/** open-r1's rewards that run what the model wrote, in E2B, Morph or Piston. */
const CODE_REWARDS = ["code", "binary_code", "ioi_code", "cf_code"];

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
    `${source} asks for rewards that execute the code of completions (reward_funcs: ${found.join(", ")}). Aha runs no code ` +
      "that a model wrote, so it cannot judge these; choose a recipe whose rewards read the text.",
  );
}

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

/** Whether the reward of this name compares answers. Throws ConfigError where there is none. */
export function judgesAnswers(name: string): boolean {
  return rewardNamed(name).gold !== undefined;
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
  const answering = script.hasAnswers ? undefined : asked.find((_, i) => chosen[i]!.saysRight && chosen[i]!.gold);
  if (answering !== undefined) {
    throw new ConfigError(
      `reward_funcs: ${answering} compares answers as mathematics, and a Countdown problem has none; equation judges it.`,
    );
  }
  const names = [...(modelPath === undefined ? [] : [rewardModel.name]), ...chosen.map(({ name }) => name)];
  const weights = settings.numbers("reward_weights") ?? names.map(() => 1);
  if (weights.length !== names.length) {
    throw new ConfigError(
      `reward_weights has ${weights.length} numbers for ${names.length} rewards (${names.join(", ")}); give one each.`,
    );
  }
  // A reward model comes first, as in TRL's script.
  const offset = names.length - chosen.length;
  const ofModel =
    modelPath === undefined ? [] : [{ name: rewardModel.name, weight: weights[0], options: { path: modelPath } }];
  if (modelPath !== undefined) draft.goesTo("reward_model_name_or_path", `${path}.0.options.path`, modelPath);
  const ofFunctions = chosen.map((reward, i) => {
    const { name } = reward;
    const options = optionsOf(draft, reward, script, `${path}.${i + offset}.options`);
    return { name, weight: weights[i + offset], options };
  });
  const rewards = [...ofModel, ...ofFunctions];
  const read = new Set(chosen.flatMap(({ keys }) => keys.map(({ key }) => key)));
  for (const { key } of rewardKeys()) {
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

/** The options of a reward, which stand at `path`. Throws ConfigError for some that it cannot have. */
function optionsOf(draft: TrlDraft, reward: NamedReward, script: RewardScript, path: string): Record<string, unknown> {
  const { name, keys, fixed, fault, gold } = reward;
  const given = keys.map(({ key, option, fallback }) => {
    const value = draft.settings.number(key) ?? fallback;
    draft.goesTo(key, `${path}.${option}`, value, { fallback });
    return [option, value] as const;
  });
  const form = name === "format" && script.tagsOnLines ? { form: "lines" } : {};
  const answer = script.gold === undefined ? {} : gold?.(script.gold);
  const options = { ...form, ...fixed, ...answer, ...Object.fromEntries(given) };
  const wrong = fault?.(options);
  if (wrong !== undefined) throw new ConfigError(wrong);
  return options;
}
