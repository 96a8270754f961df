/**
 * Every program that a device is given: the engine's, the reward model's and the device's own. The table of operations by
 * device and the bisection of WebGPU's numbers go through this one list; a test asks that every loss, every family of models
 * and every function that makes a graph is in it.
 */

import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { drawGraph } from "../../src/compute/draw-program.ts";
import { rowCopyGraph } from "../../src/compute/gpu/block-copy.ts";
import { elementKernelGraphs, roundingGraph } from "../../src/compute/graph-kernels.ts";
import { adamWGraph, squaresGraph } from "../../src/compute/joined-programs.ts";
import { joiningGraph } from "../../src/compute/joined-reads.ts";
import type { ProgramGraph } from "../../src/compute/program.ts";
import { rowSumsGraph } from "../../src/compute/row-sums.ts";
import { samplingGraph, sequenceGraph } from "../../src/engine/local/programs.ts";
import { pairGraph, scoringGraph } from "../../src/engine/local/reward-program.ts";
import { sharedPromptGraph } from "../../src/engine/local/shared-prompt-graph.ts";
import type { LoweringTarget } from "../../src/graph/target.ts";
import type { HalfDType } from "../../src/graph/tensor-type.ts";
import { engineLossNames } from "../../src/losses/engine-losses.ts";
import { KL_ESTIMATORS } from "../../src/losses/kl.ts";
import { isCrossEntropy, type LossSpec } from "../../src/losses/loss-spec.ts";
import { rowLimits } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";

/** One of the programs. */
export interface ListedProgram {
  readonly name: string;
  /** The function of src that makes it. */
  readonly madeBy: string;
  readonly graph: () => ProgramGraph;
  /** Sizes that the bisection takes in place of its own: new positions T of B sequences, … */
  readonly sizes?: Readonly<Record<string, number>>;
  /** The loss, or the architecture, where the program is in the list for it. */
  readonly loss?: string;
  readonly family?: string;
  /** Dtype of 16 bits: for targets that compute in it. */
  readonly half?: HalfDType;
  /** Which targets are given it; absent: all that have its dtype. */
  readonly runsOn?: (target: LoweringTarget) => boolean;
}

/** Whether a target is given the program. */
export function isGiven({ half, runsOn }: ListedProgram, target: LoweringTarget): boolean {
  return (half === undefined || target.computes.has(half)) && (runsOn?.(target) ?? true);
}

/** A small model with norms of queries and keys. */
const CONFIG: ModelConfig = {
  ...presetConfig("tiny", buildTokenizer("countdown-compact")),
  ...{ vocabSize: 29, hiddenSize: 20, intermediateSize: 28, numLayers: 2, numHeads: 6, numKvHeads: 2, headDim: 16 },
  qkNorm: true,
};
const LORA = { rank: 3, alpha: 6, dropout: 0.2, rsLora: false, targets: ALL_LORA_TARGETS };
const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const GRPO = { name: "grpo", temperature: 1, klCoef: 0.04 } as const satisfies LossSpec;
/** New positions of one prompt behind three that are in the cache. */
const PIECE = { B: 1, T: 9 };

/** Families as their golden checkpoints have them: every switch of a layer, and a model of each architecture without any. */
const GOLDEN = join(import.meta.dirname, "../golden");
const CHECKPOINTS = [
  ...(await readdir(join(GOLDEN, "families"))).sort().map((name) => `families/${name}`),
  ...["models/qwen2", "models/llama-scaled"],
];
const families: ReadonlyMap<string, ModelConfig> = new Map(
  await Promise.all(
    CHECKPOINTS.map(async (path) => [basename(path), (await loadModel(join(GOLDEN, path))).config] as const),
  ),
);

function* samplingPrograms(): Generator<ListedProgram> {
  const madeBy = "samplingGraph";
  yield { name: "sampling", madeBy, graph: () => samplingGraph(CONFIG) };
  // So wide that the matrices are left operands where rows are few.
  const wide = { ...CONFIG, hiddenSize: 512, numLayers: 1 };
  const mostRows = rowLimits(wide, {})[0]!;
  yield { name: "sampling, few rows", madeBy, graph: () => samplingGraph(wide, {}, { mostRows }) };
  yield { name: "a piece of a prompt", madeBy, graph: () => samplingGraph(CONFIG), sizes: PIECE };
  yield { name: "sampling, scored", madeBy, graph: () => samplingGraph(CONFIG, {}, { scored: true }) };
  const form = { lora: LORA, quantization: "nf4" } as const;
  yield { name: "sampling, packed weights and an adapter", madeBy, graph: () => samplingGraph(CONFIG, form) };
  yield {
    name: "sampling, shared prompts",
    madeBy: "sharedPromptGraph",
    graph: () => sharedPromptGraph(CONFIG, {}),
    runsOn: ({ lacks }) => !lacks.has("GroupQueryAttention.scores"),
  };
}

