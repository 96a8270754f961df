/**
 * The reference engine: the whole engine contract over a policy small enough to be read at a glance.
 *
 * The policy is a table: logits(next | previous) = table[previous] + bias, so the softmax, its gradient and AdamW are a
 * few lines of plain JavaScript in double precision, with nothing batched, cached or fused. It really samples, really
 * differentiates and really learns, which makes it the measure of trainers (they must learn on it in milliseconds) and
 * of other engines (the conformance suite runs on it too, so the suite is known to be satisfiable). What it is not: a
 * language model; it sees one token of context.
 *
 * Weights are f32, rounded after every update, so that a saved state is the whole state.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Capabilities } from "../../src/engine/contract/capabilities.ts";
import type {
  AdamParams,
  Datum,
  ForwardBackwardResult,
  OptimStepResult,
  Policy,
  PolicyInfo,
  PolicyName,
  StepResult,
} from "../../src/engine/contract/policy.ts";
import type {
  SampledSequence,
  SampleProgress,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
} from "../../src/engine/contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../../src/engine/contract/sampling.ts";
import type {
  DrawnToken,
  LogitAdjustments,
  PromptLogprobs,
  SequenceRequest,
  TokenLogprob,
} from "../../src/engine/contract/session.ts";
import { Turns } from "../../src/engine/turns.ts";
import { CheckpointError, EngineError } from "../../src/errors.ts";
import { engineLossNames, tokenTerm } from "../../src/losses/engine-losses.ts";
import { type LossSpec, lossTemperature } from "../../src/losses/loss-spec.ts";
import { hashString, Random, uniformAt } from "../../src/random.ts";
import { StepSession } from "./step-session.ts";
import {
  requireAdam,
  requireColumns,
  requireDatum,
  requireLoss,
  requireNumbers,
  requireRoom,
  requireSampling,
  requireSequence,
  requireTemperature,
  requireTokens,
} from "./tabular-checks.ts";
import { adjust, among, drawToken, entropyOf, logSoftmax, previousTokens } from "./tabular-distribution.ts";
import { adamStep, newParameter, type Parameter } from "./tabular-parameter.ts";

const STATE_FILE = "tabular-state.json";

const TABULAR_CAPABILITIES: Capabilities = {
  losses: engineLossNames(),
  training: "full",
  entropies: true,
  margins: false,
  scoringTemperature: true,
  keptTokens: true,
  seededDraws: true,
  minimumLength: true,
  sessions: true,
  reference: true,
  referenceMixing: true,
  entropyBonus: true,
  embeddingNoise: false,
  gradientNorm: true,
  gradientClipping: true,
  weightDecay: true,
  otherTargets: false,
  snapshots: true,
  weightFiles: false,
};

export interface TabularOptions {
  readonly vocabSize: number;
  readonly maxContextTokens?: number;
  readonly seed?: number;
  /** Standard deviation of the initial logits. */
  readonly initStd?: number;
  readonly eosTokenIds?: readonly number[];
}

export class TabularEngine implements Policy {
  readonly info: PolicyInfo;
  readonly capabilities: Capabilities = TABULAR_CAPABILITIES;
  /** [V, V] and [V] */
  private readonly table: Parameter;
  private readonly bias: Parameter;
  private reference: { table: Float32Array; bias: Float32Array } | undefined;
  private stepCount = 0;
  /** Whether anything was accumulated since the last step. */
  private hasGradient = false;
  private lossIsFinite = true;
  private readonly turns = new Turns();
  private disposed = false;

  constructor(options: TabularOptions) {
    const { vocabSize, maxContextTokens = 64, seed = 0, initStd = 0.1, eosTokenIds = [] } = options;
    const random = new Random(seed, "tabular-init");
    this.table = newParameter(
      Float32Array.from({ length: vocabSize * vocabSize }, () => initStd * random.normal()),
      true,
    );
    this.bias = newParameter(new Float32Array(vocabSize), false);
    this.info = {
      name: "tabular (reference)",
      vocabSize,
      maxContextTokens,
      parameterCount: vocabSize * vocabSize + vocabSize,
      eosTokenIds,
    };
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.inTurn(() => {
      requireSampling(params);
      for (const prompt of prompts) {
        requireTokens(this.info, prompt.tokens, "a prompt");
        requireRoom(this.info, prompt.tokens.length + params.maxCompletionTokens);
      }
      const sequences: SampledSequence[] = [];
      const total = prompts.reduce((sum, { numSamples }) => sum + numSamples, 0);
      let tokens = 0;
      for (const [promptIndex, prompt] of prompts.entries()) {
        for (let sampleIndex = 0; sampleIndex < prompt.numSamples; sampleIndex++) {
          const sequence = this.sampleOne(prompt, promptIndex, sampleIndex, params);
          sequences.push(sequence);
          tokens += sequence.tokens.length;
          const mostTokens = tokens + (total - sequences.length) * params.maxCompletionTokens;
          onProgress?.({ finished: sequences.length, total, tokens, mostTokens });
        }
      }
      return sequences;
    });
  }

