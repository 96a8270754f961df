/**
 * Runs the sequence program over micro-batches: lays tokens out, feeds them, and brings per-token results back to the
 * data that they belong to.
 */

import { CompiledPrograms } from "../../compute/compiled-programs.ts";
import type { Device, DeviceTensor } from "../../compute/device.ts";
import { HostInput, tensorOf } from "../../compute/host-memory.ts";
import type { PreparedCall, Program } from "../../compute/program.ts";
import { Scope } from "../../compute/scope.ts";
import { isCrossEntropy, type LossSpec, lossTemperature } from "../../losses/loss-spec.ts";
import { rotaryInputTables } from "../../model/decoder.ts";
import { DROPOUT_INPUT, dropoutSites, type WeightForm } from "../../model/decoder-parameters.ts";
import { modelSize } from "../../model/memory.ts";
import { effectiveWindow, type ModelConfig } from "../../model/model-config.ts";
import type { Datum, ForwardBackwardResult } from "../contract/policy.ts";
import type { ScoreDatum, ScoreResult } from "../contract/sampler.ts";
import { causalMask, MASKED, promptsInWindow } from "./attention-mask.ts";
import { type LossColumn, lossColumns } from "./completion-loss.ts";
import { dropoutWords, type TrainingMoment } from "./dropout-words.ts";
import { noiseInputs } from "./embedding-noise.ts";
import { logitChunkTokens, type SequenceLimits } from "./limits.ts";
import { type MicroBatch, type MicroBatchCosts, microBatchCosts, planMicroBatches } from "./micro-batches.ts";
import { PendingResults } from "./pending-results.ts";
import { gradientName, LOSS_SCALE_INPUT, NOISE_INPUTS, type SequenceForm, sequenceGraph } from "./programs.ts";
import { requirePerToken } from "./requests.ts";
import { chunkedLayout, paddedLayout, type TokenLayout } from "./token-layout.ts";
import type { OptimizerState, Weights } from "./weights.ts";

/** One call: what the program computes, what it is fed, and where its results go. */
interface SequenceJob {
  readonly weights: Weights;
  readonly data: readonly (ScoreDatum & Partial<Datum>)[];
  readonly temperature: number;
  readonly loss: LossSpec | null;
  /** With a loss: where in the streams of random numbers it stands, and the root of those of an adapter's dropout. */
  readonly moment?: TrainingMoment & { readonly dropoutSeed: number; readonly lossScale: number | undefined };
  /** Where outputs of the next micro-batch go that have memory of their own. */
  readonly fetches?: () => ReadonlyMap<string, DeviceTensor>;
  /** Called after each micro-batch, while its results are there. */
  readonly onBatch?: (call: PreparedCall) => Promise<void>;
  /** Where its results per token go, once they are read. */
  readonly results: TokenResults;
  readonly pending: Pick<PendingResults<unknown>, "keep">;
}

/** So many stay compiled: whoever trains by a loss with another bound in every step needs a new one each time. */
const MOST_PROGRAMS = 16;

export class SequenceRunner {
  readonly #device: Device;
  readonly #config: ModelConfig;
  readonly #form: WeightForm;
  readonly #budgetTokens: number;
  readonly #costs: MicroBatchCosts;
  readonly #chunkTokens: number;
  readonly #recompute: boolean;
  /** Compiled programs by loss and by whether logits are whole (as JSON; the loss `null` scores). */
  readonly #programs: CompiledPrograms<string>;

  constructor(device: Device, config: ModelConfig, form: WeightForm, limits: SequenceLimits) {
    this.#device = device;
    this.#config = config;
    this.#form = form;
    this.#budgetTokens = limits.microBatchTokens;
    this.#costs = microBatchCosts(config, modelSize(config).parameterCount);
    this.#recompute = limits.gradientCheckpointing;
    this.#chunkTokens = logitChunkTokens(limits, config, form.quantization);
    this.#programs = new CompiledPrograms(device, { most: MOST_PROGRAMS });
  }

