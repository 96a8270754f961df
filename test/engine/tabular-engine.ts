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
import type {
  AdamParams,
  Datum,
  Engine,
  EngineInfo,
  ForwardBackwardResult,
  ForwardResult,
  OptimStepResult,
  PolicyName,
  SampledSequence,
  SampleProgress,
  SamplePrompt,
  SamplingParams,
  ScoreDatum,
} from "../../src/engine/engine.ts";
import type { DrawnToken, SequenceRequest } from "../../src/engine/session.ts";
import { Turns } from "../../src/engine/turns.ts";
import { CheckpointError, EngineError } from "../../src/errors.ts";
import { type LossSpec, lossProblem, lossTemperature } from "../../src/losses/loss-spec.ts";
import { policyObjective } from "../../src/losses/policy-objective.ts";
import { klEstimate, policyTerm } from "../../src/losses/policy-terms.ts";
import { hashString, Random, uniformAt } from "../../src/random.ts";

import { StepSession } from "./step-session.ts";

const STATE_FILE = "tabular-state.json";

export interface TabularOptions {
  readonly vocabSize: number;
  readonly maxContextTokens?: number;
  readonly seed?: number;
  /** Standard deviation of the initial logits. */
  readonly initStd?: number;
  readonly eosTokenIds?: readonly number[];
}

/** A weight matrix or vector with its gradient and AdamW moments. */
interface Parameter {
  readonly weights: Float32Array;
  readonly gradient: Float64Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  /** AdamW leaves one-dimensional parameters undecayed. */
  readonly decays: boolean;
}

export class TabularEngine implements Engine {
  readonly info: EngineInfo;
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
      losses: ["cross_entropy", "grpo", "cispo", "sapo"],
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
        this.requireTokens(prompt.tokens, "a prompt");
        this.requireRoom(prompt.tokens.length + params.maxCompletionTokens);
      }
      const sequences: SampledSequence[] = [];
      const total = prompts.reduce((sum, { numSamples }) => sum + numSamples, 0);
      let tokens = 0;
      for (const [promptIndex, prompt] of prompts.entries()) {
        for (let sampleIndex = 0; sampleIndex < prompt.numSamples; sampleIndex++) {
          const sequence = this.sampleOne(prompt, promptIndex, sampleIndex, params);
          sequences.push(sequence);
          tokens += sequence.tokens.length;
          onProgress?.({ finished: sequences.length, total, tokens });
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
    place: { promptId: number; sampleIndex: number; position: number; topLogprobs?: number },
  ): DrawnToken & { readonly kept?: Int32Array } {
    const { promptId, sampleIndex, position, topLogprobs = 0 } = place;
    const distribution = this.logprobs(previous, params.temperature === 0 ? 1 : params.temperature);
    const barred = position < (params.minCompletionTokens ?? 0) ? params.stopTokenIds : [];
    const counter = [params.iteration, promptId, sampleIndex, position] as const;
    const uniform = uniformAt(params.seed, hashString("sample"), counter);
    const { token, kept } = drawToken(distribution, params, barred, uniform);
    const top = Array.from(distribution, (logprob, other) => ({ token: other, logprob }))
      .sort((a, b) => b.logprob - a.logprob || a.token - b.token)
      .slice(0, topLogprobs);
    return { token, logprob: distribution[token]!, top, ...(kept && { kept }) };
  }

  openSession(): StepSession {
    const last = (tokens: ArrayLike<number>) => tokens[tokens.length - 1];
    return new StepSession({
      inTurn: (work) => this.inTurn(work),
      check: ({ tokens, params }) => {
        requireSampling(params);
        this.requireTokens(tokens, "a prompt");
        this.requireRoom(tokens.length + params.maxCompletionTokens);
      },
      next: (request: SequenceRequest, tokens) =>
        this.drawAfter(last(tokens) ?? last(request.tokens)!, request.params, { ...request, position: tokens.length }),
    });
  }

  forward(data: readonly ScoreDatum[], options: { temperature: number; policy: PolicyName }): Promise<ForwardResult> {
    return this.inTurn(() => this.score(data, options));
  }

  private score(data: readonly ScoreDatum[], options: { temperature: number; policy: PolicyName }): ForwardResult {
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
      this.requireDatum(datum);
      const distributions = previousTokens(datum).map((previous, t) =>
        among(this.logprobs(previous, options.temperature, weights?.table, weights?.bias), datum.keptTokens?.[t]),
      );
      logprobs.push(Float32Array.from(distributions, (distribution, t) => distribution[datum.completionTokens[t]!]!));
      entropies.push(Float32Array.from(distributions, entropyOf));
    }
    return { logprobs, entropies };
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.inTurn(() => {
      requireLoss(loss);
      const temperature = lossTemperature(loss);
      const scored = this.score(data, { temperature, policy: "policy" });
      for (const datum of data) requireColumns(datum, loss);
      let total = 0;
      for (const [i, datum] of data.entries()) {
        for (const [t, previous] of previousTokens(datum).entries()) {
          const logprob = scored.logprobs[i]![t]!;
          const { term, slope } =
            loss.name === "cross_entropy" ? { term: -logprob, slope: -1 } : policyLossTerm(logprob, datum, t, loss);
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
    });
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

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.inTurn(() => {
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
    });
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
    const V = this.info.vocabSize;
    const logits = Float64Array.from(bias, (value, next) => (table[previous * V + next]! + value) / temperature);
    const max = logits.reduce((most, value) => Math.max(most, value), -Infinity);
    const logSum = max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0));
    return logits.map((value) => value - logSum);
  }

  private *stateArrays(): Generator<[string, Float32Array]> {
    for (const [name, parameter] of [["table", this.table] as const, ["bias", this.bias] as const]) {
      yield [name, parameter.weights];
      yield [`${name}.firstMoment`, parameter.firstMoment];
      yield [`${name}.secondMoment`, parameter.secondMoment];
    }
  }

  private requireDatum(datum: ScoreDatum): void {
    this.requireTokens(datum.promptTokens, "a prompt");
    this.requireTokens(datum.completionTokens, "a completion");
    this.requireRoom(datum.promptTokens.length + datum.completionTokens.length);
    const { completionTokens, keptTokens } = datum;
    if (keptTokens === undefined) return;
    const fits = keptTokens.length === completionTokens.length;
    if (fits && keptTokens.every((kept, t) => kept.includes(completionTokens[t]!))) return;
    throw new EngineError("Expected keptTokens for each completion token, itself among them.");
  }

  private requireTokens(tokens: Int32Array, what: string): void {
    if (tokens.length === 0) throw new EngineError(`Expected ${what} of at least one token, got none.`);
    const stray = tokens.find((token) => token < 0 || token >= this.info.vocabSize);
    if (stray === undefined) return;
    throw new EngineError(`Token ${stray} of ${what} is not in the vocabulary of ${this.info.vocabSize}.`);
  }

  private requireRoom(tokens: number): void {
    if (tokens <= this.info.maxContextTokens) return;
    throw new EngineError(`A sequence of ${tokens} tokens does not fit into ${this.info.maxContextTokens}.`);
  }
}

