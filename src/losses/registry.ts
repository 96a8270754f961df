/** Losses of reinforcement learning by name. A new loss is one file beside this one and one entry in the list below. */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
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

/** Every loss that a recipe can name as its `lossType`. */
export const losses: Registry<PolicyLoss> = new Registry<PolicyLoss>("loss", builtIn);

/** The loss where a recipe names none. */
export const DEFAULT_LOSS_TYPE: string = dapo.name;

/** The options of all losses that Aha brings, as a recipe has them side by side. */
type BuiltInOptions = Omit<(typeof grpo)["options"] & (typeof sapo)["options"] & (typeof vespo)["options"], never>;

/**
 * The options of every loss by name, for a recipe's schema, where they stand side by side.
 *
 * @throws ConfigError where two losses have different options of one name.
 */
export const lossOptionShape: () => BuiltInOptions = cachedBy([losses], () => {
  const shape: Record<string, z.core.$ZodType> = {};
  for (const { name, options } of losses.all) {
    for (const [key, schema] of Object.entries(options)) {
      shape[key] ??= schema;
      if (shape[key] === schema) continue;
      throw new ConfigError(
        `The loss ${name} has an option ${key}, and so has another loss, with another schema. Take the other loss's schema, ` +
          "or give the option another name.",
      );
    }
  }
  return shape as BuiltInOptions;
});

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