/** Each loss by itself, with what may stand beside it, and in every form of the sequence program. */
function* sequencePrograms(): Generator<ListedProgram> {
  const madeBy = "sequenceGraph";
  const one = (name: string, ...args: Tail<Parameters<typeof sequenceGraph>>): ListedProgram => ({
    ...{ name, madeBy, graph: () => sequenceGraph(CONFIG, ...args) },
    ...(args[0] && { loss: args[0].name }),
  });
  yield one("scoring", null);
  yield one("scoring, logits in chunks", null, { chunked: true });
  for (const name of engineLossNames()) {
    const loss = { name, temperature: 1, klCoef: 0 } as LossSpec;
    yield one(name, loss);
    if (isCrossEntropy(loss)) continue;
    for (const klEstimator of KL_ESTIMATORS)
      yield one(`${name}, ${klEstimator}`, { ...loss, klCoef: 0.04, klEstimator });
  }
  yield one("grpo, the divergence's own gradient", { ...GRPO, klBiasCorrection: true });
  yield one("grpo, an entropy bonus", { ...GRPO, entropyBonus: true });
  yield one("grpo on kept tokens", GRPO, { restricted: true });
  yield one("grpo, logits in chunks", { ...GRPO, entropyBonus: true }, { chunked: true });
  yield one("grpo on kept tokens, logits in chunks", GRPO, { chunked: true, restricted: true });
  yield one("gradient checkpointing", CROSS_ENTROPY, { recompute: true });
  yield one("noise on embeddings", { ...CROSS_ENTROPY, embeddingNoise: { alpha: 5, seed: 3 } });
  yield one("an adapter with dropout", CROSS_ENTROPY, { form: { lora: LORA } });
  const packed = { form: { lora: LORA, quantization: "nf4" } } as const;
  yield one("packed weights and an adapter", CROSS_ENTROPY, packed);
  yield one("packed weights and an adapter, gradient checkpointing", GRPO, { ...packed, recompute: true });
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;

function* familyPrograms(): Generator<ListedProgram> {
  for (const [model, config] of families) {
    const own = { family: config.architecture, sizes: PIECE };
    const training = () => sequenceGraph(config, CROSS_ENTROPY);
    yield {
      ...own,
      name: `a piece of a prompt, ${model}`,
      madeBy: "samplingGraph",
      graph: () => samplingGraph(config),
    };
    yield { ...own, name: `cross_entropy, ${model}`, madeBy: "sequenceGraph", graph: training };
  }
}

function* rewardPrograms(): Generator<ListedProgram> {
  const sizes = { B: 4, T: 6, Q: 2 };
  for (const [model, config] of [
    ["", CONFIG],
    [", gemma3-odd", families.get("gemma3-odd")!],
  ] as const) {
    yield { name: `rewards${model}`, madeBy: "scoringGraph", graph: () => scoringGraph(config), sizes };
    yield { name: `pairs${model}`, madeBy: "pairGraph", graph: () => pairGraph(config, false), sizes };
  }
  yield { name: "pairs, gradient checkpointing", madeBy: "pairGraph", graph: () => pairGraph(CONFIG, true), sizes };
}

/** The device's own: optimizer, norm, draws, copies, reads. */
function* devicePrograms(): Generator<ListedProgram> {
  for (const count of [1, 7]) {
    yield { name: `AdamW of ${count}`, madeBy: "adamWGraph", graph: () => adamWGraph(count, false) };
    yield { name: `AdamW of ${count} that decay`, madeBy: "adamWGraph", graph: () => adamWGraph(count, true) };
    yield { name: `squares of ${count}`, madeBy: "squaresGraph", graph: () => squaresGraph(count) };
  }
  yield { name: "reads of 7", madeBy: "joiningGraph", graph: () => joiningGraph(7) };
  // Whole blocks of 128 tokens, and a last one that is not.
  for (const vocabSize of [256, 1000]) {
    const name = `of ${vocabSize} tokens`;
    yield { name: `draws ${name}`, madeBy: "drawGraph", graph: () => drawGraph(vocabSize) };
    yield { name: `sums ${name}`, madeBy: "rowSumsGraph", graph: () => rowSumsGraph(vocabSize) };
  }
  yield { name: "copies of rows", madeBy: "rowCopyGraph", graph: () => rowCopyGraph() };
  for (const [name, graph] of Object.entries(elementKernelGraphs())) {
    yield { name, madeBy: "kernelGraph", graph: () => graph };
  }
}

/** Programs whose trunk computes in 16 bits. */
function* halfPrograms(half: HalfDType): Generator<ListedProgram> {
  const form = { dtype: half };
  const packed = { form: { ...form, lora: LORA, quantization: "nf4" } } as const;
  const sequence = (...args: Tail<Parameters<typeof sequenceGraph>>) => ({
    ...{ half, madeBy: "sequenceGraph", graph: () => sequenceGraph(CONFIG, ...args) },
  });
  const sampled = () => samplingGraph(CONFIG, form, { cacheDType: half });
  yield { name: `sampling in ${half}`, madeBy: "samplingGraph", graph: sampled, half };
  yield { name: `grpo in ${half}`, ...sequence(GRPO, { form, recompute: true }) };
  yield { name: `packed weights and an adapter in ${half}`, ...sequence(CROSS_ENTROPY, packed) };
  yield { name: `pairs in ${half}`, madeBy: "pairGraph", graph: () => pairGraph(CONFIG, false, half), half };
  yield { name: `copies of rows in ${half}`, madeBy: "rowCopyGraph", graph: () => rowCopyGraph(half), half };
  yield { name: `rounding to ${half}`, madeBy: "roundingGraph", graph: () => roundingGraph(half), half };
}

/** The list. */
export const EVERY_PROGRAM: readonly ListedProgram[] = [
  ...samplingPrograms(),
  ...sequencePrograms(),
  ...familyPrograms(),
  ...rewardPrograms(),
  ...devicePrograms(),
  ...halfPrograms("bfloat16"),
  ...halfPrograms("float16"),
];
