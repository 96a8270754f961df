/** Small models with odd sizes, written to temporary directories: what the tests of the embedded engine run on. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device, Session } from "../../src/compute/device.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { folderStore } from "../../src/engine/local/folder-store.ts";
import { type GivenLimits, limitsFrom } from "../../src/engine/local/limits.ts";
import { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import { DenseWeights, ModelWeights } from "../../src/engine/local/weights.ts";
import { toHalf } from "../../src/float-formats.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { adapterSpecs, initializeAdapter, type LoraConfig } from "../../src/model/lora.ts";
import { type ModelConfig, PLAIN_DECODER } from "../../src/model/model-config.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import type { ParameterSpec, ParameterValues } from "../../src/model/parameters.ts";
import { quantizeNf4 } from "../../src/model/quantization.ts";
import { Random } from "../../src/random.ts";

const BASE: ModelConfig = {
  ...PLAIN_DECODER,
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
  const values = initializeParameters(config, { seed, init });
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
  const values = initializeAdapter(config, lora, { seed });
  const random = new Random(seed, "adapter");
  for (const [name, weights] of values) {
    if (name.endsWith("loraB")) for (let i = 0; i < weights.length; i++) weights[i] = 0.2 * random.normal();
  }
  return values;
}

const known = new Map<string, Session>();

/**
 * A device of this process, which compiles a model only once for all engines of a test file. A compiled model has no weights
 * and no state, and compiling takes most of a small engine's time.
 */
export function withKnownSessions(device: Device): Device {
  const load: Device["load"] = async (lowered) => {
    const key = createHash("sha256")
      .update(lowered.model)
      .update(JSON.stringify([device.name, lowered.inputs, lowered.outputs, lowered.shapeInputs]))
      .digest("hex");
    const session = known.get(key) ?? (await device.load(lowered));
    known.set(key, session);
    return { bind: (inputs, outputs) => session.bind(inputs, outputs), dispose: () => {} };
  };
  return new Proxy(device, {
    get: (target, key) => {
      const value: unknown = key === "load" ? load : target[key as keyof Device];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/**
 * An engine on a model that need not be of an architecture that has a file format. Afterwards `values` and `adapter` have
 * the engine's own memory, where that is the host's and not packed: what training changes is seen in them, and the other way
 * round.
 */
export async function openEngine(
  config: ModelConfig,
  values: ParameterValues = modelValues(config),
  limits: GivenLimits = {},
  form: WeightForm = {},
  adapter: ParameterValues | undefined = form.lora && adapterValues(config, form.lora),
  device: Device = CpuDevice.open(2),
): Promise<LocalPolicy> {
  const own = withKnownSessions(device);
  const given = ({ name }: ParameterSpec) => values.get(name)!;
  const model = await ModelWeights.from(own, config, form, {
    float32: (spec, target) => target.set(given(spec)),
    half: (spec, target, dtype) => toHalf(dtype)(given(spec), target),
    nf4: (spec, target) => quantizeNf4(given(spec), target),
  });
  const trained =
    form.lora &&
    (await DenseWeights.from(own, adapterSpecs(config, form.lora), ({ name }, target) =>
      target.set(adapter!.get(name)!),
    ));
  const share = (weights: DenseWeights, shared: ParameterValues) => {
    for (const [name, tensor] of weights.masters) {
      const memory = device.hostMemory(tensor);
      if (memory) shared.set(name, memory);
    }
  };
  share(model.dense, values);
  if (trained) share(trained, adapter!);
  const weights = { model, adapter: trained };
  const local = { config, form, weights, base: "/somewhere/base", store: folderStore(diskFolder), dropoutSeed: 7 };
  return LocalPolicy.open(own, local, limitsFrom({ maxSlots: 64, cacheBytes: 2 ** 28, ...limits }));
}
