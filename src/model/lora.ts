/**
 * Low-rank adaptation (Hu et al., LoRA, arXiv:2106.09685): beside a frozen matrix W [out, in] a pair A [r, in], B [out, r]
 * is trained, and the map is y = x·Wᵀ + s·(dropout(x)·Aᵀ)·Bᵀ with s = α/r, or α/√r (Kalajdzievski, rsLoRA,
 * arXiv:2312.03732). B starts at zero, so an adapter that was never trained changes nothing.
 *
 * This file is what an adapter is: its settings, its parameters, their first values. How the decoder applies it is
 * `decoder-parameters.ts`, PEFT's files are `peft-adapter.ts`, folding it into W is `merge.ts`.
 */

import { hashString, philox } from "../random.ts";
import type { Allocate } from "./checkpoint.ts";
import type { ModelConfig } from "./model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "./parameters.ts";

/** The projections that can have an adapter, by the names that Hugging Face gives them; here, what Aha calls them. */
export const LORA_TARGETS = {
  q_proj: "q",
  k_proj: "k",
  v_proj: "v",
  o_proj: "attnOut",
  gate_proj: "gate",
  up_proj: "up",
  down_proj: "mlpDown",
} as const;

export type LoraTarget = keyof typeof LORA_TARGETS;

/** Every target, in the order of a layer. */
export const ALL_LORA_TARGETS = Object.keys(LORA_TARGETS) as LoraTarget[];

/** The targets of the attention. */
export const ATTENTION_TARGETS: readonly LoraTarget[] = ["q_proj", "k_proj", "v_proj", "o_proj"];
/** The targets of the MLP. */
export const MLP_TARGETS: readonly LoraTarget[] = ["gate_proj", "up_proj", "down_proj"];

export interface LoraConfig {
  /** r: rows of A, columns of B. */
  readonly rank: number;
  /** α. */
  readonly alpha: number;
  /** Probability that an element of A's input is dropped, in training alone. */
  readonly dropout: number;
  /** s = α/√r instead of α/r. */
  readonly rsLora: boolean;
  /** Projections with an adapter, in every layer unless `modules` says otherwise; at least one. */
  readonly targets: readonly LoraTarget[];
  /**
   * Where not every layer has an adapter of that rank and α, as PEFT's layers_to_transform, rank_pattern and alpha_pattern
   * have it: the parameters that have one (`layers.3.q`), each with its own. Absent where all are alike.
   */
  readonly modules?: Readonly<Record<string, LoraShape>>;
}

/** What may differ from one adapted parameter to the next. */
export type LoraShape = Pick<LoraConfig, "rank" | "alpha">;

/** s, the factor of B·A. */
export function loraScale({ rank, alpha, rsLora }: Pick<LoraConfig, "rank" | "alpha" | "rsLora">): number {
  return alpha / (rsLora ? Math.sqrt(rank) : rank);
}

/** Name of a parameter's A. */
export const loraA = (parameter: string): string => `${parameter}.loraA`;
/** Name of a parameter's B. */
export const loraB = (parameter: string): string => `${parameter}.loraB`;

/** A matrix of the base and the two of its adapter. */
export interface AdaptedParameter {
  readonly base: ParameterSpec;
  readonly a: ParameterSpec; // [r, in]
  readonly b: ParameterSpec; // [out, r]
  readonly rank: number;
  /** s of this one. */
  readonly scale: number;
}

/** What the adapter adapts, in the base's order; `checkpointName` is PEFT's. */
export function adaptedParameters(config: ModelConfig, lora: LoraConfig): AdaptedParameter[] {
  const { targets, rsLora, modules } = lora;
  const parts = new Set<string>(targets.map((target) => LORA_TARGETS[target]));
  return parameterSpecs(config)
    .filter(({ name }) => name.startsWith("layers.") && parts.has(name.slice(name.lastIndexOf(".") + 1)))
    .filter(({ name }) => modules === undefined || Object.hasOwn(modules, name))
    .map((base) => {
      const [rows, columns] = base.shape as [number, number];
      const { rank, alpha } = modules?.[base.name] ?? lora;
      const module = `base_model.model.${base.checkpointName.replace(/\.weight$/, "")}`;
      return {
        base,
        a: { name: loraA(base.name), checkpointName: `${module}.lora_A.weight`, shape: [rank, columns] },
        b: { name: loraB(base.name), checkpointName: `${module}.lora_B.weight`, shape: [rows, rank] },
        rank,
        scale: loraScale({ rank, alpha, rsLora }),
      };
    });
}

/** The adapter's parameters, in the order in which they are stored and updated. */
export function adapterSpecs(config: ModelConfig, lora: LoraConfig): ParameterSpec[] {
  return adaptedParameters(config, lora).flatMap(({ a, b }) => [a, b]);
}

/**
 * An adapter that changes nothing yet, as PEFT starts one: A uniform in ±1/√in (Kaiming with slope √5), B zero. A pure
 * function of (config, lora, seed); each A has a random stream of its own.
 */
export function initializeAdapter(
  config: ModelConfig,
  lora: LoraConfig,
  options: { readonly seed: number; readonly allocate?: Allocate },
): ParameterValues {
  const { seed, allocate = (elements) => new Float32Array(elements) } = options;
  const values: ParameterValues = new Map();
  for (const { a, b } of adaptedParameters(config, lora)) {
    const first = allocate(elementCount(a.shape));
    const stream = hashString(`initialize/${a.checkpointName}`);
    const bound = 1 / Math.sqrt(a.shape[1]!);
    for (let i = 0; i < first.length; i += 4) {
      // Assignments beyond the end of the tensor have no effect.
      philox(seed, stream, [i / 4]).forEach((word, j) => {
        first[i + j] = bound * ((2 * (word + 0.5)) / 2 ** 32 - 1);
      });
    }
    values.set(a.name, first);
    values.set(b.name, allocate(elementCount(b.shape)).fill(0));
  }
  return values;
}
