/**
 * The embedded engine of reward models: a decoder with a score for a head (`reward-program.ts`), AdamW and states as in the
 * engine of policies.
 *
 * It opens a reward model, or a language model, whose token head then gives way to a score that is 0 for every text: the
 * first step decides its direction, not chance. Sequences and pairs are cut into micro-batches of at most
 * `microBatchTokens` padded positions, longest first; that changes no result beyond rounding.
 */

import type { Compute } from "../../compute/compute.ts";
import { NativeScope } from "../../compute/native-scope.ts";
import type { DeviceTensor, Program, Runtime } from "../../compute/runtime.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import { openCheckpoint, saveModel } from "../../model/checkpoint.ts";
import { rotaryTables } from "../../model/decoder.ts";
import { type SaveDtype, storedHead } from "../../model/hf-config.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import type { AdamParams, OptimStepResult, StepResult } from "../contract/policy.ts";
import type { PairLossOptions, PairResult, RewardModel, RewardModelInfo, TokenPair } from "../contract/reward-model.ts";
import { Turns } from "../turns.ts";
import { loadEngineState, saveEngineState } from "./engine-state.ts";
import { gradientName } from "./programs.ts";
import { requireAdam } from "./requests.ts";
import { pairGraph, REWARD_FORM, scoringGraph } from "./reward-program.ts";
import { allocateFloats, DenseWeights, OptimizerState, requireFinite } from "./weights.ts";

export interface RewardEngineOptions {
  /** Token positions that are computed at once; 2048 by default. */
  readonly microBatchTokens?: number | undefined;
  /** The backward pass computes each layer again instead of keeping it; not by default. */
  readonly gradientCheckpointing?: boolean | undefined;
  /** The padding token where the model's files name none, of its tokenizer. */
  readonly padTokenId?: number | null | undefined;
}

/** Added to the score of a position that must not be attended to: its probability is exactly 0 in f32. */
const MASKED = -1e9;

const DEFAULT_MICRO_BATCH_TOKENS = 2048;

/**
 * A reward engine on this machine's CPU for a reward model in the Hugging Face layout (`*ForSequenceClassification`, one
 * label), or for a language model, from which a new one is to be made.
 *
 * @throws CheckpointError for a directory that is neither.
 */
export async function createRewardEngine(
  modelDirectory: string,
  compute: Compute,
  options: RewardEngineOptions = {},
): Promise<RewardModel> {
  const head = await storedHead(modelDirectory);
  const checkpoint = await openCheckpoint(modelDirectory, head);
  try {
    const { config, fileOf } = checkpoint;
    const values: ParameterValues = new Map();
    for (const { name, shape, checkpointName } of parameterSpecs(config, "score")) {
      const target = allocateFloats(elementCount(shape));
      if (name === "score" && head === "tokens") target.fill(0);
      else await fileOf.get(checkpointName)!.readInto(checkpointName, target);
      values.set(name, target);
    }
    const padTokenId = config.padTokenId ?? options.padTokenId ?? null;
    return new LocalRewardEngine(await compute.device(), { ...config, padTokenId }, values, options);
  } finally {
    await checkpoint.close();
  }
}

/** A batch of the graphs: which sequences, laid out in how many positions. */
interface Batch {
  readonly sequences: readonly Int32Array[];
  /** T. */
  readonly length: number;
}

/** The engine; `createRewardEngine` opens one. */
export class LocalRewardEngine implements RewardModel {
  readonly info: RewardModelInfo;
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #weights: DenseWeights;
  readonly #budgetTokens: number;
  readonly #recompute: boolean;
  readonly #turns = new Turns();
  #scoring: Program | undefined;
  #training: Program | undefined;
  #optimizer: OptimizerState | undefined;
  #disposed = false;

