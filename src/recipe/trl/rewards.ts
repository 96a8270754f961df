/**
 * Which rewards a TRL recipe asks for, and with which options. Each reward's entry says what open-r1's registry, TRL's own
 * script and the functions behind them call it, and which of the script's arguments are its options (`trl`).
 *
 * What it is not: a way to rewards that Aha has not, or that a task of Countdown has no use for; those are refused by name.
 */

import { ConfigError } from "../../errors.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import { rewardKeys, rewardNamed } from "./reward-names.ts";

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
  const specs = chosen.map(({ name, keys, fixed, fault }, i) => {
    const given = keys.map(({ key, option, fallback: byDefault }) => {
      const value = settings.number(key) ?? byDefault;
      draft.goesTo(key, `${path}.${i}.options.${option}`, value);
      return [option, value] as const;
    });
    const options = { ...fixed, ...Object.fromEntries(given) };
    const wrong = fault?.(options);
    if (wrong !== undefined) throw new ConfigError(wrong);
    return { name, weight: weights[i], options };
  });
  const read = new Set(chosen.flatMap(({ keys }) => keys.map(({ key }) => key)));
  for (const { key } of rewardKeys()) {
    if (!read.has(key)) draft.hasNoEffect(key, "of a reward that was not chosen");
  }
  const note = settings.has("reward_funcs") ? "" : "those of the seeds' scripts";
  draft.becomes("reward_weights", path, specs, { fallback: weights });
  draft.becomes("reward_funcs", path, specs, { fallback, note });
  if (settings.has("reward_funcs")) return;
  draft.put("completionSamples.share", SAMPLED_SHARE);
  draft.choices.push({
    what: "completion samples",
    chosen: "a tenth of the completions in completion_samples/ of the run, as the scripts' reward functions write them",
  });
}
