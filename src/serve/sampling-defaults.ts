/**
 * The default sampling parameters of a model: its `generation_config.json`, of which the same keys are read as in vLLM
 * (temperature, top_p, top_k, min_p, repetition_penalty, max_new_tokens; `do_sample` does not). A server and a chat
 * begin with them; a request's own values, or options on the command line, win.
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import type { SamplingDefaults } from "./model-facts.ts";

const schema = z.looseObject({
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
  max_new_tokens: z.int().min(1).nullish(),
});

/** Defaults of sampling, and of the length of an answer. */
export interface GenerationDefaults extends SamplingDefaults {
  readonly maxTokens?: number;
}

/**
 * The defaults in the content of a generation_config.json (`ModelConfig.generationDefaults`). `source` is its path. Throws
 * CheckpointError for a value that cannot be.
 */
export function generationDefaultsOf(config: Readonly<Record<string, unknown>>, source: string): GenerationDefaults {
  const result = schema.safeParse(config);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    const found = JSON.stringify(config[String(path[0])])?.slice(0, 40);
    throw new CheckpointError(
      `${source}: ${path.join(".")} is ${found}: ${message}. Correct it, or ignore the file with --generation-config none.`,
    );
  }
  const { temperature, top_p, top_k, min_p, repetition_penalty, max_new_tokens } = result.data;
  const values = {
    temperature,
    topP: top_p,
    topK: top_k === null || top_k === undefined ? undefined : Math.max(top_k, 0),
    minP: min_p,
    repetitionPenalty: repetition_penalty,
    maxTokens: max_new_tokens,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined));
}

const NAMES: Readonly<Record<keyof GenerationDefaults, string>> = {
  temperature: "temperature",
  topP: "top_p",
  topK: "top_k",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
  maxTokens: "max_tokens",
};

/** For people: `temperature 0.7, top_p 0.8`; undefined where there are none. */
export function describeDefaults(defaults: GenerationDefaults): string | undefined {
  const parts = Object.entries(defaults).map(([key, value]) => `${NAMES[key as keyof GenerationDefaults]} ${value}`);
  return parts.length === 0 ? undefined : parts.join(", ");
}
