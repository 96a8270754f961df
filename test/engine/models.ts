/** Small models with odd sizes, written to temporary directories: what the tests of the embedded engine run on. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { type Program, Runtime } from "../../src/compute/runtime.ts";
import { LocalEngine, type LocalEngineLimits } from "../../src/engine/local/local-engine.ts";
import { allocateBfloat16, allocateFloats, allocateNf4, type ModelValues } from "../../src/engine/local/weights.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { saveModel } from "../../src/model/checkpoint.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { toBfloat16 } from "../../src/model/float-formats.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { initializeAdapter, type LoraConfig } from "../../src/model/lora.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { type ParameterValues, parameterSpecs } from "../../src/model/parameters.ts";
import { quantizeNf4, storageOf } from "../../src/model/quantization.ts";
import { Random } from "../../src/random.ts";

const BASE: ModelConfig = {
  architecture: "qwen3",
  vocabSize: 29,
  hiddenSize: 20,
  intermediateSize: 28,
  numLayers: 2,
  numHeads: 6,
  numKvHeads: 2,
  headDim: 8,
  maxContextTokens: 40,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 500,
  ropeScaling: null,
  tieWordEmbeddings: true,
  attentionBias: false,
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: true,
  bosTokenId: null,
  eosTokenIds: [1],
  padTokenId: null,
  generationDefaults: {},
};

/** Every switch of the configuration in both positions, head sizes of one and two vectors, grouped and single heads. */
export const MODELS = {
  "tied, query and key norms": BASE,
  "untied, biases, no norms, heads of 16": {
    ...BASE,
    architecture: "qwen2",
    tieWordEmbeddings: false,
    attentionBias: true,
    qkNorm: false,
    headDim: 16,
    numHeads: 3,
    numKvHeads: 3,
    hiddenSize: 24,
  },
  "scaled RoPE, biases everywhere, heads of 10": {
    ...BASE,
    architecture: "llama",
    tieWordEmbeddings: false,
    attentionBias: true,
    attentionOutputBias: true,
    mlpBias: true,
    qkNorm: false,
    headDim: 10,
    ropeScaling: {
      type: "llama3",
      factor: 4,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextTokens: 16,
    },
  },
} as const satisfies Record<string, ModelConfig>;

let root: Promise<string> | undefined;
let count = 0;

afterAll(async () => {
  if (root) await rm(await root, { recursive: true, force: true });
});

/** A new, empty directory that goes when the tests end. */
export async function emptyDirectory(): Promise<string> {
  root ??= mkdtemp(join(tmpdir(), "aha-engine-"));
  const directory = join(await root, `${count++}`);
  await mkdir(directory);
  return directory;
}

/** Weights that no symmetry hides anything in: norms are not 1, biases are not 0. */
export function modelValues(config: ModelConfig, seed = 1): ParameterValues {
  const init = { scheme: "scaled", embeddingStd: 0.25, gain: 1 } as const;
  const values = initializeParameters(config, { seed, init, allocate: allocateFloats });
  const random = new Random(seed, "perturbed");
  for (const [name, weights] of values) {
    if (!name.endsWith("Norm") && !name.endsWith("Bias")) continue;
    for (let i = 0; i < weights.length; i++) weights[i] = weights[i]! + 0.3 * random.normal();
  }
  return values;
}

/** Writes a model of these values. */
export async function writeModel(config: ModelConfig, values = modelValues(config)): Promise<string> {
  const directory = await emptyDirectory();
  await saveModel(directory, config, values);
  return directory;
}

/** An adapter that changes something: B is not zero. */
export function adapterValues(config: ModelConfig, lora: LoraConfig, seed = 1): ParameterValues {
  const values = initializeAdapter(config, lora, { seed, allocate: allocateFloats });
  const random = new Random(seed, "adapter");
  for (const [name, weights] of values) {
    if (name.endsWith("loraB")) for (let i = 0; i < weights.length; i++) weights[i] = 0.2 * random.normal();
  }
  return values;
}

/** The values in the form in which they are to be held. */
export function inForm(config: ModelConfig, values: ParameterValues, { quantization }: WeightForm): ModelValues {
  const [float32, bfloat16, nf4] = [new Map(), new Map(), new Map()] as const;
  for (const spec of parameterSpecs(config)) {
    const own = values.get(spec.name)!;
    const storage = storageOf(spec, quantization);
    if (storage === "float32") float32.set(spec.name, own);
    if (storage === "bfloat16") bfloat16.set(spec.name, packed(toBfloat16, own, allocateBfloat16(own.length)));
    if (storage === "nf4") nf4.set(spec.name, packed(quantizeNf4, own, allocateNf4(own.length)));
  }
  return { float32, bfloat16, nf4 };
}

function packed<T>(pack: (from: Float32Array, to: T) => void, values: Float32Array, target: T): T {
  pack(values, target);
  return target;
}

const programs = new Map<string, Program>();

/**
 * The process's runtime, which compiles a graph only once for all engines of a test file. A program has no weights and no
 * state, and compiling takes most of a small engine's time.
 */
function openRuntime(): Runtime {
  const runtime = Runtime.open(2);
  const compile: Runtime["compile"] = (graph, outputs) => {
    const { model, inputs, outputs: results, shapeInputs } = lowerToOnnx(graph, outputs);
    const key = createHash("sha256")
      .update(model)
      .update(JSON.stringify([inputs, results, shapeInputs]))
      .digest("hex");
    const program = programs.get(key) ?? runtime.compile(graph, outputs);
    programs.set(key, program);
    return bound(program, { dispose: () => {} });
  };
  return bound(runtime, { compile });
}

/** An object with some methods of another make; the others see the object itself, whose private fields they need. */
function bound<T extends object>(object: T, own: Partial<T>): T {
  return new Proxy(object, {
    get: (target, key) => {
      const value: unknown = own[key as keyof T] ?? target[key as keyof T];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** An engine on a model that need not be of an architecture that has a file format. */
export function openEngine(
  config: ModelConfig,
  values: ParameterValues = modelValues(config),
  limits: Partial<LocalEngineLimits> = {},
  form: WeightForm = {},
  adapter: ParameterValues | undefined = form.lora && adapterValues(config, form.lora),
): LocalEngine {
  const defaults = { maxSlots: 64, cacheBytes: 2 ** 28, microBatchTokens: 2048 };
  const model = {
    config,
    form,
    values: { model: inForm(config, values, form), adapter },
    directory: "/somewhere/base",
    dropoutSeed: 7,
  };
  return new LocalEngine(openRuntime(), model, { ...defaults, ...limits });
}