  /** `values` must come from `allocateFloats`; they become the engine's own. */
  constructor(runtime: Runtime, config: ModelConfig, values: ParameterValues, options: RewardEngineOptions) {
    const specs = parameterSpecs(config, "score");
    this.#runtime = runtime;
    this.#config = config;
    this.#weights = new DenseWeights(runtime, specs, values);
    this.#budgetTokens = options.microBatchTokens ?? DEFAULT_MICRO_BATCH_TOKENS;
    this.#recompute = options.gradientCheckpointing ?? false;
    this.info = {
      name: `local reward model (cpu, ${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: specs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    };
  }

  score(sequences: readonly Int32Array[]): Promise<Float32Array> {
    return this.#inTurn(async () => {
      const read = sequences.map((tokens, i) => this.#withoutPadding(tokens, `Sequence ${i}`));
      const rewards = new Float32Array(read.length);
      this.#scoring ??= this.#compile(scoringGraph(this.#config));
      const lengths = read.map((tokens) => tokens.length);
      for (const members of cutByLength(lengths, 1, this.#budgetTokens)) {
        const batch = batchOf(members.map((i) => read[i]!));
        const results = await this.#run(this.#scoring, batch, { rows: lastRows(batch, 0, 1) });
        const found = results.get("rewards")!;
        members.forEach((i, row) => {
          rewards[i] = found[row]!;
        });
      }
      return rewards;
    });
  }

  forwardBackward(pairs: readonly TokenPair[], { centering }: PairLossOptions): Promise<PairResult> {
    return this.#inTurn(async () => {
      if (pairs.length === 0) throw new EngineError("There is nothing to compute: the list of pairs is empty.");
      if (!(Number.isFinite(centering) && centering >= 0)) {
        throw new EngineError(`Centring takes a coefficient of at least 0, not ${centering}.`);
      }
      const read = pairs.map(({ chosen, rejected, weight }, i) => ({
        chosen: this.#withoutPadding(chosen, `The chosen answer of pair ${i}`),
        rejected: this.#withoutPadding(rejected, `The rejected answer of pair ${i}`),
        weight,
      }));
      this.#training ??= this.#compile(pairGraph(this.#config, this.#recompute));
      const state = this.#optimizerState();
      const lengths = read.map(({ chosen, rejected }) => Math.max(chosen.length, rejected.length));
      const [chosen, rejected] = [new Float32Array(pairs.length), new Float32Array(pairs.length)];
      let loss = 0;
      for (const members of cutByLength(lengths, 2, this.#budgetTokens)) {
        const batch = batchOf(members.flatMap((i) => [read[i]!.chosen, read[i]!.rejected]));
        const columns = {
          chosenRows: lastRows(batch, 0, 2),
          rejectedRows: lastRows(batch, 1, 2),
          weights: Float32Array.from(members, (i) => read[i]!.weight),
          centering: Float32Array.of(centering),
        };
        const fetches = new Map([...state.batchGradients].map(([name, tensor]) => [gradientName(name), tensor]));
        const results = await this.#run(this.#training, batch, columns, fetches);
        state.accumulate();
        loss += results.get("loss")![0]!;
        members.forEach((i, row) => {
          chosen[i] = results.get("chosen")![row]!;
          rejected[i] = results.get("rejected")![row]!;
        });
      }
      state.lossIsFinite &&= Number.isFinite(loss);
      return { loss, chosen, rejected };
    });
  }

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.#inTurn(async () => {
      requireAdam(params);
      return this.#optimizerState().step(params);
    });
  }

  async step(pairs: readonly TokenPair[], options: PairLossOptions, adam: AdamParams): Promise<StepResult<PairResult>> {
    const [result, stepped] = await Promise.all([this.forwardBackward(pairs, options), this.optimStep(adam)]);
    return { ...result, ...stepped };
  }

  resetOptimizer(): Promise<void> {
    return this.#inTurn(async () => this.#forgetOptimizer());
  }

  saveState(directory: string): Promise<void> {
    return this.#inTurn(() =>
      saveEngineState(directory, this.#weights.specs, {
        optimizerSteps: this.#optimizer?.steps ?? 0,
        referenceOff: false,
        sets: {
          weights: this.#weights.all(),
          ...this.#optimizer?.moments,
        },
      }),
    );
  }

  loadState(directory: string): Promise<void> {
    return this.#inTurn(async () => {
      const { optimizerSteps } = await loadEngineState(directory, this.#weights.specs, (set) => {
        switch (set) {
          case "weights":
            this.#forgetOptimizer();
            return this.#weights.all();
          case "firstMoments":
            return this.#optimizerState().firstMoments;
          case "secondMoments":
            return this.#optimizerState().secondMoments;
          case "reference":
            throw new CheckpointError(`${directory} is the state of a policy with a reference, not of a reward model.`);
          default:
            return set satisfies never;
        }
      });
      if (optimizerSteps > 0) this.#optimizerState().steps = optimizerSteps;
    });
  }

  saveWeights(directory: string, { dtype }: { readonly dtype?: SaveDtype } = {}): Promise<void> {
    return this.#inTurn(async () => {
      const values = this.#weights.all();
      requireFinite(values, "model");
      await saveModel(directory, this.#config, values, { ...REWARD_FORM, ...(dtype && { dtype }) });
    });
  }

  dispose(): Promise<void> {
    return this.#turns.take(async () => {
      this.#disposed = true;
      this.#scoring?.dispose();
      this.#training?.dispose();
      this.#forgetOptimizer();
      this.#weights.dispose();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take(async () => {
      if (this.#disposed) throw new EngineError("This engine was disposed of; open another one.");
      return work();
    });
  }

  #compile({ graph, outputs }: ReturnType<typeof scoringGraph>): Program {
    return this.#runtime.compile(graph, outputs);
  }

  #optimizerState(): OptimizerState {
    this.#optimizer ??= new OptimizerState(this.#runtime, this.#weights);
    return this.#optimizer;
  }

  #forgetOptimizer(): void {
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }

  /** The sequence up to the token that its reward is read at. Throws EngineError for what cannot be scored. */
  #withoutPadding(tokens: Int32Array, what: string): Int32Array {
    const { vocabSize, maxContextTokens, padTokenId } = this.#config;
    let end = tokens.length;
    while (end > 1 && tokens[end - 1] === padTokenId) end--;
    if (end === 0) throw new EngineError(`${what} is empty; a reward is read at a token.`);
    if (end > maxContextTokens) {
      throw new EngineError(`${what} has ${end} tokens; the model's context has ${maxContextTokens}.`);
    }
    const bad = tokens.find((token) => token < 0 || token >= vocabSize);
    if (bad !== undefined) throw new EngineError(`${what} has token ${bad}; the model's vocabulary has ${vocabSize}.`);
    return tokens.subarray(0, end);
  }