function newParameter(weights: Float32Array, decays: boolean): Parameter {
  return {
    weights,
    gradient: new Float64Array(weights.length),
    firstMoment: new Float32Array(weights.length),
    secondMoment: new Float32Array(weights.length),
    decays,
  };
}

/** The token before each completion token. */
function previousTokens({ promptTokens, completionTokens }: ScoreDatum): number[] {
  const last = promptTokens[promptTokens.length - 1]!;
  return Array.from(completionTokens, (_, t) => (t === 0 ? last : completionTokens[t - 1]!));
}

function entropyOf(logprobs: Float64Array): number {
  return -logprobs.reduce((sum, logprob) => (logprob === -Infinity ? sum : sum + Math.exp(logprob) * logprob), 0);
}

/** Greedy, or a draw from the tokens that top-k and then top-p leave, in order of falling probability (ties by id). */
function drawToken(
  logprobs: Float64Array,
  { temperature, topK, topP }: SamplingParams,
  barred: readonly number[],
  uniform: number,
): { readonly token: number; readonly kept?: Int32Array } {
  let ranked = Array.from(logprobs, (logprob, token) => ({ token, probability: Math.exp(logprob) }))
    .filter(({ token }) => !barred.includes(token))
    .sort((a, b) => b.probability - a.probability || a.token - b.token);
  if (temperature === 0) return { token: ranked[0]!.token };
  if (topK > 0) ranked = ranked.slice(0, topK);
  const mass = () => ranked.reduce((sum, { probability }) => sum + probability, 0);
  if (topP < 1) {
    const enough = topP * mass();
    let sum = 0;
    ranked = ranked.filter(({ probability }) => {
      const needed = sum < enough;
      sum += probability;
      return needed;
    });
  }
  const kept = topK > 0 || topP < 1 ? { kept: Int32Array.from(ranked, ({ token }) => token) } : {};
  let left = uniform * mass();
  for (const { token, probability } of ranked) {
    left -= probability;
    if (left < 0) return { token, ...kept };
  }
  return { token: ranked[ranked.length - 1]!.token, ...kept };
}

