/** Opens the embedded engine on a checkpoint, with an adapter or packed weights where asked for. */

import { resolve } from "node:path";
import type { Compute } from "../../compute/compute.ts";
import { EngineError } from "../../errors.ts";
import { checkTiedHead, type OpenCheckpoint, openCheckpoint } from "../../model/checkpoint.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import { toBfloat16 } from "../../model/float-formats.ts";
import { initializeAdapter, type LoraConfig } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { loadPeftAdapter } from "../../model/peft-adapter.ts";
import { type Nf4Values, nf4From, type Quantization, quantizeNf4, storageOf } from "../../model/quantization.ts";
import type { Policy } from "../contract/policy.ts";
import { LocalEngine, type LocalEngineLimits } from "./local-engine.ts";
import { allocateBfloat16, allocateFloats, allocateNf4, type ModelValues } from "./weights.ts";

export interface LocalEngineOptions {
  readonly maxSlots?: number | undefined;
  readonly cacheBytes?: number | undefined;
  readonly microBatchTokens?: number | undefined;
  readonly logitChunkTokens?: number | undefined;
  readonly gradientCheckpointing?: boolean | undefined;
  /** Train a new adapter of this form; the model's own weights are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Directory of an adapter in PEFT's format: it is applied, and what training trains. */
  readonly adapter?: string | undefined;
  /** Hold the projections of the layers packed; they cannot be trained then. */
  readonly quantization?: Quantization | undefined;
  /** Root of an adapter's random numbers: its first values and its dropout; 0 by default. */
  readonly adapterSeed?: number | undefined;
}

/** Elements that are packed at once: whole blocks of every format. */
const PIECE_ELEMENTS = 2 ** 20;

const DEFAULT_LIMITS = { maxSlots: 256, cacheBytes: 2 ** 30, microBatchTokens: 2048 };

/**
 * An engine in this process for a model in the Hugging Face layout.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it; EngineError for an option
 * that cannot be, and for two adapters.
 */
export async function createLocalEngine(
  modelDirectory: string,
  compute: Compute,
  options: LocalEngineOptions = {},
): Promise<Policy> {
  const { lora, adapter, quantization, adapterSeed, ...limits } = options;
  if (lora && adapter !== undefined) {
    throw new EngineError(`Give either a new adapter (lora) or the one in ${adapter}, not both.`);
  }
  const [engine] = await openEngines(modelDirectory, compute, [{ lora, adapter, adapterSeed }], {
    quantization,
    limits,
  });
  return engine!;
}

/**
 * Engines in this process for several adapters of one model (directories; undefined: the model itself), whose weights are
 * read and held once. The model itself cannot be trained then.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it.
 */
export async function createEnginesOnOneBase(
  modelDirectory: string,
  compute: Compute,
  adapters: readonly (string | undefined)[],
  options: Omit<LocalEngineOptions, "lora" | "adapter" | "adapterSeed"> = {},
): Promise<readonly Policy[]> {
  const { quantization, ...limits } = options;
  const wanted = adapters.map((adapter) => ({ adapter }));
  return openEngines(modelDirectory, compute, wanted, { quantization, limits, sharesBase: true });
}

type AdapterOptions = Pick<LocalEngineOptions, "lora" | "adapter" | "adapterSeed">;

interface CommonOptions {
  readonly quantization: Quantization | undefined;
  readonly limits: { readonly [Limit in keyof LocalEngineLimits]?: LocalEngineLimits[Limit] | undefined };
  readonly sharesBase?: boolean;
}

async function openEngines(
  modelDirectory: string,
  compute: Compute,
  adapters: readonly AdapterOptions[],
  { quantization, limits, sharesBase = false }: CommonOptions,
): Promise<LocalEngine[]> {
  const checkpoint = await openCheckpoint(modelDirectory);
  const { config } = checkpoint;
  try {
    // Before the weights: an adapter that does not fit is told at once.
    const trained = [];
    for (const adapter of adapters) trained.push(await openAdapter(config, adapter));
    const base = await readWeights(checkpoint, { quantization });
    const device = await compute.device();
    const directory = resolve(modelDirectory);
    return trained.map((adapter, i) => {
      const form: WeightForm = { lora: adapter?.lora, quantization };
      const values = { model: base, adapter: adapter?.values };
      const dropoutSeed = adapters[i]!.adapterSeed ?? 0;
      const model = { config, form, values, directory, dropoutSeed, sharesBase };
      return new LocalEngine(device, model, { ...DEFAULT_LIMITS, ...definedOnly(limits) });
    });
  } finally {
    await checkpoint.close();
  }
}

/** Without the keys whose value is undefined. */
function definedOnly<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]: Exclude<T[K], undefined> };
}

async function openAdapter(
  config: ModelConfig,
  { lora, adapter, adapterSeed: seed = 0 }: AdapterOptions,
): Promise<{ readonly lora: LoraConfig; readonly values: ParameterValues } | undefined> {
  const allocate = allocateFloats;
  if (adapter !== undefined) return loadPeftAdapter(adapter, config, { allocate });
  return lora && { lora, values: initializeAdapter(config, lora, { seed, allocate }) };
}

/** The checkpoint's weights in the form in which they are held; what is packed passes through a small piece of memory. */
async function readWeights(checkpoint: OpenCheckpoint, { quantization }: WeightForm): Promise<ModelValues> {
  const { config, fileOf } = checkpoint;
  const piece = new Float32Array(quantization === undefined ? 0 : PIECE_ELEMENTS);
  const float32: ParameterValues = new Map();
  const bfloat16 = new Map<string, Uint16Array>();
  const nf4 = new Map<string, Nf4Values>();
  for (const spec of parameterSpecs(config)) {
    const { name, shape, checkpointName } = spec;
    const file = fileOf.get(checkpointName)!;
    const elements = elementCount(shape);
    const inPieces = async (pack: (values: Float32Array, first: number) => void) => {
      for (let first = 0; first < elements; first += piece.length) {
        const values = piece.subarray(0, Math.min(piece.length, elements - first));
        await file.readElements(checkpointName, first, values);
        pack(values, first);
      }
    };
    switch (storageOf(spec, quantization)) {
      case "float32": {
        const target = allocateFloats(elements);
        await file.readInto(checkpointName, target);
        float32.set(name, target);
        break;
      }
      case "bfloat16": {
        const target = allocateBfloat16(elements);
        await inPieces((values, first) => toBfloat16(values, target.subarray(first, first + values.length)));
        bfloat16.set(name, target);
        break;
      }
      case "nf4": {
        const target = allocateNf4(elements);
        await inPieces((values, first) => quantizeNf4(values, nf4From(target, first)));
        nf4.set(name, target);
      }
    }
  }
  await checkTiedHead(checkpoint);
  return { float32, bfloat16, nf4 };
}
