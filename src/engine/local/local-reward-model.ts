/**
 * The embedded engine's reward model: a decoder with a score for a head (`reward-program.ts`).
 *
 * Sequences and pairs are cut into micro-batches of at most `microBatchTokens` padded positions, longest first; that
 * changes no result beyond rounding.
 */

import type { Device, DeviceTensor } from "../../compute/device.ts";
import { tensorOf } from "../../compute/host-memory.ts";
import { compile, type PreparedCall, type Program, type ProgramGraph } from "../../compute/program.ts";
import { Scope } from "../../compute/scope.ts";
import { EngineError } from "../../errors.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import { rotaryInputTables } from "../../model/decoder.ts";
import { effectiveWindow, type ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec } from "../../model/parameters.ts";
import type { AdamParams, StepResult } from "../contract/policy.ts";
import type { PairLossOptions, PairResult, RewardModel, RewardModelInfo, TokenPair } from "../contract/reward-model.ts";
import { causalMask } from "./attention-mask.ts";
import type { SequenceLimits } from "./limits.ts";
import type { ModelStore, StoredModel } from "./model-store.ts";
import { PendingResults } from "./pending-results.ts";
import { gradientName, LOSS_SCALE_INPUT } from "./programs.ts";
import { requireKnownTokens } from "./requests.ts";
import { pairGraph, rewardForm, scoringGraph } from "./reward-program.ts";
import { TrainableModel } from "./trainable-model.ts";
import { scalesLoss } from "./trunk.ts";
import type { DenseWeights } from "./weights.ts";

const SCALARS: ReadonlySet<string> = new Set(["centering", LOSS_SCALE_INPUT]);

/** A batch of the graphs: which sequences, laid out in how many positions. */
interface Batch {
  readonly sequences: readonly Int32Array[];
  /** T. */
  readonly length: number;
}

/** The embedded engine's reward model. */
export class LocalRewardModel extends TrainableModel implements RewardModel {
  readonly info: RewardModelInfo;
  protected readonly trained: DenseWeights;
  readonly #config: ModelConfig;
  readonly #dtype: FloatDType;
  readonly #limits: SequenceLimits;
  #scoring: Program | undefined;
  #training: Program | undefined;

  /** `weights` become the model's own, in which the trunk computes in `dtype`; it is saved in `store`. */
  constructor(
    device: Device,
    { config, dtype }: { readonly config: ModelConfig; readonly dtype: FloatDType },
    weights: DenseWeights,
    limits: SequenceLimits,
    store: ModelStore,
  ) {
    super(device, store);
    this.#dtype = dtype;
    this.#config = config;
    this.#limits = limits;
    this.trained = weights;
    this.info = {
      name: `local reward model (${[device.name, ...(dtype === "float32" ? [] : [dtype])].join(", ")})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: weights.specs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    };
  }

  score(sequences: readonly Int32Array[]): Promise<Float32Array> {
    return this.inTurn(async () => {
      const read = sequences.map((tokens, i) => this.#withoutPadding(tokens, `Sequence ${i}`));
      const rewards = new Float32Array(read.length);
      this.#scoring ??= await this.#compile(scoringGraph(this.#config, this.#dtype));
      const lengths = read.map((tokens) => tokens.length);
      const pass = async (pending: PendingResults<Float32Array>) => {
        for (const members of cutByLength(lengths, 1, this.#limits.microBatchTokens)) {
          const batch = batchOf(members.map((i) => read[i]!));
          await this.#run(this.#scoring!, batch, { rows: lastRows(batch, 0, 1) }, async (call) => {
            pending.keep(call, "rewards", intoItems(rewards, members));
          });
        }
      };
      return (await PendingResults.of(pass, () => rewards)).read(this.device.kernels);
    });
  }

  forwardBackward(pairs: readonly TokenPair[], options: PairLossOptions): Promise<PairResult> {
    return this.passInTurn(() => this.#train(pairs, options));
  }

  step(pairs: readonly TokenPair[], options: PairLossOptions, adam: AdamParams): Promise<StepResult<PairResult>> {
    return this.stepInTurn(adam, () => this.#train(pairs, options));
  }

  async #train(pairs: readonly TokenPair[], { centering }: PairLossOptions): Promise<PendingResults<PairResult>> {
    if (pairs.length === 0) throw new EngineError("There is nothing to compute: the list of pairs is empty.");
    if (!(Number.isFinite(centering) && centering >= 0)) {
      throw new EngineError(`Centring takes a coefficient of at least 0, not ${centering}.`);
    }
    const read = pairs.map(({ chosen, rejected, weight }, i) => ({
      chosen: this.#withoutPadding(chosen, `The chosen answer of pair ${i}`),
      rejected: this.#withoutPadding(rejected, `The rejected answer of pair ${i}`),
      weight,
    }));
    this.#training ??= await this.#compile(pairGraph(this.#config, this.#limits.gradientCheckpointing, this.#dtype));
    const state = this.optimizer;
    const lengths = read.map(({ chosen, rejected }) => Math.max(chosen.length, rejected.length));
    const [chosen, rejected] = [new Float32Array(pairs.length), new Float32Array(pairs.length)];
    let loss = 0;
    const pass = async (pending: PendingResults<PairResult>) => {
      for (const members of cutByLength(lengths, 2, this.#limits.microBatchTokens)) {
        const batch = batchOf(members.flatMap((i) => [read[i]!.chosen, read[i]!.rejected]));
        const columns = {
          chosenRows: lastRows(batch, 0, 2),
          rejectedRows: lastRows(batch, 1, 2),
          weights: Float32Array.from(members, (i) => read[i]!.weight),
          centering: Float32Array.of(centering),
          ...(state.lossScale && { [LOSS_SCALE_INPUT]: Float32Array.of(state.lossScale.value) }),
        };
        const gradients = new Map([...state.batchGradients].map(([name, tensor]) => [gradientName(name), tensor]));
        const onResults = async (call: PreparedCall) => {
          await state.accumulate();
          pending.keep(call, "loss", ([ofBatch]) => {
            loss += ofBatch!;
          });
          pending.keep(call, "chosen", intoItems(chosen, members));
          pending.keep(call, "rejected", intoItems(rejected, members));
        };
        await this.#run(this.#training!, batch, columns, onResults, gradients);
      }
    };
    return PendingResults.of(pass, () => ({ loss, chosen, rejected }));
  }

  protected get scalesLoss(): boolean {
    return scalesLoss(this.#dtype);
  }

  protected get stored(): StoredModel {
    const valuesOf = ({ name }: ParameterSpec) => this.trained.values(name);
    return { config: this.#config, form: rewardForm(this.#dtype), valuesOf };
  }

  protected release(): void {
    this.#scoring?.dispose();
    this.#training?.dispose();
    this.trained.dispose();
  }

  #compile({ graph, outputs }: ProgramGraph): Promise<Program> {
    return compile(this.device, graph, outputs);
  }

  /** The sequence up to the token that its reward is read at. Throws EngineError for what cannot be scored. */
  #withoutPadding(tokens: Int32Array, what: string): Int32Array {
    const { maxContextTokens, padTokenId } = this.#config;
    let end = tokens.length;
    while (end > 1 && tokens[end - 1] === padTokenId) end--;
    if (end === 0) throw new EngineError(`${what} is empty; a reward is read at a token.`);
    if (end > maxContextTokens) {
      throw new EngineError(`${what} has ${end} tokens; the model's context has ${maxContextTokens}.`);
    }
    requireKnownTokens(this.info, what, tokens);
    return tokens.subarray(0, end);
  }

