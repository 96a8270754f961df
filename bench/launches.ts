/**
 * `npm run bench -- launches`: what a GPU is asked for in a decoding step and in a training step, beside its arithmetic. Counted
 * on the CPU, by a device that lowers as for a GPU; no clock is read. None of it depends on the width of a model, so narrow
 * models of as many layers as real ones have stand for them.
 */

import { diskFolder } from "../src/disk-folder.ts";
import { folderStore } from "../src/engine/local/folder-store.ts";
import { limitsFrom } from "../src/engine/local/limits.ts";
import { LocalPolicy } from "../src/engine/local/local-policy.ts";
import { ModelWeights } from "../src/engine/local/weights.ts";
import { AhaError } from "../src/errors.ts";
import { toHalf } from "../src/float-formats.ts";
import { type LoweringTarget, ONNX_RUNTIME_CUDA, ONNX_RUNTIME_WEBGPU } from "../src/graph/target.ts";
import type { LossSpec } from "../src/losses/loss-spec.ts";
import { initializeParameters } from "../src/model/initialize.ts";
import { type ModelConfig, PLAIN_DECODER } from "../src/model/model-config.ts";
import { parameterSpecs } from "../src/model/parameters.ts";
import { type Counted, CountingDevice } from "./counting-device.ts";
import type { BenchOptions, Figures } from "./options.ts";

/** Layers of the recipe of `npm start`, of Qwen2.5-0.5B and of Qwen2.5-3B. */
const LAYERS = [2, 24, 36] as const;

/** Sequences that are decoded at once, and rows that are trained on. */
const ROWS = 4;
const PROMPT_TOKENS = 6;
/** Completions of two lengths: what the longer one takes more is that of its further steps. */
const STEPS = [3, 11] as const;

const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0, temperature: 1 } as LossSpec;
const ADAM = {
  ...{ learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 },
};

/** Devices whose lowering is counted. Of CUDA's, kernels for 16 bits are counted by programs in float32, in which it would not sample. */
const TARGETS: Readonly<Record<string, LoweringTarget>> = {
  webgpu: ONNX_RUNTIME_WEBGPU,
  cuda: { ...ONNX_RUNTIME_CUDA, attendsInHalfAlone: false },
};

/** A row for each device and number of layers. */
export async function benchLaunches({ threads }: Pick<BenchOptions, "threads">): Promise<Figures[]> {
  const rows: Figures[] = [];
  for (const device of Object.keys(TARGETS)) {
    for (const layers of LAYERS) rows.push(await countLaunches(device, layers, threads));
  }
  return rows;
}

/** What is asked of a device by its name, for a model of Qwen2's shape with so many layers. */
export async function countLaunches(name: string, layers: number, threads: number) {
  const target = TARGETS[name];
  if (target === undefined) throw new AhaError(`${name} is no device that launches are counted for`);
  const device = new CountingDevice(target, threads);
  const engine = await openModel(device, modelOf(layers));
  try {
    const decoding = await ofDecoding(engine, device);
    const data = dataOf(engine.info.vocabSize);
    // What is compiled and allocated at the first step is not a step's.
    await engine.step(data, GRPO, ADAM);
    const pass = await counting(device, () => engine.forwardBackward(data, GRPO));
    const norm = countingNorm(device);
    const update = await counting(device, () => engine.optimStep(ADAM));
    const ofAdamW = update.launches - norm.launches;
    // As trainers take it: both halves in one call.
    const step = await counting(device, () => engine.step(data, GRPO, ADAM));
    const tensors = parameterSpecs(modelOf(layers)).length;
    return {
      device: name,
      layers,
      "decoding: launches": decoding.launches,
      "bytes up a sequence": decoding.up / ROWS,
      "bytes down a sequence": decoding.down / ROWS,
      "waits in decoding": decoding.waits,
      "forward and backward": pass.launches,
      norm: norm.launches,
      AdamW: ofAdamW,
      "AdamW, a tensor": ofAdamW / tensors,
      "programs in training": step.programs,
      "bytes up in training": step.up,
      "bytes down in training": step.down,
      "waits in training": step.waits,
    } as const;
  } finally {
    await engine.dispose();
  }
}

