/** The rewards of the registry by the names that TRL's scripts have for them, and the scripts' arguments that are options. */

import { ConfigError } from "../../errors.ts";
import type { TrlReward, TrlRewardKey } from "../../rewards/entry.ts";
import { rewards } from "../../rewards/registry.ts";
import { shown } from "./settings.ts";

/** A reward that a TRL recipe may name, and what scripts call it. */
export interface NamedReward extends Required<Pick<TrlReward, "keys" | "fixed">>, Pick<TrlReward, "fault"> {
  readonly name: string;
  readonly aliases: readonly string[];
}

function namedRewards(): NamedReward[] {
  return rewards.all.flatMap(({ name, trl = [] }) =>
    trl.map(({ aliases = [], onlyAliases = false, keys = [], fixed = {}, fault }) => {
      const own = onlyAliases ? [] : [name, `${name}_reward`, `${name}_reward_func`];
      return { name, aliases: [...own, ...aliases], keys, fixed, ...(fault && { fault }) };
    }),
  );
}

/** The keys of TRL's file that are options of rewards, each once. */
export function rewardKeys(): TrlRewardKey[] {
  const keys = new Map(namedRewards().flatMap((reward) => reward.keys.map((entry) => [entry.key, entry])));
  return [...keys.values()];
}

/** The reward that a script calls `name`. Throws ConfigError where there is none. */
export function rewardNamed(name: string): NamedReward {
  const known = namedRewards();
  const found = known.find(({ aliases }) => aliases.includes(name));
  if (found !== undefined) return found;
  const names = [...new Set(known.map((one) => one.name))].join(", ");
  throw new ConfigError(`reward_funcs: there is no reward ${shown(name)} for a TRL recipe; there are ${names}.`);
}
