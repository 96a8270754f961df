/**
 * Which TRL a recipe was written for. Its keys hardly changed over the years, but what they mean did, and what is taken
 * where they are not given. Of GRPO:
 *
 *                                        0.14      0.15      0.16      0.17      0.18      0.19      0.22    1.16
 *     per_device_train_batch_size counts prompts   completions
 *     so one optimizer step is on        that × G  that many completions
 *     groups are whole in                          each micro-batch of all processes     each generation batch
 *     temperature, if not given          0.9                                     1.0
 *     top_k, if not given                50 (¹)              50                  0
 *     beta, if not given                 0.04                                              0
 *     max_completion_length              256                                                               512
 *     loss_type, if not given            grpo                bnpo                                  dapo
 *     the KL term                        as it is                                                          × ratio
 *     reference sync, if asked for       0.9 every 64 steps  0.6 every 512
 *
 *     ¹ transformers' default, which holds where TRL says nothing; vLLM has no limit
 *
 * A file's keys say between which releases it was written (`releases.ts`). Within those a script's pin decides where the file
 * has a key of that script (open-r1 pins 0.18), else the newest; but where a file has nothing that 0.14 had not, and a key
 * that went with 0.18, it is read as one of 0.14: so Mini-R1 (which pins it) and unlock-deepseek (which names no version,
 * but whose larger variant, two processes, one prompt each, eight generations, runs only there).
 *
 * What it is not: a guess about the defaults of scripts, which are theirs (`rewards.ts`, `countdown.ts`).
 */

import { ConfigError } from "../../errors.ts";
import { FIRST_RELEASE, isSince, type ReleaseSpan, releaseIndex, releaseSpan, TRL_RELEASES } from "./releases.ts";
import type { TrlSettings } from "./settings.ts";
import type { TrlTrainer } from "./trainers.ts";

/** What TRL takes for keys that are not given, where releases differ. */
export interface TrlDefaults {
  readonly per_device_train_batch_size: number;
  readonly gradient_accumulation_steps: number;
  readonly learning_rate: number;
  readonly temperature: number;
  readonly top_k: number;
  readonly beta: number;
  readonly max_completion_length: number;
  readonly loss_type: string;
  readonly use_bias_correction_kl: boolean;
  readonly ref_model_mixup_alpha: number;
  readonly ref_model_sync_steps: number;
}

export interface TrlReading {
  readonly version: string;
  /** Why this one: a clause for people. */
  readonly because: string;
  /** What `per_device_train_batch_size` counts, where completions are sampled. */
  readonly batchCounts: "prompts" | "completions";
  /** Whether each micro-batch of all processes has to hold whole groups. */
  readonly wholeGroups: boolean;
  readonly defaults: TrlDefaults;
}

/** The last release whose size counts prompts, and the first that counts completions as today's does. */
export const PROMPTS_RELEASE = "0.14";
/** What a file is read as unless its keys are older. */
export const NEWEST_RELEASE = TRL_RELEASES.at(-1)!;

/** open-r1's script pins this release (its setup.py since May 2025); the keys are of its own classes. */
const OPEN_R1_RELEASE = "0.18";
const OPEN_R1_KEYS = [
  "benchmarks",
  "callbacks",
  "dataset_mixture",
  "dataset_prompt_column",
  "hub_model_revision",
  "push_to_hub_revision",
  "system_prompt",
];

/**
 * The reading for a recipe. `works` says whether the file's batch works out in a reading of that release.
 *
 * @throws ConfigError for an unknown version
 */
export function readingOf(
  settings: TrlSettings,
  trainer: TrlTrainer,
  asked: string | undefined,
  works: (reading: TrlReading) => boolean,
): TrlReading {
  const reading = (version: string, because: string) => readingIn(version, because, settings, trainer);
  if (asked !== undefined) return reading(releaseNamed(asked, trainer), "as --trl-version says");
  const span = releaseSpan(settings.written.keys(), trainer.name);
  if (!isSince(span.to, span.from)) {
    throw new ConfigError(
      `${settings.source}: ${span.oldKey} is a key of TRL up to ${span.to}, ${span.youngKey} of TRL since ${span.from}: no ` +
        "release has both. Take one of them out, or say which release it is for with --trl-version.",
    );
  }
  const isOfOpenR1 = OPEN_R1_KEYS.some((key) => settings.written.has(key));
  const newest = reading(span.to, spanInWords(span));
  if (trainer.name !== "grpo") return newest;
  if (isOfOpenR1 && isSince(OPEN_R1_RELEASE, span.from) && isSince(span.to, OPEN_R1_RELEASE)) {
    const key = OPEN_R1_KEYS.find((one) => settings.written.has(one))!;
    return reading(OPEN_R1_RELEASE, `the file has ${key}, a key of open-r1's, whose script pins it`);
  }
  if (span.from !== PROMPTS_RELEASE || span.to === NEWEST_RELEASE) return newest;
  const old = reading(PROMPTS_RELEASE, `${spanInWords(span)}, and none that 0.14 had not`);
  if (!isSince(span.to, "0.18") && !isOfOpenR1) return old;
  return works(newest) || !works(old) ? newest : reading(PROMPTS_RELEASE, `only so does its batch work out`);
}

