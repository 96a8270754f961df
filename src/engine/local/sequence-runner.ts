/**
 * Runs the sequence program over micro-batches: lays tokens out, feeds them, and brings per-token results back to the
 * data that they belong to.
 */

import { NativeScope } from "../../compute/native-scope.ts";
import type { DeviceTensor, Program, Runtime } from "../../compute/runtime.ts";
import { EngineError } from "../../errors.ts";
import { type LossSpec, lossTemperature } from "../../losses/loss-spec.ts";
import { rotaryTables } from "../../model/decoder.ts";
import { DROPOUT_INPUT, dropoutSites, type WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { Datum, ForwardBackwardResult } from "../contract/policy.ts";
import type { ScoreDatum, ScoreResult } from "../contract/sampler.ts";
import { type LossColumn, lossColumns } from "./completion-loss.ts";
import { dropoutWords, type TrainingMoment } from "./dropout-words.ts";
import { noiseInputs } from "./embedding-noise.ts";
import { type MicroBatch, planMicroBatches } from "./micro-batches.ts";
import { gradientName, NOISE_INPUTS, type SequenceForm, sequenceGraph } from "./programs.ts";
import { chunkedLayout, paddedLayout, type TokenLayout } from "./token-layout.ts";
import type { OptimizerState, Weights } from "./weights.ts";

/** Added to the score of a position that must not be attended to: its probability is exactly 0 in f32. */
const MASKED = -1e9;

/** What bounds the memory of a run; results do not depend on it beyond rounding. */
export interface SequenceLimits {
  /** Token positions of a micro-batch. */
  readonly microBatchTokens: number;
  /** Completion tokens that have their logits in memory at once; by default as many as fit into 128 MiB, or into 64 where
   * weights are packed. */
  readonly logitChunkTokens?: number;
  /** Training keeps of each layer its input alone and computes the layer again in the backward pass; not by default. */
  readonly gradientCheckpointing?: boolean;
}

/**
 * Bytes of a chunk of logits, where nothing else was asked for; a step has about four tensors of that size at once. At the
 * head of Qwen2.5-0.5B (a chunk of 220 tokens) that is as fast as whole logits, where half of it takes a third longer:
 * the weights are read once for each chunk.
 */
const LOGIT_BYTES = 128 * 2 ** 20;
/** Where weights are packed, memory was worth time to whoever asked for it: half of that. */
const LOGIT_BYTES_PACKED = LOGIT_BYTES / 2;

/** One call: what the program computes, what it is fed, and what becomes of its results. */
interface SequenceJob {
  readonly weights: Weights;
  readonly data: readonly (ScoreDatum & Partial<Datum>)[];
  readonly temperature: number;
  readonly loss: LossSpec | null;
  /** With a loss: where in the streams of random numbers it stands, and the root of those of an adapter's dropout. */
  readonly moment?: TrainingMoment & { readonly dropoutSeed: number };
  /** Where outputs of the next micro-batch go that have memory of their own. */
  readonly fetches?: () => ReadonlyMap<string, DeviceTensor>;
  /** Called after each micro-batch, while its results are there. */
  readonly onBatch?: (results: ReadonlyMap<string, DeviceTensor>) => void;
}

export class SequenceRunner {
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #form: WeightForm;
  readonly #budgetTokens: number;
  readonly #chunkTokens: number;
  readonly #recompute: boolean;
  /** Compiled programs by loss and by whether logits are whole (as JSON; the loss `null` scores). */
  readonly #programs = new Map<string, Program>();

  constructor(runtime: Runtime, config: ModelConfig, form: WeightForm, limits: SequenceLimits) {
    this.#runtime = runtime;
    this.#config = config;
    this.#form = form;
    this.#budgetTokens = limits.microBatchTokens;
    this.#recompute = limits.gradientCheckpointing ?? false;
    const logitBytes = form.quantization === undefined ? LOGIT_BYTES : LOGIT_BYTES_PACKED;
    this.#chunkTokens = limits.logitChunkTokens ?? Math.max(1, Math.floor(logitBytes / (4 * config.vocabSize)));
  }

  /** Log-probabilities and entropies of completions under `weights`. */
  score(weights: Weights, data: readonly ScoreDatum[], temperature: number): Promise<ScoreResult> {
    return this.#run({ weights, data, temperature, loss: null });
  }

  /** Adds the gradient of Σ weight · term to `state` and returns the loss and what `score` returns. `dropoutSeed` is the
   * root of an adapter's dropout. */
  async train(
    weights: Weights,
    state: OptimizerState,
    data: readonly Datum[],
    loss: LossSpec,
    dropoutSeed: number,
  ): Promise<ForwardBackwardResult> {
    for (const name of lossColumns(loss)) requirePerToken(data, name);
    const temperature = lossTemperature(loss);
    const fetches = () => new Map([...state.batchGradients].map(([name, tensor]) => [gradientName(name), tensor]));
    let total = 0;
    const onBatch = (results: ReadonlyMap<string, DeviceTensor>) => {
      state.accumulate();
      total += results.get("loss")!.data[0] as number;
    };
    const moment = { dropoutSeed, step: state.steps, dataBefore: state.dataCount };
    const results = await this.#run({ weights, data, temperature, loss, moment, fetches, onBatch });
    state.dataCount += data.length;
    return { ...results, loss: total };
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  /** Runs a job over its micro-batches. */
  async #run({
    weights,
    data,
    temperature,
    loss,
    moment,
    fetches,
    onBatch,
  }: SequenceJob): Promise<Omit<ForwardBackwardResult, "loss">> {
    const results = emptyResults(data);
    const sharePrompts = loss?.embeddingNoise === undefined;
    for (const batch of planMicroBatches(data, this.#budgetTokens, { sharePrompts })) {
      const scope = new NativeScope();
      try {
        const layout = this.#tokenLayout(batch, data);
        const restricted = data[0]!.keptTokens !== undefined;
        const program = this.#program(loss, { chunked: layout.chunks !== undefined, restricted });
        const inputs = this.#layOut(batch, data, temperature, layout, scope);
        for (const name of lossColumns(loss)) {
          inputs.set(name, this.#perToken(batch, data, name, layout, scope));
        }
        if (restricted) inputs.set("keptTokens", this.#keptTokens(batch, data, layout, scope));
        if (moment) {
          this.#addDropout(inputs, batch, data, moment, scope);
          this.#addNoise(inputs, batch, data, loss, moment, scope);
        }
        const call = scope.hold(program.prepare(new Map([...weights.tensors, ...inputs]), fetches?.()));
        await call.run();
        onBatch?.(call.results);
        scatter(batch, layout, call.results, results);
      } finally {
        scope.dispose();
      }
    }
    const { margins, ...perToken } = results;
    return loss?.name === "cross_entropy" ? { ...perToken, margins } : perToken;
  }

  /**
   * Logits are whole where the budget keeps them small in every batch; a sequence that exceeds it alone has them in chunks
   * all the same. One program for all batches, because each compiled program keeps the memory that its largest run took.
   */
  #tokenLayout(batch: MicroBatch, data: readonly ScoreDatum[]): TokenLayout {
    const padded = paddedLayout(batch);
    if (Math.max(padded.dims[0]!, this.#budgetTokens) <= this.#chunkTokens) return padded;
    const lengths = batch.sequences.map(({ datum }) => data[datum]!.completionTokens.length);
    return chunkedLayout(batch, lengths, this.#chunkTokens);
  }

  #program(loss: LossSpec | null, variant: Required<Pick<SequenceForm, "chunked" | "restricted">>): Program {
    // Temperature and the numbers of the noise are inputs, so they do not make a program of their own.
    const isNoisy = loss?.embeddingNoise !== undefined;
    const key = JSON.stringify([variant, loss && { ...loss, temperature: undefined, embeddingNoise: isNoisy }]);
    let program = this.#programs.get(key);
    if (!program) {
      const { graph, outputs } = sequenceGraph(this.#config, loss, {
        ...variant,
        recompute: this.#recompute,
        form: this.#form,
      });
      program = this.#runtime.compile(graph, outputs);
      this.#programs.set(key, program);
    }
    return program;
  }

  /** The inputs of the sequence program besides the weights, held by `scope`. */
  #layOut(
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    temperature: number,
    layout: TokenLayout,
    scope: NativeScope,
  ): Map<string, DeviceTensor> {
    const { promptLength: P, completionLength: C, promptRows, sequences } = batch;
    const R = promptRows.length;
    const S = sequences.length;
    const ids = new BigInt64Array(R * P + S * C);
    const positions = new BigInt64Array(R * P + S * C);
    const promptBias = new Float32Array(R * P).fill(MASKED);
    const membership = new Float32Array(S * R);
    const targets = new BigInt64Array(sizeOf(layout));
    let positionCount = P;

    promptRows.forEach((datum, row) => {
      const tokens = data[datum]!.promptTokens;
      for (let t = 0; t < P; t++) positions[row * P + t] = BigInt(t);
      for (let t = 0; t < tokens.length - 1; t++) {
        ids[row * P + t] = BigInt(tokens[t]!);
        promptBias[row * P + t] = 0;
      }
    });
    sequences.forEach(({ datum, promptRow }, s) => {
      membership[s * R + promptRow] = 1;
      const { promptTokens, completionTokens } = data[datum]!;
      const first = promptTokens.length - 1;
      positionCount = Math.max(positionCount, first + C);
      for (let t = 0; t < C; t++) positions[R * P + s * C + t] = BigInt(first + t);
      for (let t = 0; t < completionTokens.length; t++) {
        const input = t === 0 ? promptTokens[first]! : completionTokens[t - 1]!;
        ids[R * P + s * C + t] = BigInt(input);
        targets[layout.starts[s]! + t] = BigInt(completionTokens[t]!);
      }
    });
    const tables = rotaryTables(this.#config, positionCount);
    const half = this.#config.headDim / 2;
    const promptOf = BigInt64Array.from(sequences, ({ promptRow }) => BigInt(promptRow));
    const filled = (dims: readonly number[], values: Float32Array | BigInt64Array) =>
      scope.hold(this.#filled(dims, values));
    const inputs = new Map([
      ["ids", filled([ids.length], ids)],
      ["positions", filled([positions.length], positions)],
      ["cos", filled([positionCount, half], tables.cos)],
      ["sin", filled([positionCount, half], tables.sin)],
      ["promptBias", filled([R, P], promptBias)],
      ["promptCausal", filled([P, P], causalMask(P))],
      ["completionCausal", filled([C, C], causalMask(C))],
      ["promptOf", filled([S], promptOf)],
      ["membership", filled([S, R], membership)],
      ["targets", filled(layout.dims, targets)],
      ["inverseTemperature", filled([], Float32Array.of(1 / temperature))],
    ]);
    if (layout.chunks) {
      inputs.set("logitRows", filled(layout.dims, layout.chunks.rows));
      inputs.set("logitPlaces", filled([S * C], layout.chunks.places));
    }
    return inputs;
  }

  /** The words that decide what dropout drops, where the adapter has any: of the counter-based stream, not of chance. */
  #addDropout(
    inputs: Map<string, DeviceTensor>,
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    moment: NonNullable<SequenceJob["moment"]>,
    scope: NativeScope,
  ): void {
    const sites = dropoutSites(this.#config, this.#form);
    if (sites === 0) return;
    const words = dropoutWords(batch, data, sites, moment.dropoutSeed, moment);
    inputs.set(DROPOUT_INPUT, scope.hold(this.#filled([2 * sites, words.length / (2 * sites), 1], words)));
  }

  /** The noise that the loss has on embeddings, where it has any. */
  #addNoise(
    inputs: Map<string, DeviceTensor>,
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    loss: LossSpec | null,
    moment: TrainingMoment,
    scope: NativeScope,
  ): void {
    if (!loss?.embeddingNoise) return;
    const { words, magnitudes } = noiseInputs(batch, data, loss.embeddingNoise, this.#config.hiddenSize, moment);
    inputs.set(NOISE_INPUTS.words, scope.hold(this.#filled([2, magnitudes.length, 1], words)));
    inputs.set(NOISE_INPUTS.magnitudes, scope.hold(this.#filled([magnitudes.length, 1], magnitudes)));
  }

  /** Per-token loss data in the layout of the batch. */
  #perToken(
    { sequences }: MicroBatch,
    data: SequenceJob["data"],
    name: LossColumn,
    layout: TokenLayout,
    scope: NativeScope,
  ): DeviceTensor {
    const values = new Float32Array(sizeOf(layout)).fill(PADDING[name]);
    sequences.forEach(({ datum }, s) => {
      values.set(data[datum]![name]!, layout.starts[s]!);
    });
    return scope.hold(this.#filled(layout.dims, values));
  }

  /** The tokens that each completion token was drawn from [..., W], W the most that any has; the rest repeats the first. */
  #keptTokens(
    { sequences }: MicroBatch,
    data: readonly ScoreDatum[],
    layout: TokenLayout,
    scope: NativeScope,
  ): DeviceTensor {
    let width = 1;
    for (const { datum } of sequences)
      for (const kept of data[datum]!.keptTokens!) width = Math.max(width, kept.length);
    const tensor = scope.hold(this.#runtime.zeros("int32", [...layout.dims, width]));
    const values = tensor.data as Int32Array;
    sequences.forEach(({ datum }, s) => {
      data[datum]!.keptTokens!.forEach((kept, t) => {
        const start = (layout.starts[s]! + t) * width;
        values.set(kept, start);
        values.fill(kept[0]!, start + kept.length, start + width);
      });
    });
    return tensor;
  }

  /** A tensor with these values, in memory that the runtime can read. */
  #filled(dims: readonly number[], values: Float32Array | BigInt64Array): DeviceTensor {
    const tensor = this.#runtime.zeros(values instanceof Float32Array ? "float32" : "int64", dims);
    if (values instanceof Float32Array) (tensor.data as Float32Array).set(values);
    else (tensor.data as BigInt64Array).set(values);
    return tensor;
  }
}

/**
 * What a loss reads where there is no token. Weight 0 takes the term and its gradient out, if they are finite, which they
 * are with these values whatever the log-probability of the token 0 is there: no ratio is above 1, exp(ref − policy) is 0.
 */
const PADDING: Readonly<Record<LossColumn, number>> = {
  weights: 0,
  entropyWeights: 0,
  advantages: 0,
  samplerLogprobs: 0,
  refLogprobs: MASKED,
};

function sizeOf({ dims }: TokenLayout): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** Throws EngineError unless every datum has this column, with one value for each completion token. */
function requirePerToken(data: readonly Datum[], name: LossColumn): void {
  data.forEach(({ completionTokens: { length }, ...columns }, datum) => {
    const own = columns[name];
    if (own?.length === length) return;
    const found = own ? `${own.length} ${name}` : `no ${name}`;
    throw new EngineError(`Datum ${datum} has ${length} completion tokens and ${found}; this loss needs one for each.`);
  });
}

/** 0 at and before the diagonal, masked after. */
function causalMask(size: number): Float32Array {
  const mask = new Float32Array(size * size);
  for (let row = 0; row < size; row++) mask.fill(MASKED, row * size + row + 1, (row + 1) * size);
  return mask;
}

type TokenResults = Record<"logprobs" | "entropies" | "margins", Float32Array[]>;

function emptyResults(data: readonly ScoreDatum[]): TokenResults {
  const empty = () => data.map(({ completionTokens }) => new Float32Array(completionTokens.length));
  return { logprobs: empty(), entropies: empty(), margins: empty() };
}

/** Brings per-token results back to the data they are of; of `results` what the program does not have stays 0. */
function scatter(
  { sequences }: MicroBatch,
  { starts }: TokenLayout,
  outputs: ReadonlyMap<string, DeviceTensor>,
  results: TokenResults,
): void {
  for (const name of ["logprobs", "entropies", "margins"] as const) {
    const values = outputs.get(name)?.data as Float32Array | undefined;
    if (values === undefined) continue;
    sequences.forEach(({ datum }, s) => {
      const target = results[name][datum]!;
      target.set(values.subarray(starts[s]!, starts[s]! + target.length));
    });
  }
}