  private sampleOne(prompt: SamplePrompt, promptIndex: number, sampleIndex: number, params: SamplingParams) {
    const tokens: number[] = [];
    const logprobs: number[] = [];
    const keptTokens: Int32Array[] = [];
    let previous = prompt.tokens[prompt.tokens.length - 1]!;
    let finishReason: SampledSequence["finishReason"] = "length";
    for (let position = 0; position < params.maxCompletionTokens; position++) {
      const { token, logprob, kept } = this.drawAfter(previous, params, { ...prompt, sampleIndex, position });
      tokens.push(token);
      const isKept = kept !== undefined && params.returnKeptTokens === true;
      if (isKept) keptTokens.push(kept);
      logprobs.push(isKept ? among(this.logprobs(previous, params.temperature), kept)[token]! : logprob);
      previous = token;
      if (params.stopTokenIds.includes(token)) {
        finishReason = "stop";
        break;
      }
    }
    return {
      promptIndex,
      sampleIndex,
      tokens: Int32Array.from(tokens),
      logprobs: Float32Array.from(logprobs),
      ...(keptTokens.length > 0 && { keptTokens }),
      finishReason,
    };
  }

  /** The token after `previous` at its place in the random stream, and the `topLogprobs` most probable ones. */
  private drawAfter(
    previous: number,
    params: SamplingParams,
    place: {
      promptId: number;
      sampleIndex: number;
      position: number;
      topLogprobs?: number;
      logprobTemperature?: number;
    },
    adjusting: { adjustments?: LogitAdjustments; prompt?: Int32Array; completion?: readonly number[] } = {},
  ): DrawnToken & { readonly kept?: Int32Array } {
    const { promptId, sampleIndex, position, topLogprobs = 0, logprobTemperature } = place;
    const drawTemperature = params.temperature === 0 ? 1 : params.temperature;
    const distribution = this.logprobs(previous, drawTemperature);
    const barred = position < (params.minCompletionTokens ?? 0) ? params.stopTokenIds : [];
    const counter = [params.iteration, promptId, sampleIndex, position] as const;
    const uniform = uniformAt(params.seed, hashString("sample"), counter);
    const { adjustments, prompt = new Int32Array(0), completion = [] } = adjusting;
    const adjusted = adjust(this.logits(previous), prompt, completion, adjustments);
    const drawn = adjustments ? logSoftmax(adjusted.map((value) => value / drawTemperature)) : distribution;
    const { token, kept } = drawToken(drawn, params, barred, uniform);
    const reported = this.logprobs(previous, logprobTemperature ?? drawTemperature);
    return { token, logprob: reported[token]!, top: ranked(reported, topLogprobs), ...(kept && { kept }) };
  }

  snapshot(): Promise<TabularEngine> {
    return this.inTurn(() => {
      const copy = new TabularSnapshot(this.info as TabularOptions);
      copy.setWeights(this.weights());
      return copy;
    });
  }

  openSession(): StepSession {
    const last = (tokens: ArrayLike<number>) => tokens[tokens.length - 1];
    return new StepSession({
      inTurn: (work) => this.inTurn(work),
      check: (request) => requireSequence(this.info, request),
      next: (request: SequenceRequest, tokens) =>
        this.drawAfter(
          last(tokens) ?? last(request.tokens)!,
          request.params,
          { ...request, position: tokens.length },
          {
            ...(request.adjustments && { adjustments: request.adjustments }),
            prompt: request.tokens,
            completion: tokens,
          },
        ),
      scorePrompt: (request) => this.scorePrompt(request),
    });
  }

  private scorePrompt({ tokens, promptLogprobs = 0 }: SequenceRequest): PromptLogprobs {
    const distributions = Array.from(tokens.subarray(0, -1), (previous) => this.logprobs(previous, 1));
    const top = distributions.flatMap((distribution) => ranked(distribution, promptLogprobs));
    return {
      logprobs: Float32Array.from(distributions, (distribution, i) => distribution[tokens[i + 1]!]!),
      topTokens: Int32Array.from(top, ({ token }) => token),
      topLogprobs: Float32Array.from(top, ({ logprob }) => logprob),
    };
  }

  score(data: readonly ScoreDatum[], options: ScoreOptions & { policy?: PolicyName }): Promise<ScoreResult> {
    return this.inTurn(() => this.scored(data, options));
  }

