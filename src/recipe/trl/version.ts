/**
 * Which TRL a recipe was written for. Its keys hardly changed over the years, but what they mean did:
 *
 *                                        0.14 (January 2025)     1.16
 *     per_device_train_batch_size counts prompts                 completions
 *     so one optimizer step is on        that × G completions    that many
 *     temperature, if not given          0.9                     1.0
 *     top_k, if not given                50 (0 with vLLM)        0
 *     beta, if not given                 0.04                    0
 *     the mean of the loss               over each completion    over all tokens
 *     the KL term                        as it is                times the ratio
 *     reference sync, if asked for       0.9 every 64 steps      0.6 every 512
 *
 * Read in the packages trl 0.14.0, 0.15.2, 0.16.1, 0.17.0, 0.19.1, 0.21.0, 0.23.1, 0.24.0, 0.26.2, 1.0.0 and 1.16: the
 * count changed with 0.15, `vllm_device` and its like went between 0.17 and 0.19, temperature and beta changed with them.
 * Mini-R1 pins trl 0.14.0. unlock-deepseek names no version, but its larger variant (two training processes, one
 * prompt each, eight generations) runs only where the size counts prompts.
 *
 * What it is not: a table of every release. There are these two readings, and a recipe that means a third can say so by
 * giving the keys above.
 */

import { ConfigError } from "../../errors.ts";
import type { TrlSettings } from "./settings.ts";

/** The readings, by version of TRL. */
export const TRL_VERSIONS = ["0.14", "1.16"] as const;

export type TrlVersionName = (typeof TRL_VERSIONS)[number];

/** Keys that TRL had up to 0.17 and no later version knows. */
const OLD_KEYS = ["vllm_device", "vllm_dtype", "vllm_max_model_len", "vllm_enable_prefix_caching"] as const;

/** What TRL takes for keys that are not given, where versions differ. */
export interface TrlDefaults {
  readonly per_device_train_batch_size: number;
  readonly gradient_accumulation_steps: number;
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
  readonly version: TrlVersionName;
  /** Why this one: a clause for people. */
  readonly because: string;
  /** What `per_device_train_batch_size` counts. */
  readonly batchCounts: "prompts" | "completions";
  readonly defaults: TrlDefaults;
}

/**
 * The reading for a recipe: the one that was asked for, else 0.14 where the file has one of the keys that went, else
 * 1.16.
 *
 * @throws ConfigError for an unknown version
 */
export function readingOf(settings: TrlSettings, asked: string | undefined): TrlReading {
  if (asked !== undefined) return reading(versionNamed(asked), "as --trl-version says", settings);
  const old = OLD_KEYS.find((key) => settings.written.has(key));
  if (old !== undefined) return reading("0.14", `the file has ${old}, which TRL had up to 0.17`, settings);
  return reading("1.16", "the file has none of the keys that went with 0.18", settings);
}

function versionNamed(asked: string): TrlVersionName {
  const found = TRL_VERSIONS.find((version) => version === asked);
  if (found !== undefined) return found;
  throw new ConfigError(
    `--trl-version ${asked}: there are two readings, 0.14 (per_device_train_batch_size counts prompts) and 1.16 (it ` +
      "counts completions, as in every TRL since 0.15).",
  );
}

function reading(version: TrlVersionName, because: string, settings: TrlSettings): TrlReading {
  switch (version) {
    case "0.14":
      return {
        version,
        because,
        batchCounts: "prompts",
        defaults: {
          per_device_train_batch_size: 1,
          gradient_accumulation_steps: 8,
          temperature: 0.9,
          // transformers' GenerationConfig has 50 where TRL gives it nothing; vLLM has no limit.
          top_k: isTrue(settings.written.get("use_vllm")) ? 0 : 50,
          beta: 0.04,
          max_completion_length: 256,
          loss_type: "grpo",
          use_bias_correction_kl: false,
          ref_model_mixup_alpha: 0.9,
          ref_model_sync_steps: 64,
        },
      };
    case "1.16":
      return {
        version,
        because,
        batchCounts: "completions",
        defaults: {
          per_device_train_batch_size: 8,
          gradient_accumulation_steps: 1,
          temperature: 1,
          top_k: 0,
          beta: 0,
          max_completion_length: 512,
          loss_type: "dapo",
          use_bias_correction_kl: true,
          ref_model_mixup_alpha: 0.6,
          ref_model_sync_steps: 512,
        },
      };
  }
}

function isTrue(value: unknown): boolean {
  return value === true || (typeof value === "string" && ["true", "yes", "on"].includes(value.toLowerCase()));
}