/** Of one decoding step of all sequences. */
async function ofDecoding(engine: LocalPolicy, device: CountingDevice): Promise<Counted> {
  const sampled = (maxCompletionTokens: number) => {
    const tokens = Int32Array.from({ length: PROMPT_TOKENS }, (_, t) => t + 2);
    const params = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 1, iteration: 0, maxCompletionTokens };
    return counting(device, () => engine.sample([{ tokens, numSamples: ROWS, promptId: 0 }], params));
  };
  await sampled(STEPS[0]);
  const [short, long] = [await sampled(STEPS[0]), await sampled(STEPS[1])];
  const each = (name: keyof Counted) => (long[name] - short[name]) / (STEPS[1] - STEPS[0]);
  return {
    ...{ programs: each("programs"), launches: each("launches") },
    ...{ up: each("up"), down: each("down"), waits: each("waits") },
  };
}

async function counting(device: CountingDevice, work: () => Promise<unknown>): Promise<Counted> {
  const before = { ...device.counted };
  await work();
  const after = device.counted;
  return {
    ...{ programs: after.programs - before.programs, launches: after.launches - before.launches },
    ...{ up: after.up - before.up, down: after.down - before.down, waits: after.waits - before.waits },
  };
}

/** Launches of the next norm that is computed. */
function countingNorm(device: CountingDevice): { launches: number } {
  const { kernels, counted } = device;
  const own = kernels.norm.bind(kernels);
  const found = { launches: 0 };
  kernels.norm = async (tensors, others) => {
    const before = counted.launches;
    const result = await own(tensors, others);
    kernels.norm = own;
    found.launches = counted.launches - before;
    return result;
  };
  return found;
}

/** A narrow model with the layers' parts of Qwen2.5's. */
function modelOf(numLayers: number): ModelConfig {
  return {
    ...PLAIN_DECODER,
    ...{ architecture: "qwen2", vocabSize: 40, hiddenSize: 16, intermediateSize: 24, numLayers },
    ...{ numHeads: 2, numKvHeads: 1, headDim: 16, maxContextTokens: 64, rmsNormEpsilon: 1e-6 },
    ...{ ropeTheta: 1e6, ropeScaling: null, tieWordEmbeddings: true, attentionBias: true, qkNorm: false },
    ...{ attentionOutputBias: false, mlpBias: false, bosTokenId: null, eosTokenIds: [1], padTokenId: null },
    generationDefaults: {},
  };
}

async function openModel(device: CountingDevice, config: ModelConfig): Promise<LocalPolicy> {
  const values = initializeParameters(config, { seed: 0, init: { scheme: "scaled", embeddingStd: 0.25, gain: 1 } });
  const model = await ModelWeights.from(
    device,
    config,
    {},
    {
      float32: ({ name }, target) => target.set(values.get(name)!),
      half: ({ name }, target, dtype) => toHalf(dtype)(values.get(name)!, target),
      nf4: () => {
        throw new AhaError("nothing is packed here");
      },
    },
  );
  const local = { config, form: {}, weights: { model }, base: "", store: folderStore(diskFolder), dropoutSeed: 0 };
  return LocalPolicy.open(device, local, limitsFrom({ maxSlots: ROWS }));
}

function dataOf(vocabSize: number) {
  const promptTokens = Int32Array.from({ length: PROMPT_TOKENS }, (_, t) => t + 2);
  return Array.from({ length: ROWS }, (_, row) => {
    const length = 8;
    return {
      promptTokens,
      completionTokens: Int32Array.from({ length }, (_, t) => (5 * row + 3 * t + 2) % vocabSize),
      weights: new Float32Array(length).fill(1 / (ROWS * length)),
      advantages: new Float32Array(length).fill(row - 1.5),
      samplerLogprobs: new Float32Array(length).fill(-3),
    };
  });
}
