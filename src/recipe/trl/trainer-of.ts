/**
 * Which trainer of TRL a file is for. With TRL the name of the script decides; the file itself does not say it. So it
 * is recognised by the keys that only some trainers have. The trainer that has the most of them is taken; of several
 * the plainer one (a file for GRPO may be one for RLOO, whose keys are a part of GRPO's); where that leaves a choice,
 * the user makes it.
 */

import { ConfigError, nearestName } from "../../errors.ts";
import { isMapping } from "../../strict-schema.ts";
import { REFUSED_TRAINERS, type RefusedTrainer } from "./refused-trainers.ts";
import { TRL_TRAINERS, type TrlTrainer, type TrlTrainerName, trlTrainers } from "./trainers.ts";

export interface TrainerReading {
  readonly trainer: TrlTrainer;
  /** Why this one: a clause for people. */
  readonly because: string;
}

/** One that a file may be for. */
interface Candidate {
  readonly name: string;
  readonly title: string;
  readonly config: string;
  readonly signs: ReadonlySet<string>;
  readonly found: TrlTrainer | RefusedTrainer;
}

function candidates(): readonly Candidate[] {
  const trainers = trlTrainers();
  return [
    ...[...trainers.values()].map((found) => ({ ...found, found })),
    ...REFUSED_TRAINERS.map((found) => ({
      ...{ name: found.name, title: found.title, config: found.config, found },
      signs: new Set([...found.signs, ...(found.base === undefined ? [] : trainers.get(found.base)!.signs)]),
    })),
  ];
}

/** To whom a trainer leaves a file that may be of both. */
const YIELDS: Readonly<Record<string, readonly string[]>> = {
  rloo: ["grpo"],
  distillation: ["grpo", "sft", "dpo"],
  kto: ["dpo"],
  orpo: ["dpo"],
  cpo: ["dpo"],
  bco: ["dpo"],
  tpo: ["dpo"],
  online_dpo: ["grpo", "rloo", "distillation", "sft", "dpo", "reward"],
  ppo: ["grpo", "rloo", "distillation"],
  prm: ["reward", "dpo", "grpo"],
  gold: ["distillation", "sft", "grpo"],
  iw_opd: ["distillation", "sft", "grpo"],
  minillm: ["grpo"],
  sdft: ["grpo"],
  async_grpo: ["grpo"],
  a2po: ["grpo"],
  papo: ["grpo"],
  pass_rate: ["grpo"],
};

/** Other names that users give. */
const ALIASES: Readonly<Record<string, string>> = {
  reward_model: "reward",
  distill: "distillation",
  gkd: "distillation",
  simpo: "cpo",
  nash_md: "online_dpo",
  xpo: "online_dpo",
  sdpo: "sdft",
};

/**
 * The trainer for a file with these keys and values; `asked` is `--trainer`.
 *
 * @throws ConfigError for a trainer that Aha has not, by its name, and where the keys leave a choice
 */
export function trainerOf(
  file: Readonly<Record<string, unknown>>,
  source: string,
  asked: string | undefined,
): TrainerReading {
  const keys = Object.keys(file);
  if (asked !== undefined) {
    const candidate = named(asked);
    return { trainer: requireKnown(candidate, `--trainer ${asked}`, []), because: "as --trainer says" };
  }
  const counts = candidates().map((candidate) => keys.filter((key) => candidate.signs.has(key)).length);
  const most = Math.max(...counts);
  if (most === 0) throw untold(keys, source);
  const all = candidates().filter((_, i) => counts[i] === most);
  const fitting = all.filter((candidate) => fitsColumns(candidate, file));
  const best = fitting.length > 0 ? fitting : all;
  const yields = (name: string) => [...(YIELDS[name] ?? []), ...(name === "dpo" && isSampled(file) ? ["grpo"] : [])];
  const left = best.filter(({ name }) => !yields(name).some((other) => best.some((one) => one.name === other)));
  if (left.length === 1) return reading(left[0]!, keys, source);
  const known = left.filter(({ name }) => trlTrainers().has(name as TrlTrainerName));
  if (known.length === 0) requireKnown(left[0]!, source, keys);
  const titles = left.map(({ title, config }) => `${title} (${config})`);
  throw new ConfigError(
    `${source} may be a recipe of ${titles.slice(0, -1).join(", ")} or ${titles.at(-1)}: all have its keys ` +
      `${telling(left[0]!, keys).join(", ")}. Add ${known.map(({ name }) => `--trainer ${name}`).join(" or ")}.`,
  );
}