  private scored(data: readonly ScoreDatum[], options: ScoreOptions & { policy?: PolicyName }): Required<ScoreResult> {
    requireTemperature(options.temperature);
    if (data.length === 0) throw new EngineError("Expected at least one datum, got none.");
    if (new Set(data.map(({ keptTokens }) => keptTokens !== undefined)).size > 1) {
      throw new EngineError("Expected keptTokens in all data of a call, or in none.");
    }
    if (options.policy === "reference" && !this.reference) {
      throw new EngineError("No reference policy is frozen; call freezeReference() first.");
    }
    const weights = options.policy === "reference" ? this.reference : undefined;
    const logprobs: Float32Array[] = [];
    const entropies: Float32Array[] = [];
    for (const datum of data) {
      requireDatum(this.info, datum);
      const distributions = previousTokens(datum).map((previous, t) =>
        among(this.logprobs(previous, options.temperature, weights?.table, weights?.bias), datum.keptTokens?.[t]),
      );
      logprobs.push(Float32Array.from(distributions, (distribution, t) => distribution[datum.completionTokens[t]!]!));
      entropies.push(Float32Array.from(distributions, entropyOf));
    }
    return { logprobs, entropies };
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.inTurn(() => this.accumulate(data, loss));
  }

  private accumulate(data: readonly Datum[], loss: LossSpec): ForwardBackwardResult {
    requireLoss(loss);
    const temperature = lossTemperature(loss);
    const scored = this.scored(data, { temperature });
    for (const datum of data) requireColumns(datum, loss);
    let total = 0;
    for (const [i, datum] of data.entries()) {
      for (const [t, previous] of previousTokens(datum).entries()) {
        const logprob = scored.logprobs[i]![t]!;
        const [advantage, samplerLogprob] = [datum.advantages?.[t] ?? 0, datum.samplerLogprobs?.[t] ?? 0];
        const refLogprob = datum.refLogprobs?.[t] ?? 0;
        const { value: term, slope } = tokenTerm(loss, { logprob, advantage, samplerLogprob, refLogprob });
        const weight = datum.weights[t]!;
        total += weight * term;
        const distribution = among(this.logprobs(previous, temperature), datum.keptTokens?.[t]);
        if (loss.entropyBonus) {
          const entropyWeight = datum.entropyWeights![t]!;
          total -= entropyWeight * scored.entropies[i]![t]!;
          this.addEntropyGradient(previous, -entropyWeight / temperature, distribution);
        }
        this.addGradient(previous, datum.completionTokens[t]!, (weight * slope) / temperature, distribution);
      }
    }
    this.hasGradient = true;
    this.lossIsFinite &&= Number.isFinite(total);
    return { ...scored, loss: total };
  }

  /** Adds `scale` · ∂(T · logπ(token)) / ∂logits = scale · (onehot(token) − π) to the gradient of row `previous`. */
  private addGradient(previous: number, token: number, scale: number, distribution: Float64Array): void {
    const V = this.info.vocabSize;
    for (let next = 0; next < V; next++) {
      const derivative = scale * ((next === token ? 1 : 0) - Math.exp(distribution[next]!));
      this.table.gradient[previous * V + next]! += derivative;
      this.bias.gradient[next]! += derivative;
    }
  }

  /** Adds `scale` · ∂(T · H) / ∂logits = −scale · π · (logπ + H) to the gradient of row `previous`. */
  private addEntropyGradient(previous: number, scale: number, distribution: Float64Array): void {
    const V = this.info.vocabSize;
    const entropy = entropyOf(distribution);
    for (let next = 0; next < V; next++) {
      if (distribution[next] === Number.NEGATIVE_INFINITY) continue;
      const derivative = -scale * Math.exp(distribution[next]!) * (distribution[next]! + entropy);
      this.table.gradient[previous * V + next]! += derivative;
      this.bias.gradient[next]! += derivative;
    }
  }

