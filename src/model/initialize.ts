/**
 * Random weights for a new model, a pure function of (config, scheme, seed).
 *
 * `scaled` is for small models that are to learn in minutes: every linear map W [out, in] has the standard deviation
 * gain/√in, so that activations keep their size at any width, and the 2L maps that write to the residual stream are
 * divided by √(2L), so that its variance does not grow with depth (GPT-2; Radford et al. 2019, §2.3). `normal` is what
 * transformers does: one standard deviation for all. Gains of norms are 1 (w = 0 where they
 * multiply by 1 + w), biases 0, in both.
 *
 * Each tensor of the checkpoint has its own random stream, named by it: neither the order nor the fusing of matrices in
 * memory changes a weight.
 */

import { hashString, philox } from "../random.ts";
import type { Allocate } from "./checkpoint.ts";
import type { ModelConfig } from "./model-config.ts";
import { parameterKind, writesToResidual } from "./parameter-kinds.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "./parameters.ts";

/** How weights are drawn. */
export type InitScheme =
  | {
      readonly scheme: "scaled";
      /** Standard deviation of the embedding; 0.02. */
      readonly embeddingStd?: number;
      /** Of the linear maps: their standard deviation is gain/√in; 0.5. */
      readonly gain?: number;
    }
  | {
      readonly scheme: "normal";
      /** Standard deviation of every matrix; 0.02, transformers' `initializer_range`. */
      readonly std?: number;
    };

/** Random values for every parameter of `config`, in memory from `allocate` (the heap by default). */
export function initializeParameters(
  config: ModelConfig,
  options: { readonly seed: number; readonly init?: InitScheme; readonly allocate?: Allocate },
): ParameterValues {
  const { seed, init = { scheme: "scaled" }, allocate = (elements) => new Float32Array(elements) } = options;
  const values: ParameterValues = new Map();
  for (const parameter of parameterSpecs(config)) {
    values.set(parameter.name, initializeParameter(config, parameter, { seed, init, allocate }));
  }
  return values;
}

/** One parameter of what `initializeParameters` makes. */
export function initializeParameter(
  config: ModelConfig,
  { name, shape, checkpointName }: ParameterSpec,
  options: { readonly seed: number; readonly init?: InitScheme; readonly allocate?: Allocate },
): Float32Array {
  const { seed, init = { scheme: "scaled" }, allocate = (elements) => new Float32Array(elements) } = options;
  const value = allocate(elementCount(shape));
  const kind = parameterKind(name);
  if (kind === "norm") value.fill(config.offsetNorms ? 0 : 1);
  else if (kind === "bias") value.fill(0);
  else {
    const std = standardDeviation(init, config, name, shape);
    fillNormal(value, std, seed, `initialize/${checkpointName}`);
  }
  return value;
}

function standardDeviation(init: InitScheme, config: ModelConfig, name: string, shape: readonly number[]): number {
  if (init.scheme === "normal") return init.std ?? 0.02;
  if (parameterKind(name) === "embedding") return init.embeddingStd ?? 0.02;
  const std = (init.gain ?? 0.5) / Math.sqrt(shape[1]!);
  return writesToResidual(name) ? std / Math.sqrt(2 * config.numLayers) : std;
}

/**
 * Fills with N(0, std²): element 4b + i comes from block b of the stream. One Philox block has four words, and two words
 * make two normals (Box–Muller, both branches), so that no random bit is wasted: millions of weights a second.
 */
function fillNormal(target: Float32Array, std: number, seed: number, stream: string): void {
  const key = hashString(stream);
  for (let start = 0; start < target.length; start += 4) {
    const block = start / 4;
    const words = philox(seed, key, [block, Math.floor(block / 2 ** 32)]);
    for (let pair = 0; pair < 4; pair += 2) {
      // Half a step above 0, so that the logarithm is finite.
      const radius = std * Math.sqrt(-2 * Math.log((words[pair]! + 0.5) / 2 ** 32));
      const angle = (2 * Math.PI * words[pair + 1]!) / 2 ** 32;
      // Assignments beyond the end of the tensor have no effect.
      target[start + pair] = radius * Math.cos(angle);
      target[start + pair + 1] = radius * Math.sin(angle);
    }
  }
}