  /** Runs a program on a batch; returns copies of those results that have no memory of their own. */
  async #run(
    program: Program,
    batch: Batch,
    columns: Readonly<Record<string, BigInt64Array | Float32Array>>,
    fetches?: ReadonlyMap<string, DeviceTensor>,
  ): Promise<ReadonlyMap<string, Float32Array>> {
    const scope = new NativeScope();
    try {
      const inputs = new Map<string, DeviceTensor>(this.#weights.tensors);
      const hold = (name: string, dims: readonly number[], values: BigInt64Array | Float32Array) => {
        const tensor = scope.hold(this.#runtime.zeros(values instanceof Float32Array ? "float32" : "int64", dims));
        (tensor.data as { set(values: ArrayLike<bigint | number>): void }).set(values);
        inputs.set(name, tensor);
      };
      const { sequences, length: T } = batch;
      const B = sequences.length;
      const tables = rotaryTables(this.#config, T);
      const half = this.#config.headDim / 2;
      hold("ids", [B, T], tokenIds(batch));
      hold(
        "positions",
        [B, T],
        BigInt64Array.from({ length: B * T }, (_, i) => BigInt(i % T)),
      );
      hold("cos", [T, half], tables.cos);
      hold("sin", [T, half], tables.sin);
      hold("causal", [T, T], causalMask(T));
      for (const [name, values] of Object.entries(columns)) {
        hold(name, name === "centering" ? [] : [values.length], values);
      }
      const call = scope.hold(program.prepare(inputs, fetches));
      await call.run();
      const read = [...call.results].filter(([name]) => !fetches?.has(name));
      return new Map(read.map(([name, { data }]) => [name, (data as Float32Array).slice()]));
    } finally {
      scope.dispose();
    }
  }
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

/** 0 at and before the diagonal, masked after. */
function causalMask(size: number): Float32Array {
  const mask = new Float32Array(size * size);
  for (let row = 0; row < size; row++) mask.fill(MASKED, row * size + row + 1, (row + 1) * size);
  return mask;
}