  step(data: readonly Datum[], loss: LossSpec, adam: AdamParams): Promise<StepResult<ForwardBackwardResult>> {
    return this.inTurn(() => {
      requireAdam(adam);
      return { ...this.accumulate(data, loss), ...this.stepped(adam) };
    });
  }

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.inTurn(() => this.stepped(params));
  }

  private stepped(params: AdamParams): OptimStepResult {
    requireAdam(params);
    if (!this.hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
    this.hasGradient = false;
    const parameters = [this.table, this.bias];
    let squares = 0;
    for (const { gradient } of parameters) for (const value of gradient) squares += value * value;
    const gradNorm = Math.sqrt(squares);
    const applied = this.lossIsFinite && Number.isFinite(gradNorm);
    this.lossIsFinite = true;
    if (applied) {
      this.stepCount++;
      const clip = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm ? params.maxGradNorm / gradNorm : 1;
      for (const parameter of parameters) adamStep(parameter, clip, this.stepCount, params);
    }
    for (const { gradient } of parameters) gradient.fill(0);
    return { gradNorm, applied };
  }

  resetOptimizer(): Promise<void> {
    return this.inTurn(() => {
      this.stepCount = 0;
      this.hasGradient = false;
      for (const { gradient, firstMoment, secondMoment } of [this.table, this.bias]) {
        for (const values of [gradient, firstMoment, secondMoment]) values.fill(0);
      }
    });
  }

  freezeReference(mixup = 1): Promise<void> {
    return this.inTurn(() => {
      requireNumbers("a share in (0, 1]", mixup > 0 && mixup <= 1, { mixup });
      if (mixup < 1) {
        if (!this.reference) throw new EngineError("No reference policy is frozen; call freezeReference() first.");
        const mix = (own: Float32Array, policy: Float32Array) =>
          own.map((value, i) => (1 - mixup) * value + mixup * policy[i]!);
        const { table, bias } = this.reference;
        this.reference = { table: mix(table, this.table.weights), bias: mix(bias, this.bias.weights) };
        return;
      }
      this.reference = { table: this.table.weights.slice(), bias: this.bias.weights.slice() };
    });
  }

  saveState(directory: string): Promise<void> {
    return this.inTurn(async () => {
      const state = {
        vocabSize: this.info.vocabSize,
        stepCount: this.stepCount,
        arrays: Object.fromEntries([...this.stateArrays()].map(([name, values]) => [name, [...values]])),
        reference: this.reference && { table: [...this.reference.table], bias: [...this.reference.bias] },
      };
      await writeFile(join(directory, STATE_FILE), JSON.stringify(state));
    });
  }

  loadState(directory: string): Promise<void> {
    return this.inTurn(async () => {
      const text = await readFile(join(directory, STATE_FILE), "utf8").catch(() => {
        throw new CheckpointError(`Expected ${STATE_FILE} in ${directory}, which has none.`);
      });
      const state = JSON.parse(text);
      if (state.vocabSize !== this.info.vocabSize) {
        throw new CheckpointError(`Expected a state of ${this.info.vocabSize} tokens, got one of ${state.vocabSize}.`);
      }
      for (const [name, values] of this.stateArrays()) values.set(state.arrays[name]);
      for (const { gradient } of [this.table, this.bias]) gradient.fill(0);
      this.hasGradient = false;
      this.stepCount = state.stepCount;
      this.reference = state.reference && {
        table: Float32Array.from(state.reference.table),
        bias: Float32Array.from(state.reference.bias),
      };
    });
  }

  saveWeights(directory: string): Promise<void> {
    return this.inTurn(async () => {
      const weights = { table: [...this.table.weights], bias: [...this.bias.weights] };
      await writeFile(join(directory, "tabular-weights.json"), JSON.stringify(weights));
    });
  }

  dispose(): Promise<void> {
    return this.turns.take(async () => {
      this.disposed = true;
    });
  }

  private inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    return this.turns.take(async () => {
      if (this.disposed) throw new EngineError("This engine was disposed of.");
      return work();
    });
  }

  /** A copy of the weights, table then bias: for tests that compare runs or differentiate numerically. */
  weights(): Float32Array {
    return Float32Array.from([...this.table.weights, ...this.bias.weights]);
  }

  /** Replaces the weights, in the order of `weights()`. */
  setWeights(values: Float32Array): void {
    this.table.weights.set(values.subarray(0, this.table.weights.length));
    this.bias.weights.set(values.subarray(this.table.weights.length));
  }

  /** A copy of the accumulated gradient, in the order of `weights()`. */
  gradient(): Float64Array {
    return Float64Array.from([...this.table.gradient, ...this.bias.gradient]);
  }

  /** Log-softmax of logits / temperature after `previous`, [V]. */
  private logprobs(
    previous: number,
    temperature: number,
    table = this.table.weights,
    bias = this.bias.weights,
  ): Float64Array {
    return logSoftmax(this.logits(previous, table, bias).map((value) => value / temperature));
  }

  private logits(previous: number, table = this.table.weights, bias = this.bias.weights): Float64Array {
    return Float64Array.from(bias, (value, next) => table[previous * this.info.vocabSize + next]! + value);
  }

  private *stateArrays(): Generator<[string, Float32Array]> {
    for (const [name, parameter] of [["table", this.table] as const, ["bias", this.bias] as const]) {
      yield [name, parameter.weights];
      yield [`${name}.firstMoment`, parameter.firstMoment];
      yield [`${name}.secondMoment`, parameter.secondMoment];
    }
  }
}

class TabularSnapshot extends TabularEngine {
  override readonly capabilities: Capabilities = { ...TABULAR_CAPABILITIES, losses: [], training: "none" };
}

/** The most probable tokens, from the top down, equals by id. */
function ranked(logprobs: Float64Array, count: number): TokenLogprob[] {
  return Array.from(logprobs, (logprob, token) => ({ token, logprob }))
    .sort((a, b) => b.logprob - a.logprob || a.token - b.token)
    .slice(0, count);
}
