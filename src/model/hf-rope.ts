/**
 * The RoPE part of `config.json`, in both of its spellings: `rope_theta` with `rope_scaling` (transformers 4) and
 * `rope_parameters` (transformers 5), read into a `ModelConfig`'s fields and written back.
 *
 * Both are written: each version of transformers silently ignores the other's keys, and would compute with the default
 * frequencies. A scaling that the decoder does not have is refused by its name, and so is a key of a scaling that is
 * not known, since it might change numbers.
 */

import { z } from "zod";
import { CheckpointError, nearestName } from "../errors.ts";
import type { ModelFamily } from "./families/family.ts";
import type { ModelConfig, RopeScaling } from "./model-config.ts";

const THETA_DEFAULT = 10_000;

const positive = z.number().positive();
const tokens = z
  .int()
  .min(1)
  .max(2 ** 26);

/** One `rope_scaling` or `rope_parameters`. */
const ropeSchema = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: z.number().nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: tokens.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: z.number().nonnegative().nullish(),
  beta_slow: z.number().nonnegative().nullish(),
  mscale: z.number().nonnegative().nullish(),
  mscale_all_dim: z.number().nonnegative().nullish(),
  truncate: z.boolean().nullish(),
});
type Rope = z.infer<typeof ropeSchema>;

/** `rope_parameters` of a family whose layers have two of them. */
const ropeByLayerType = z.looseObject({
  full_attention: ropeSchema.nullish(),
  sliding_attention: ropeSchema.nullish(),
});

/** The keys of `config.json` that say how positions are encoded; a part of the schema of the whole. */
export const ropeConfigShape = {
  rope_theta: positive.nullish(),
  rope_local_base_freq: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: z.intersection(ropeSchema, ropeByLayerType).nullish(),
  original_max_position_embeddings: tokens.nullish(),
} as const;

/** One RoPE's part of the keys above, and the context. */
interface HfRopeConfig {
  readonly rope_theta?: number | null | undefined;
  readonly rope_scaling?: Rope | null | undefined;
  readonly rope_parameters?: Rope | null | undefined;
  readonly original_max_position_embeddings?: number | null | undefined;
  readonly max_position_embeddings: number;
}

/** Keys that say nothing about a scaling. */
const COMMON_KEYS = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
const SCALING_KEYS: Readonly<Record<"default" | RopeScaling["type"], readonly string[]>> = {
  default: [],
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  yarn: [
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
  ],
};

/** θ and a scaling. */
type RopeSwitches = Pick<ModelConfig, "ropeTheta" | "ropeScaling">;

/**
 * The RoPE of a `config.json`, and that of local layers in a family which has such. Throws CheckpointError where keys
 * contradict each other or are not supported.
 */
export function ropesOf(
  hf: HfRopeConfig & {
    readonly rope_parameters?: (Rope & z.infer<typeof ropeByLayerType>) | null | undefined;
    readonly rope_local_base_freq?: number | null | undefined;
  },
  { defaultRopeTheta = THETA_DEFAULT, defaultLocalRopeTheta }: ModelFamily,
  where: string,
): RopeSwitches & Pick<ModelConfig, "localRope"> {
  if (defaultLocalRopeTheta === undefined) return { ...ropeOf(hf, defaultRopeTheta, where), localRope: null };
  const { full_attention, sliding_attention, ...others } = hf.rope_parameters ?? {};
  const strange = Object.keys(others)[0];
  if (strange !== undefined) {
    throw new CheckpointError(
      `${where}: rope_parameters has the key ${JSON.stringify(strange)}; expected full_attention and sliding_attention, each ` +
        "with {rope_type, rope_theta, …}.",
    );
  }
  const { max_position_embeddings, original_max_position_embeddings } = hf;
  const local = {
    rope_theta: hf.rope_local_base_freq,
    rope_parameters: sliding_attention,
    max_position_embeddings,
    original_max_position_embeddings,
  };
  return {
    ...ropeOf({ ...hf, rope_parameters: full_attention }, defaultRopeTheta, where),
    localRope: ropeOf(local, defaultLocalRopeTheta, `${where}, local layers`),
  };
}

/** One RoPE. */
function ropeOf(hf: HfRopeConfig, defaultTheta: number, where: string): RopeSwitches {
  const [old, fresh] = (["rope_scaling", "rope_parameters"] as const).map((key) => {
    const rope = hf[key];
    return rope ? { scaling: scalingOf(rope, hf, `${where}: ${key}`), theta: rope.rope_theta ?? undefined } : undefined;
  });
  if (old && fresh && JSON.stringify(old.scaling) !== JSON.stringify(fresh.scaling)) {
    throw new CheckpointError(
      `${where}: rope_scaling and rope_parameters ask for different positions; leave out the one that is wrong.`,
    );
  }
  const thetas: (readonly [string, number | undefined])[] = [
    ["rope_theta", hf.rope_theta ?? undefined],
    ["rope_scaling.rope_theta", old?.theta],
    ["rope_parameters.rope_theta", fresh?.theta],
  ];
  const [first, ...others] = thetas.filter(([, theta]) => theta !== undefined);
  for (const [key, theta] of others) {
    if (theta !== first![1])
      throw new CheckpointError(`${where}: ${first![0]} is ${first![1]}, but ${key} is ${theta}.`);
  }
  return { ropeTheta: first?.[1] ?? defaultTheta, ropeScaling: (fresh ?? old)?.scaling ?? null };
}