function spanInWords({ to, from, oldKey, youngKey }: ReleaseSpan): string {
  const young = youngKey === undefined ? "" : `${youngKey}, which TRL has since ${from}`;
  if (oldKey !== undefined) return `the file has ${oldKey}, which TRL had up to ${to}${young && `, and ${young}`}`;
  return `the file has no key that went before it${young && `, and ${young}`}`;
}

function releaseNamed(asked: string, { name }: TrlTrainer): string {
  const first = FIRST_RELEASE[name];
  const number = /^v?(\d+\.\d+)(\.\d+)?$/.exec(asked.trim())?.[1];
  const known = number === undefined ? -1 : releaseIndex(number);
  // Releases that were not read are read as the one before them.
  const [major, minor] = (number ?? "").split(".").map(Number);
  const isBetween = major === 1 && minor! > 9 && minor! < 16;
  const release = known >= 0 ? number! : isBetween ? "1.9" : undefined;
  if (release !== undefined && isSince(release, first)) return release;
  throw new ConfigError(
    `--trl-version ${asked}: expected a release of TRL from ${first} to ${NEWEST_RELEASE}; in 0.14 ` +
      "per_device_train_batch_size counts prompts, in every TRL since 0.15 completions.",
  );
}

/** The value that a release has: of the last entry that is not younger. */
function valueIn<T>(release: string, entries: readonly (readonly [since: string, value: T])[]): T {
  return entries.findLast(([since]) => isSince(release, since))![1];
}

function readingIn(version: string, because: string, settings: TrlSettings, { name }: TrlTrainer): TrlReading {
  const samples = name === "grpo" || name === "rloo";
  const countsPrompts = samples && !isSince(version, "0.15");
  return {
    version,
    because,
    batchCounts: countsPrompts ? "prompts" : "completions",
    wholeGroups: samples && !countsPrompts && !isSince(version, "0.18"),
    defaults: { ...sharedDefaults(version, settings), ...OWN_DEFAULTS[name](version) },
  };
}

/** GRPO's, as far as other trainers have no other. */
function sharedDefaults(version: string, settings: TrlSettings): TrlDefaults {
  const at = <T>(...entries: (readonly [string, T])[]) => valueIn(version, entries);
  // Before 0.16 TRL gave the sampler no top_k: transformers' own is 50, vLLM has none.
  const unsaid = isTrue(settings.written.get("use_vllm")) ? 0 : 50;
  return {
    per_device_train_batch_size: 8,
    gradient_accumulation_steps: 1,
    learning_rate: 1e-6,
    temperature: at(["0.9", 0.9], ["0.18", 1]),
    top_k: at(["0.9", unsaid], ["0.16", 50], ["0.18", 0]),
    beta: at(["0.9", 0.04], ["0.19", 0]),
    max_completion_length: at(["0.9", 256], ["1.16", 512]),
    loss_type: at(["0.9", "grpo"], ["0.16", "bnpo"], ["0.22", "dapo"]),
    use_bias_correction_kl: at(["0.9", false], ["1.16", true]),
    ref_model_mixup_alpha: at(["0.9", 0.9], ["0.16", 0.6]),
    ref_model_sync_steps: at(["0.9", 64], ["0.16", 512]),
  };
}

/** What a trainer has otherwise than GRPO. */
const OWN_DEFAULTS: Readonly<Record<TrlTrainer["name"], (version: string) => Partial<TrlDefaults>>> = {
  grpo: (version) =>
    isSince(version, "0.15") ? {} : { per_device_train_batch_size: 1, gradient_accumulation_steps: 8 },
  rloo: () => ({ beta: 0.05 }),
  // Before 0.12 transformers' own.
  sft: (version) => ({ learning_rate: isSince(version, "0.12") ? 2e-5 : 5e-5 }),
  reward: (version) => ({ learning_rate: isSince(version, "0.24") ? 1e-4 : 5e-5 }),
  distillation: () => ({ temperature: 1, max_completion_length: 512 }),
};

function isTrue(value: unknown): boolean {
  return value === true || (typeof value === "string" && ["true", "yes", "on"].includes(value.toLowerCase()));
}