/** Of a file with no key that tells a trainer. */
function untold(keys: readonly string[], source: string): ConfigError {
  const { keys: known } = trlTrainers().get("sft")!;
  const strange = keys.filter((key) => !known.has(key));
  const listed = strange.slice(0, 5).join(", ");
  if (strange.length === keys.length) {
    return new ConfigError(`${source} is no recipe of TRL: none of its keys (${listed}) is one of TRL's.`);
  }
  const others = strange.length === 0 ? "" : `, and others that are not TRL's (${listed})`;
  return new ConfigError(
    `${source} has only keys that every trainer of TRL has${others}, so it does not say what it trains. Add --trainer ` +
      `${TRL_TRAINERS.slice(0, -1).join(", ")} or ${TRL_TRAINERS.at(-1)}.`,
  );
}

function reading(candidate: Candidate, keys: readonly string[], source: string): TrainerReading {
  const trainer = requireKnown(candidate, source, keys);
  return { trainer, because: `told by ${telling(candidate, keys).join(", ")}` };
}

/** The trainer, or an error for one that Aha has not. */
function requireKnown(candidate: Candidate, source: string, keys: readonly string[]): TrlTrainer {
  const { found } = candidate;
  if (!("inItsPlace" in found)) return found;
  const told = keys.length === 0 ? "" : ` (told by ${telling(candidate, keys).join(", ")})`;
  const what = keys.length === 0 ? `${source}: Aha has no trainer for ${found.title}` : undefined;
  throw new ConfigError(
    `${what ?? `${source} is a recipe of ${found.title}, ${found.config}${told}: Aha has no such trainer`}. ` +
      found.inItsPlace,
  );
}

function named(asked: string): Candidate {
  const plain = asked.toLowerCase().replaceAll("-", "_");
  const name = ALIASES[plain] ?? plain;
  const found = candidates().find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const nearest = nearestName(name, TRL_TRAINERS);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(`--trainer ${asked}: there are ${TRL_TRAINERS.join(", ")}.${hint}`);
}

/** The keys that tell a trainer, those first that the fewest others have. */
function telling({ signs }: Candidate, keys: readonly string[]): string[] {
  const known = (key: string) => candidates().filter((candidate) => candidate.signs.has(key)).length;
  return keys
    .filter((key) => signs.has(key))
    .sort((a, b) => known(a) - known(b))
    .slice(0, 3);
}

/** DPO had max_completion_length once, for pairs; who gives it samples. */
function isSampled(file: Readonly<Record<string, unknown>>): boolean {
  return Object.hasOwn(file, "max_completion_length");
}

/** Whether a mixture's columns are those of the trainer's rows: pairs for some, conversations for others. */
function fitsColumns({ name }: Candidate, file: Readonly<Record<string, unknown>>): boolean {
  const columns = columnsOf(file);
  if (columns.length === 0) return true;
  const isOfPairs = ["reward", "dpo", "kto", "orpo", "cpo", "bco", "tpo", "prm"].includes(name);
  return isOfPairs === columns.some((column) => ["chosen", "rejected", "label"].includes(column));
}

/** The columns that a mixture of data sets takes. */
function columnsOf({ dataset_mixture: mixture, datasets }: Readonly<Record<string, unknown>>): string[] {
  const list = isMapping(mixture) ? mixture.datasets : datasets;
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: unknown) => {
    const columns = isMapping(item) ? item.columns : undefined;
    return Array.isArray(columns) ? columns.filter((column) => typeof column === "string") : [];
  });
}
