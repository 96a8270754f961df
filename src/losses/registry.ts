/** Losses of reinforcement learning by name. A new loss is one file beside this one and one entry in the list below. */

import { z } from "zod";
import { cachedBy, Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import { bnpo } from "./bnpo.ts";
import { cispo } from "./cispo.ts";
import { dapo } from "./dapo.ts";
import { drGrpo } from "./dr-grpo.ts";
import { grpo } from "./grpo.ts";
import { luspo } from "./luspo.ts";
import type { PolicyLoss } from "./policy-loss.ts";
import { rloo } from "./rloo.ts";
import { sapo } from "./sapo.ts";
import { vespo } from "./vespo.ts";

const builtIn = [grpo, bnpo, drGrpo, dapo, cispo, sapo, luspo, vespo, rloo] as const;

/** Keys that stand beside a loss's options in a spec or an objective. */
const TAKEN: readonly string[] = [
  ...["name", "temperature", "embeddingNoise", "entropyBonus", "klCoef", "klEstimator", "klBiasCorrection"],
  ...["lossType", "lossOptions", "importanceSamplingLevel", "offPolicyMaskThreshold", "topEntropyQuantile"],
  "entropyCoef",
];

/** Every loss that a recipe can name as its `lossType`. */
export const losses: Registry<PolicyLoss> = new Registry<PolicyLoss>("loss", builtIn, optionFault);

/** In a recipe the options of all losses stand side by side, so those of one name are one. */
function optionFault({ name, options }: PolicyLoss, others: readonly PolicyLoss[]): string | undefined {
  for (const [key, schema] of Object.entries(options)) {
    const other = others.find((one) => key in one.options && one.options[key] !== schema);
    const owner = TAKEN.includes(key) ? "every loss" : other?.name;
    if (owner === undefined) continue;
    return (
      `The loss ${name} has an option ${key}, and so has ${owner}, with another schema. ` +
      "Give the option another name, or take the schema of the other loss."
    );
  }
  return undefined;
}

/** The loss where a recipe names none. */
export const DEFAULT_LOSS_TYPE: string = dapo.name;

/** The options of all losses that Aha brings, as a recipe has them side by side. */
type BuiltInOptions = Omit<(typeof grpo)["options"] & (typeof sapo)["options"] & (typeof vespo)["options"], never>;

/** The options of every loss by name, for a recipe's schema. */
export const lossOptionShape: () => BuiltInOptions = cachedBy(
  [losses],
  () => Object.assign({}, ...losses.all.map(({ options }) => options)) as BuiltInOptions,
);

/** The keys of a TRL recipe that are options of some loss, each once. */
export function trlLossKeys() {
  const keys = losses.all.flatMap(({ trl }) => trl?.keys ?? []).map((entry) => [entry.key, entry] as const);
  return [...new Map(keys).values()];
}

/**
 * A loss's own options from a mapping that has other keys too, with defaults filled in.
 *
 * @throws ConfigError for a value that is out of range.
 */
export function lossOptions({ name, options }: PolicyLoss, given: Readonly<Record<string, unknown>>) {
  const own = Object.fromEntries(Object.keys(options).map((key) => [key, given[key]]));
  return checkOptions(z.strictObject(options), own, `loss ${name}`);
}