  /** Log-probabilities and entropies of completions under `weights`. */
  async score(weights: Weights, data: readonly ScoreDatum[], temperature: number): Promise<ScoreResult> {
    const results = emptyResults(data);
    const pass = (pending: PendingResults<ScoreResult>) =>
      this.#run({ weights, data, temperature, loss: null, results, pending });
    const pending = await PendingResults.of(pass, () => ({ logprobs: results.logprobs, entropies: results.entropies }));
    return pending.read(this.#device.kernels);
  }

  /** Adds the gradient of Σ weight · term to `state`; the loss and what `score` returns are left to be read. `dropoutSeed`
   * is the root of an adapter's dropout. */
  async train(
    weights: Weights,
    state: OptimizerState,
    data: readonly Datum[],
    loss: LossSpec,
    dropoutSeed: number,
  ): Promise<PendingResults<ForwardBackwardResult>> {
    for (const name of lossColumns(loss)) requirePerToken(data, name);
    const temperature = lossTemperature(loss);
    const fetches = () => new Map([...state.batchGradients].map(([name, tensor]) => [gradientName(name), tensor]));
    let total = 0;
    const results = emptyResults(data);
    const moment = { dropoutSeed, lossScale: state.lossScale?.value, step: state.steps, dataBefore: state.dataCount };
    const pass = async (pending: PendingResults<ForwardBackwardResult>) => {
      const onBatch = async (call: PreparedCall) => {
        await state.accumulate();
        pending.keep(call, "loss", ([ofBatch]) => {
          total += ofBatch!;
        });
      };
      await this.#run({ weights, data, temperature, loss, moment, fetches, onBatch, results, pending });
      state.dataCount += data.length;
    };
    const { margins, ...perToken } = results;
    return PendingResults.of(pass, () => ({ ...perToken, ...(isCrossEntropy(loss) && { margins }), loss: total }));
  }

  dispose(): void {
    this.#programs.dispose();
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
    results,
    pending,
  }: SequenceJob): Promise<void> {
    const sharePrompts = loss?.embeddingNoise === undefined;
    for (const batch of planMicroBatches(data, this.#budgetTokens, { sharePrompts, costs: this.#costs })) {
      const scope = new Scope();
      try {
        const layout = this.#tokenLayout(batch, data);
        const restricted = data[0]!.keptTokens !== undefined;
        const variant = { chunked: layout.chunks !== undefined, restricted };
        await this.#withProgram(loss, variant, async (program) => {
          const inputs = this.#layOut(batch, data, temperature, layout, scope);
          for (const name of lossColumns(loss)) {
            inputs.set(name, this.#perToken(batch, data, name, layout, scope));
          }
          if (restricted) inputs.set("keptTokens", this.#keptTokens(batch, data, layout, scope));
          if (moment) {
            this.#addDropout(inputs, batch, data, moment, scope);
            this.#addNoise(inputs, batch, data, loss, moment, scope);
            if (moment.lossScale !== undefined) {
              inputs.set(LOSS_SCALE_INPUT, scope.hold(this.#filled([], Float32Array.of(moment.lossScale))));
            }
          }
          const call = scope.hold(program.prepare(new Map([...weights.tensors, ...inputs]), fetches?.()));
          await call.run();
          await onBatch?.(call);
          for (const name of PER_TOKEN) pending.keep(call, name, scattering(batch, layout, results[name]));
        });
      } finally {
        scope.dispose();
      }
    }
  }

  /**
   * Logits are whole where the budget keeps them small in every batch; the logits of a single sequence that exceeds the
   * budget are in chunks, too. One program for all batches, because each compiled program keeps the memory that its
   * largest run took.
   */
  #tokenLayout(batch: MicroBatch, data: readonly ScoreDatum[]): TokenLayout {
    const padded = paddedLayout(batch);
    if (Math.max(padded.dims[0]!, this.#budgetTokens) <= this.#chunkTokens) return padded;
    const lengths = batch.sequences.map(({ datum }) => data[datum]!.completionTokens.length);
    return chunkedLayout(batch, lengths, this.#chunkTokens);
  }

  #withProgram(
    loss: LossSpec | null,
    variant: Required<Pick<SequenceForm, "chunked" | "restricted">>,
    work: (program: Program) => Promise<void>,
  ): Promise<void> {
    // Temperature and the numbers of the noise are inputs, so they do not make a program of their own.
    const isNoisy = loss?.embeddingNoise !== undefined;
    const key = JSON.stringify([variant, loss && { ...loss, temperature: undefined, embeddingNoise: isNoisy }]);
    const form = { ...variant, recompute: this.#recompute, form: this.#form };
    return this.#programs.use(key, () => sequenceGraph(this.#config, loss, form), work);
  }

  /** The inputs of the sequence program besides the weights, held by `scope`. */
  #layOut(
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    temperature: number,
    layout: TokenLayout,
    scope: Scope,
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
      const { promptTokens, completionTokens, targetTokens = completionTokens } = data[datum]!;
      const first = promptTokens.length - 1;
      positionCount = Math.max(positionCount, first + C);
      for (let t = 0; t < C; t++) positions[R * P + s * C + t] = BigInt(first + t);
      for (let t = 0; t < completionTokens.length; t++) {
        const input = t === 0 ? promptTokens[first]! : completionTokens[t - 1]!;
        ids[R * P + s * C + t] = BigInt(input);
        targets[layout.starts[s]! + t] = BigInt(targetTokens[t]!);
      }
    });
    const half = this.#config.headDim / 2;
    const promptOf = BigInt64Array.from(sequences, ({ promptRow }) => BigInt(promptRow));
    const filled = (dims: readonly number[], values: Float32Array | BigInt64Array) =>
      scope.hold(this.#filled(dims, values));
    const inputs = new Map<string, DeviceTensor>([
      ["ids", filled([ids.length], ids)],
      ["positions", filled([positions.length], positions)],
      ["promptBias", filled([R, P], promptBias)],
      ["promptCausal", filled([P, P], causalMask(P))],
      ["completionCausal", filled([C, C], causalMask(C))],
      ["promptOf", filled([S], promptOf)],
      ["membership", filled([S, R], membership)],
      ["targets", filled(layout.dims, targets)],
      ["inverseTemperature", filled([], Float32Array.of(1 / temperature))],
    ]);
    for (const [name, table] of rotaryInputTables(this.#config, positionCount)) {
      inputs.set(name, filled([positionCount, half], table));
    }
    const window = effectiveWindow(this.#config);
    if (window !== null) {
      inputs.set("promptWindow", filled([P, P], causalMask(P, window)));
      inputs.set("completionWindow", filled([C, C], causalMask(C, window)));
      const lengths = sequences.map(({ datum }) => data[datum]!.promptTokens.length - 1);
      inputs.set("promptInWindow", filled([S, C, P], promptsInWindow(lengths, C, P, window)));
    }
    if (layout.chunks) {
      inputs.set("logitRows", filled(layout.dims, layout.chunks.rows));
      inputs.set("logitPlaces", filled([S * C], layout.chunks.places));
    }
    return inputs;
  }

  /**
   * The words that decide what an adapter's dropout drops, where it has one: they come from the counter-based random
   * stream.
   */
  #addDropout(
    inputs: Map<string, DeviceTensor>,
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    moment: NonNullable<SequenceJob["moment"]>,
    scope: Scope,
  ): void {
    const sites = dropoutSites(this.#config, this.#form);
    if (sites === 0) return;
    const words = dropoutWords(batch, data, sites, moment.dropoutSeed, moment);
    inputs.set(DROPOUT_INPUT, scope.hold(this.#words([2 * sites, words.length / (2 * sites)], words)));
  }

  /** The noise on embeddings, where the loss has it. */
  #addNoise(
    inputs: Map<string, DeviceTensor>,
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    loss: LossSpec | null,
    moment: TrainingMoment,
    scope: Scope,
  ): void {
    if (!loss?.embeddingNoise) return;
    const { words, magnitudes } = noiseInputs(batch, data, loss.embeddingNoise, this.#config.hiddenSize, moment);
    inputs.set(NOISE_INPUTS.words, scope.hold(this.#words([2, magnitudes.length], words)));
    inputs.set(NOISE_INPUTS.magnitudes, scope.hold(this.#filled([magnitudes.length, 1], magnitudes)));
  }

  /** Per-token loss data in the layout of the batch. */
  #perToken(
    { sequences }: MicroBatch,
    data: SequenceJob["data"],
    name: LossColumn,
    layout: TokenLayout,
    scope: Scope,
  ): DeviceTensor {
    const values = new Float32Array(sizeOf(layout)).fill(PADDING[name]);
    sequences.forEach(({ datum }, s) => {
      values.set(data[datum]![name]!, layout.starts[s]!);
    });
    return scope.hold(this.#filled(layout.dims, values));
  }

  /** The tokens that each completion token was drawn from [..., W], W the most that any has; the rest repeats the first. */
  #keptTokens({ sequences }: MicroBatch, data: readonly ScoreDatum[], layout: TokenLayout, scope: Scope): DeviceTensor {
    let width = 1;
    for (const { datum } of sequences)
      for (const kept of data[datum]!.keptTokens!) width = Math.max(width, kept.length);
    const { data: values, tensor, upload } = scope.hold(new HostInput(this.#device, "int32", [...layout.dims, width]));
    sequences.forEach(({ datum }, s) => {
      data[datum]!.keptTokens!.forEach((kept, t) => {
        const start = (layout.starts[s]! + t) * width;
        values.set(kept, start);
        values.fill(kept[0]!, start + kept.length, start + width);
      });
    });
    upload();
    return tensor;
  }

  /** Words of 64 bits as int32 [..., 2], the lower half first: not every device has integers of 64 bits. */
  #words(dims: readonly number[], words: BigInt64Array): DeviceTensor {
    return tensorOf(
      this.#device,
      "int32",
      [...dims, 2],
      new Int32Array(words.buffer, words.byteOffset, 2 * words.length),
    );
  }

  #filled(dims: readonly number[], values: Float32Array | BigInt64Array): DeviceTensor {
    return values instanceof Float32Array
      ? tensorOf(this.#device, "float32", dims, values)
      : tensorOf(this.#device, "int64", dims, values);
  }
}

/**
 * What a loss reads where there is no token. Weight 0 removes the term and its gradient, provided that they are finite.
 * With these values they are finite for every log-probability of token 0 at such a place: no ratio is above 1, and
 * exp(ref − policy) is 0.
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

const PER_TOKEN = ["logprobs", "entropies", "margins"] as const;

/** What the program does not have stays 0. */
type TokenResults = Record<(typeof PER_TOKEN)[number], Float32Array[]>;

function emptyResults(data: readonly ScoreDatum[]): TokenResults {
  const empty = () => data.map(({ completionTokens }) => new Float32Array(completionTokens.length));
  return { logprobs: empty(), entropies: empty(), margins: empty() };
}

/** Brings per-token results of a batch back to the data that they are of. */
function scattering(
  { sequences }: MicroBatch,
  { starts }: TokenLayout,
  results: readonly Float32Array[],
): (values: Float32Array) => void {
  return (values) => {
    sequences.forEach(({ datum }, s) => {
      const target = results[datum]!;
      target.set(values.subarray(starts[s]!, starts[s]! + target.length));
    });
  };
}