/** The distribution over `kept` alone, log-probabilities of all others −∞; the same one where nothing was left out. */
function among(logprobs: Float64Array, kept: Int32Array | undefined): Float64Array {
  if (kept === undefined) return logprobs;
  const mass = kept.reduce((sum, token) => sum + Math.exp(logprobs[token]!), 0);
  const result = new Float64Array(logprobs.length).fill(Number.NEGATIVE_INFINITY);
  for (const token of kept) result[token] = logprobs[token]! - Math.log(mass);
  return result;
}

/** The term of one token under a policy loss and its derivative with respect to logπ (see `loss-spec.ts`). */
function policyLossTerm(
  logprob: number,
  datum: Datum,
  t: number,
  loss: Exclude<LossSpec, { name: "cross_entropy" }>,
): { term: number; slope: number } {
  const objective = policyObjective({ ...loss, lossType: loss.name });
  const logRatio = logprob - datum.samplerLogprobs![t]!;
  const { value, byLogprob, byLogRatio } = policyTerm(objective, logprob, logRatio, datum.advantages![t]!);
  if (loss.klCoef === 0) return { term: value, slope: byLogprob + byLogRatio };
  const kl = klEstimate(objective.klEstimator, logprob, datum.refLogprobs![t]!);
  const factor = loss.klCoef * (loss.klBiasCorrection ? Math.exp(logRatio) : 1);
  const klSlope = kl.byLogprob + (loss.klBiasCorrection ? kl.value : 0);
  return { term: value + factor * kl.value, slope: byLogprob + byLogRatio + factor * klSlope };
}

function requireNumbers(what: string, valid: boolean, found: object): void {
  if (!valid) throw new EngineError(`Expected ${what}, got ${JSON.stringify(found)}.`);
}

function requireTemperature(temperature: number): void {
  requireNumbers("a temperature above 0", temperature > 0 && temperature < Infinity, { temperature });
}

function requireSampling(params: SamplingParams): void {
  const { temperature, topP, topK, maxCompletionTokens } = params;
  const valid = temperature >= 0 && temperature < Infinity && topP > 0 && topP <= 1 && topK >= 0;
  const whole = Number.isInteger(topK) && Number.isInteger(maxCompletionTokens) && maxCompletionTokens > 0;
  requireNumbers("parameters of a distribution, and whole limits", valid && whole, params);
}

function requireLoss(loss: LossSpec): void {
  if (loss.embeddingNoise)
    throw new EngineError("A table has no embeddings to add noise to: leave embeddingNoise out.");
  requireTemperature(lossTemperature(loss));
  const problem = lossProblem(loss);
  if (problem) throw new EngineError(problem);
}

function requireAdam(params: AdamParams): void {
  const finite = Object.values(params).every((value) => Number.isFinite(value) && value >= 0);
  requireNumbers(
    "numbers that AdamW takes",
    finite && params.beta1 < 1 && params.beta2 < 1 && params.epsilon > 0,
    params,
  );
}

function requireColumns(datum: Datum, loss: LossSpec): void {
  const columns: Record<string, Float32Array | undefined> = { weights: datum.weights };
  if (loss.entropyBonus) columns.entropyWeights = datum.entropyWeights;
  if (loss.name !== "cross_entropy") {
    Object.assign(columns, { advantages: datum.advantages, samplerLogprobs: datum.samplerLogprobs });
    if (loss.klCoef > 0) columns.refLogprobs = datum.refLogprobs;
  }
  for (const [name, column] of Object.entries(columns)) {
    if (column?.length === datum.completionTokens.length) continue;
    throw new EngineError(
      `The loss ${loss.name} needs ${datum.completionTokens.length} ${name}, one per completion token; got ${column?.length ?? "none"}.`,
    );
  }
}

/** AdamW with decoupled decay (Loshchilov & Hutter, arXiv:1711.05101) on the clipped gradient. */
function adamStep(parameter: Parameter, clip: number, stepCount: number, params: AdamParams): void {
  const { weights, gradient, firstMoment, secondMoment } = parameter;
  const { learningRate, beta1, beta2, epsilon } = params;
  const decay = parameter.decays ? 1 - learningRate * params.weightDecay : 1;
  for (let i = 0; i < weights.length; i++) {
    const slope = gradient[i]! * clip;
    firstMoment[i] = beta1 * firstMoment[i]! + (1 - beta1) * slope;
    secondMoment[i] = beta2 * secondMoment[i]! + (1 - beta2) * slope * slope;
    const direction = firstMoment[i]! / (1 - beta1 ** stepCount);
    const scale = Math.sqrt(secondMoment[i]! / (1 - beta2 ** stepCount)) + epsilon;
    weights[i] = decay * weights[i]! - (learningRate * direction) / scale;
  }
}
