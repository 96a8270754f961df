/**
 * What Aha's client tells Aha's server beyond the Tinker protocol, so that a run over the wire is the run of an engine in
 * one process, bit for bit: the exact form of an adapter, the place of a draw in the random stream, which prompts were
 * sampled or scored together, what of a distribution is reported, and losses by their own specs. A server that has it says so in
 * get_server_capabilities (`aha`); requests without it mean what they mean everywhere.
 *
 * Of forward_backward: the loss `aha`, whose configuration has the spec as JSON (`spec`; absent: data are scored), the
 * temperature of a score, and the sampling session that is to score (`sampler`); data with `prompt_length`, and by name the
 * columns that the spec reads.
 */

import { z } from "zod";

/** Which extension this is: a server of another version is used without it. */
export const AHA_EXTENSION = 1;

/** The loss that stands for a spec of Aha's, or for a score. */
export const AHA_LOSS = "aha";

/** The columns of a datum that specs read: what the engine contract calls them, and their names on the wire. */
export const AHA_COLUMNS = [
  ["weights", "weights"],
  ["advantages", "advantages"],
  ["samplerLogprobs", "logprobs"],
  ["refLogprobs", "ref_logprobs"],
  ["entropyWeights", "entropy_weights"],
] as const;

/** Of an adapter. */
export const ahaLoraSchema = z.object({
  alpha: z.number().positive(),
  dropout: z.number().min(0).lt(1),
  rs_lora: z.boolean(),
  targets: z.array(z.string().max(50)).min(1).max(16),
});

/** Of a request to sample. */
export const ahaSampleSchema = z.object({
  iteration: z.int(),
  prompt_id: z.int(),
  /** The first sample's number; 0 if absent. */
  sample_index: z.int().min(0).optional(),
  min_p: z.number().min(0).max(1).optional(),
  min_tokens: z.int().min(0).optional(),
  kept_tokens: z.boolean().optional(),
  /** Temperature of the log-probabilities that are reported; that of the draw if absent. */
  logprob_temperature: z.number().positive().optional(),
  bias: z
    .array(z.tuple([z.int().min(0), z.number()]))
    .max(65_536)
    .optional(),
  repetition_penalty: z.number().optional(),
  frequency_penalty: z.number().optional(),
  presence_penalty: z.number().optional(),
  /** Nothing is sampled: the tokens after the first so many are scored at this temperature. With a `call`. */
  score: z.object({ prompt_length: z.int().min(0), temperature: z.number().positive() }).optional(),
  /** Prompts that are sampled, or scored, in one call: they are computed together, when all of them are there. */
  call: z
    .object({ id: z.string().min(1).max(100), index: z.int().min(0), size: z.int().min(1).max(65_536) })
    .optional(),
});

/** What a server says of itself in get_server_capabilities. */
export const ahaServerSchema = z.object({
  extension: z.int(),
  models: z.record(
    z.string(),
    z.object({
      vocab_size: z.int().min(1),
      max_context_tokens: z.int().min(1),
      eos_token_ids: z.array(z.int()),
      parameter_count: z.int().optional(),
    }),
  ),
});