  /** Runs a program on a batch; `onResults` is called while its results are there. */
  async #run(
    program: Program,
    batch: Batch,
    columns: Readonly<Record<string, BigInt64Array | Float32Array>>,
    onResults: (call: PreparedCall) => Promise<void>,
    fetches?: ReadonlyMap<string, DeviceTensor>,
  ): Promise<void> {
    const scope = new Scope();
    try {
      const inputs = new Map<string, DeviceTensor>(this.trained.tensors);
      const hold = (name: string, dims: readonly number[], values: BigInt64Array | Float32Array) => {
        const tensor =
          values instanceof Float32Array
            ? tensorOf(this.device, "float32", dims, values)
            : tensorOf(this.device, "int64", dims, values);
        inputs.set(name, scope.hold(tensor));
      };
      const { sequences, length: T } = batch;
      const B = sequences.length;
      const half = this.#config.headDim / 2;
      const positions = BigInt64Array.from({ length: B * T }, (_, i) => BigInt(i % T));
      hold("ids", [B, T], tokenIds(batch));
      hold("positions", [B, T], positions);
      for (const [name, table] of rotaryInputTables(this.#config, T)) hold(name, [T, half], table);
      hold("causal", [T, T], causalMask(T));
      hold("causalWindow", [T, T], causalMask(T, effectiveWindow(this.#config)));
      for (const [name, values] of Object.entries(columns)) {
        hold(name, SCALARS.has(name) ? [] : [values.length], values);
      }
      const call = scope.hold(program.prepare(inputs, fetches));
      await call.run();
      await onResults(call);
    } finally {
      scope.dispose();
    }
  }
}

/** Brings the numbers of a batch's members back to their places among all items. */
function intoItems(items: Float32Array, members: readonly number[]): (numbers: Float32Array) => void {
  return (numbers) => {
    members.forEach((item, row) => {
      items[item] = numbers[row]!;
    });
  };
}

/** Items by index in batches of at most `budget` positions, longest first; an item has `rows` rows of its length. */
function cutByLength(lengths: readonly number[], rows: number, budget: number): number[][] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  for (const item of order) {
    const batch = batches.at(-1);
    // The first of a batch is its longest.
    if (batch && lengths[batch[0]!]! * rows * (batch.length + 1) <= budget) batch.push(item);
    else batches.push([item]);
  }
  return batches;
}

function batchOf(sequences: readonly Int32Array[]): Batch {
  return { sequences, length: sequences.reduce((longest, { length }) => Math.max(longest, length), 1) };
}

/** The places on the token axis of the last tokens of every `step`-th sequence, from `first` on. */
function lastRows({ sequences, length }: Batch, first: number, step: number): BigInt64Array {
  return BigInt64Array.from({ length: sequences.length / step }, (_, i) => {
    const row = first + i * step;
    return BigInt(row * length + sequences[row]!.length - 1);
  });
}

function tokenIds({ sequences, length }: Batch): BigInt64Array {
  const ids = new BigInt64Array(sequences.length * length);
  sequences.forEach((tokens, row) => {
    tokens.forEach((token, t) => {
      ids[row * length + t] = BigInt(token);
    });
  });
  return ids;
}