/** The RoPE keys of a `config.json`, for transformers 4 and 5. */
export function hfRopeOf(config: ModelConfig, { defaultLocalRopeTheta }: ModelFamily): Record<string, unknown> {
  const scalingOf = ({ ropeScaling }: RopeSwitches) => (ropeScaling === null ? null : hfScalingOf(ropeScaling));
  const parametersOf = (rope: RopeSwitches) => {
    return { rope_theta: rope.ropeTheta, ...(scalingOf(rope) ?? { rope_type: "default" }) };
  };
  const common = { rope_theta: config.ropeTheta, rope_scaling: scalingOf(config) };
  if (defaultLocalRopeTheta === undefined) return { ...common, rope_parameters: parametersOf(config) };
  const local = config.localRope ?? { ropeTheta: defaultLocalRopeTheta, ropeScaling: null };
  return {
    ...common,
    rope_local_base_freq: local.ropeTheta,
    rope_parameters: { full_attention: parametersOf(config), sliding_attention: parametersOf(local) },
  };
}

function scalingOf(rope: Rope, hf: HfRopeConfig, where: string): RopeScaling | null {
  for (const key of ["full_attention", "sliding_attention"]) {
    if (!(key in rope)) continue;
    throw new CheckpointError(
      `${where} by layer type (${key}) is not supported; expected {rope_type, rope_theta, …} for all layers.`,
    );
  }
  const partial = rope.partial_rotary_factor ?? 1;
  if (partial !== 1) {
    throw new CheckpointError(`${where}.partial_rotary_factor = ${partial} is not supported; only 1 is.`);
  }
  const type = rope.rope_type ?? rope.type ?? "default";
  const known = Object.keys(SCALING_KEYS);
  if (!isKnownType(type)) {
    const near = nearestName(type, known);
    const hint = near === undefined ? "" : ` Did you mean ${JSON.stringify(near)}?`;
    throw new CheckpointError(
      `${where} of type ${JSON.stringify(type)} is not supported; supported are ${known.join(", ")}.${hint}`,
    );
  }
  const keys = [...COMMON_KEYS, ...SCALING_KEYS[type]];
  const strange = Object.entries(rope).find(([key, value]) => !keys.includes(key) && value !== null);
  if (strange !== undefined) {
    throw new CheckpointError(
      `${where} has the key ${JSON.stringify(strange[0])}, which the type ${type} does not have.`,
    );
  }
  const required = (key: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[key];
    if (typeof value === "number") return value;
    throw new CheckpointError(`${where} of type ${type} needs a ${key}, a positive number.`);
  };
  // A key of this name beside rope_scaling counts before the one in it (Phi-3 has it there).
  const originalContextTokens =
    hf.original_max_position_embeddings ?? rope.original_max_position_embeddings ?? hf.max_position_embeddings;
  switch (type) {
    case "default":
      return null;
    case "linear":
      return { type, factor: required("factor") };
    case "llama3": {
      const lowFrequencyFactor = required("low_freq_factor");
      const highFrequencyFactor = required("high_freq_factor");
      if (highFrequencyFactor <= lowFrequencyFactor) {
        throw new CheckpointError(
          `${where}: high_freq_factor (${highFrequencyFactor}) must be above low_freq_factor (${lowFrequencyFactor}).`,
        );
      }
      return { type, factor: required("factor"), lowFrequencyFactor, highFrequencyFactor, originalContextTokens };
    }
    case "yarn": {
      const factor = required("factor");
      return {
        type,
        factor,
        originalContextTokens,
        attentionFactor: rope.attention_factor ?? yarnAttentionFactor(factor, rope),
        // As in transformers, 0 stands for the default too.
        betaFast: rope.beta_fast || 32,
        betaSlow: rope.beta_slow || 1,
        truncate: rope.truncate ?? true,
      };
    }
  }
}

function isKnownType(type: string): type is keyof typeof SCALING_KEYS {
  return Object.hasOwn(SCALING_KEYS, type);
}

/**
 * YaRN's √(1/t) = 0.1 · ln s + 1 (arXiv:2309.00071, equation 22), with DeepSeek's factors on the logarithm: the ratio of
 * that under `mscale` and under `mscale_all_dim`.
 */
function yarnAttentionFactor(factor: number, { mscale, mscale_all_dim }: Rope): number {
  const temperature = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscale_all_dim ? temperature(mscale) / temperature(mscale_all_dim) : temperature(1);
}

function hfScalingOf(scaling: RopeScaling): Record<string, unknown> {
  switch (scaling.type) {
    case "linear":
      return { rope_type: "linear", factor: scaling.factor };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContextTokens,
      };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContextTokens,
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        truncate: scaling.truncate,
      };
  }
}
