/**
 * The JSON bodies of the Tinker protocol: one schema for each request, which the server reads with and the client's types
 * come from. Members that are not here are passed over, as the protocol wants it. What Aha adds for its own clients stands
 * under the key `aha` (`aha-extension.ts`).
 */

import { z } from "zod";
import { ahaLoraSchema, ahaSampleSchema } from "./aha-extension.ts";

const id = z.string().min(1).max(200);
/** A name that a checkpoint is saved under. */
const checkpointName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,128}$/, "takes 1 to 128 letters, digits, dots, underscores and hyphens")
  .refine((name) => !/^\.+$/.test(name), "is not made of dots alone");
const seqId = z.int().min(0);
/** Clients number samples beyond 2^53, too (`exact-json.ts` keeps such a number). */
const sampleSeqId = z.union([z.int().min(0), z.bigint().min(0n)]);
const metadata = z.record(z.string().max(200), z.json()).nullish();
const ttlSeconds = z.int().min(1).max(315_360_000).nullish();
const tokens = z
  .array(
    z
      .int()
      .min(0)
      .max(2 ** 31 - 1),
  )
  .max(2 ** 24);

/** A part of a prompt. */
const chunk = z.union([
  z.object({ type: z.literal("encoded_text").optional(), tokens }),
  z.object({ type: z.enum(["image", "image_asset_pointer", "dmel"]) }),
]);

const samplingParams = z.object({
  max_tokens: z.int().min(0).nullish(),
  seed: z.union([z.int(), z.bigint()]).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(64), z.array(z.int().min(0)).max(1024)]).nullish(),
  temperature: z.number().min(0).default(1),
  top_k: z.int().min(-1).default(-1),
  top_p: z.number().gt(0).max(1).default(1),
});

/** α of an adapter where a request says nothing, as hosted servers have it. */
export const DEFAULT_LORA_ALPHA = 32;

/** Options of a client's first adapter. */
const loraConfig = z.object({
  rank: z.int().min(1),
  seed: z.int().nullish(),
  alpha: z.number().positive().nullish(),
  train_unembed: z.boolean().default(true),
  train_mlp: z.boolean().default(true),
  train_attn: z.boolean().default(true),
  aha: ahaLoraSchema.optional(),
});

const optimizerConfig = z.looseObject({ type: z.string() }).nullish();

const number = z.number();

/** What a custom loss takes of each datum: `logprobs` first, then entries of loss_fn_inputs, with their dimensions. */
export const CUSTOM_LOSS_INPUTS = z
  .array(
    z.object({
      name: z.string().regex(/^[a-z_][a-z0-9_]{0,63}$/, "takes up to 64 small letters, digits and underscores"),
      rank: z.int().min(0).max(2),
    }),
  )
  .min(1)
  .max(16);

/** The requests by the last part of their path. */
export const REQUESTS = {
  create_session: z.object({
    tags: z.array(z.string().max(200)).max(100).nullish(),
    user_metadata: metadata,
    sdk_version: z.string().max(100).nullish(),
    project_id: z.string().max(200).nullish(),
    display_name: z.string().max(200).nullish(),
  }),
  session_heartbeat: z.object({ session_id: id }),
  create_model: z.object({
    session_id: id,
    model_seq_id: seqId,
    base_model: z.string().min(1).max(500),
    user_metadata: metadata,
    lora_config: loraConfig.nullish(),
    optimizer_config: optimizerConfig,
  }),
  get_info: z.object({ model_id: id }),
  unload_model: z.object({ model_id: id }),
  optim_step: z.object({
    model_id: id,
    seq_id: seqId,
    adam_params: z
      .object({
        learning_rate: number,
        beta1: number.default(0.9),
        beta2: number.default(0.95),
        eps: number.default(1e-12),
        weight_decay: number.default(0),
        grad_clip_norm: number.default(0),
      })
      .nullish(),
    optimizer_params: z.looseObject({ type: z.string() }).nullish(),
  }),
  save_weights: z.object({
    model_id: id,
    seq_id: seqId,
    path: checkpointName.nullish(),
    overwrite: z.boolean().nullish(),
    ttl_seconds: ttlSeconds,
    user_metadata: metadata,
  }),
  load_weights: z.object({
    model_id: id.nullish(),
    seq_id: seqId.nullish(),
    session_id: id.nullish(),
    model_seq_id: seqId.nullish(),
    path: z.string().min(1).max(1000),
    optimizer: z.boolean(),
    base_model: z.string().max(500).nullish(),
    user_metadata: metadata,
    optimizer_config: optimizerConfig,
  }),
  save_weights_for_sampler: z.object({
    model_id: id,
    seq_id: seqId,
    path: checkpointName.nullish(),
    sampling_session_seq_id: seqId.nullish(),
    kind: z.enum(["snapshot", "inflight"]).default("snapshot"),
    overwrite: z.boolean().nullish(),
    ttl_seconds: ttlSeconds,
    user_metadata: metadata,
  }),
  create_sampling_session: z.object({
    session_id: id,
    sampling_session_seq_id: seqId,
    base_model: z.string().max(500).nullish(),
    model_path: z.string().max(1000).nullish(),
  }),
  join_sampling_session: z.object({ sampling_session_id: id }),
  asample: z.object({
    sampling_session_id: id,
    seq_id: sampleSeqId,
    num_samples: z.int().min(1).max(4096).default(1),
    prompt: z.object({ chunks: z.array(chunk).max(1024) }),
    sampling_params: samplingParams,
    prompt_logprobs: z.boolean().nullish(),
    topk_prompt_logprobs: z.int().min(0).max(1024).nullish(),
    topk_sample_logprobs: z.int().min(0).max(1024).nullish(),
    prompt_alt_tokens_k: z.int().min(0).nullish(),
    prompt_logprobs_last_n: z.int().min(1).nullish(),
    target_prompt_logprobs: z.unknown().optional(),
    record_stability_info: z.boolean().nullish(),
    aha: ahaSampleSchema.optional(),
  }),
  create_custom_loss: z.object({
    session_id: id,
    custom_loss_seq_id: seqId,
    name: z.string().min(1).max(200),
    inputs: CUSTOM_LOSS_INPUTS,
    /** What torch.fx traced; the server reads it from the text. */
    graph: z.looseObject({ nodes: z.array(z.json()) }),
  }),
  retrieve_future: z.object({ request_id: id, allow_metadata_only: z.boolean().nullish() }),
  cancel_future: z.object({ request_id: id }),
  weights_info: z.object({ tinker_path: z.string().min(1).max(1000) }),
} as const;

/** The name of a request. */
export type RequestName = keyof typeof REQUESTS;
/** A request as the server has it, defaults filled in. */
export type RequestBody<N extends RequestName> = z.output<(typeof REQUESTS)[N]>;
/** A request as a client writes it. */
export type RequestInput<N extends RequestName> = z.input<(typeof REQUESTS)[N]>;

/** What a failed request is answered with, in the place of its result. */
export const failureSchema = z.object({
  error: z.string(),
  category: z.enum(["user", "server", "unknown"]).catch("unknown"),
});
export type Failure = z.output<typeof failureSchema>;
