/**
 * A policy on a Tinker server: the contract's verbs as requests of the protocol.
 *
 * Verbs take turns, as everywhere. What is sampled from is a snapshot, made when the weights have changed since the last
 * one; the reference is another one, under a name. A state is loaded into a new model, which takes the place of the old one:
 * so it works on servers that load into new models alone, and one that cannot be loaded changes nothing.
 */

import { CheckpointError, EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import type { Capabilities } from "../contract/capabilities.ts";
import type {
  AdamParams,
  Datum,
  EngineUsage,
  ForwardBackwardResult,
  OptimStepResult,
  Policy,
  PolicyInfo,
  PolicyName,
  StatesElsewhere,
  StepResult,
} from "../contract/policy.ts";
import type {
  SampledSequence,
  SampleProgress,
  Sampler,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
} from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import type { SamplingSession } from "../contract/session.ts";
import {
  requireAdam,
  requireData,
  requireLoss,
  requireMixup,
  requireSampling,
  requireTemperature,
} from "../local/requests.ts";
import { VerbTurns } from "../turns.ts";
import { passesOf, scorePass } from "./passes.ts";
import type { Pass, RemoteModel } from "./remote-model.ts";
import {
  capabilitiesOf,
  createModel,
  createModelOf,
  endSession,
  type RemotePolicyParts,
  unloadModel,
} from "./remote-parts.ts";
import {
  BASE,
  freezeReference,
  openReference,
  type RemoteReference,
  releaseReference,
  requirePath,
  requireSession,
} from "./remote-reference.ts";
import { RemoteSampler } from "./remote-sampler.ts";
import { RemoteSession } from "./remote-session.ts";
import { RemoteSnapshots } from "./remote-snapshots.ts";
import { sampleRemotely } from "./sample-remotely.ts";
import { removeCheckpoint } from "./saved-files.ts";
import { resultOf } from "./wire-data.ts";

/** What is sent at once, below what servers take. */
const MOST_BYTES = { plain: 4_500_000, extended: 48_000_000 } as const;

/** The number of the sampling session whose weights later saves replace, of the policy as it is. */
const CURRENT = "inflight" as const;

export class TinkerPolicy implements Policy {
  readonly info: PolicyInfo;
  readonly capabilities: Capabilities;
  readonly statesElsewhere: StatesElsewhere = {
    namedBy: (directory) => this.#parts.files.namedBy(directory),
    remove: (names) => this.#turns.take(() => this.#removeCheckpoints(names)),
  };
  readonly #parts: RemotePolicyParts;
  readonly #turns = new VerbTurns();
  #model: RemoteModel;
  /** Of the weights as they are; undefined where they have changed since. */
  #current: RemoteSampler | undefined;
  /** With the extension one sampling session has one snapshot after another. */
  #currentNumber: number | undefined;
  #currentSampler: RemoteSampler | undefined;
  readonly #snapshots: RemoteSnapshots;
  /** The file that the server keeps of the last snapshot, where it does. */
  #snapshotUri: string | undefined;
  #reference: RemoteReference | undefined;
  /** References that a state names: they go with it. */
  readonly #namedReferences = new Set<string>();
  /** Neither trained on nor stepped since the model was made. */
  #isPristine = true;
  /** The weights are the base's: no step was taken, and nothing loaded. */
  #isBase = true;
  /** A gradient was accumulated since the last step. */
  #hasGradient = false;

  private constructor(parts: RemotePolicyParts, model: RemoteModel) {
    this.#parts = parts;
    this.#model = model;
    this.#snapshots = new RemoteSnapshots(parts);
    this.info = parts.info;
    this.capabilities = capabilitiesOf(parts.profile);
  }

  /** Makes a model on the server. Throws EngineError where it refuses. */
  static async open(parts: RemotePolicyParts): Promise<TinkerPolicy> {
    return new TinkerPolicy(parts, await createModel(parts));
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.#turns.verb(async () => {
      requireSampling(this.info, prompts, params);
      const sampler = await this.#sampler();
      return sampleRemotely(sampler, this.#parts.profile, prompts, params, onProgress);
    });
  }

  openSession(): SamplingSession {
    if (!this.capabilities.sessions) throw new EngineError(`The engine ${this.info.name} has no sampling sessions.`);
    return new RemoteSession(this.info, () => this.#turns.verb(() => this.#sampler()));
  }

  score(
    data: readonly ScoreDatum[],
    { temperature, policy = "policy" }: ScoreOptions & { readonly policy?: PolicyName },
  ): Promise<ScoreResult> {
    return this.#turns.verb(async () => {
      this.#requireTemperature(temperature);
      requireData(this.info, data);
      if (policy === "policy") return this.#score(data, temperature, undefined);
      if (!this.#reference) {
        throw new EngineError("The reference policy was not frozen yet: call freezeReference first.");
      }
      const { profile } = this.#parts;
      const { sampler } = this.#reference;
      if (profile.extension) return this.#score(data, temperature, sampler.id);
      return { logprobs: await sampler.score(data, profile) };
    });
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.#turns.verb(async () => (await this.#train(data, loss)).result());
  }

  step(data: readonly Datum[], loss: LossSpec, adam: AdamParams): Promise<StepResult<ForwardBackwardResult>> {
    return this.#turns.verb(async () => {
      this.#requireAdam(adam);
      const training = await this.#train(data, loss);
      // Sent before the gradient is there: the server carries them out one after the other.
      const step = await this.#submitStep(adam);
      const [result, stepped] = await Promise.allSettled([training.result(), step()]);
      if (result.status === "rejected") throw result.reason;
      if (stepped.status === "rejected") throw stepped.reason;
      return { ...result.value, ...stepped.value };
    });
  }

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.#turns.verb(async () => {
      this.#requireAdam(params);
      if (!this.#hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
      return (await this.#submitStep(params))();
    });
  }

  freezeReference(mixup = 1): Promise<void> {
    return this.#turns.verb(async () => {
      requireMixup(mixup);
      if (mixup !== 1) {
        throw new EngineError(
          "The reference of an adapter can be frozen, not mixed with the policy: give a share of 1.",
        );
      }
      await this.#replaceReference(await freezeReference(this.#parts, this.#model, this.#isBase));
    });
  }

  snapshot(): Promise<Sampler> {
    return this.#turns.verb(async () => {
      if (!this.capabilities.snapshots) throw this.#lacks("snapshots: a model has one set of weights there");
      return this.#snapshots.take(this.#model, this.#isBase);
    });
  }

  resetOptimizer(): Promise<void> {
    return this.#turns.verb(async () => {
      if (this.#isPristine) return;
      const { path } = await this.#model.save("weights", "reset");
      await this.#replaceModel(requirePath(path), false);
      await removeCheckpoint(this.#parts.client.transport, requirePath(path));
    });
  }

  saveState(directory: string): Promise<void> {
    return this.#turns.verb(async () => {
      const { path, digest } = await this.#model.save("weights", "state");
      const uri = requirePath(path);
      // Where the server does not say what it saved, its name stands for it: a name is never saved to again.
      const artifact = { uri, digest: digest ?? uri };
      const { profile, baseModel } = this.#parts;
      const reference = this.#reference?.uri ?? null;
      if (reference !== null) this.#namedReferences.add(reference);
      await this.#parts.files.writeState(directory, artifact, { profile: profile.name, baseModel, reference });
    });
  }

  loadState(directory: string): Promise<void> {
    return this.#turns.verb(async () => {
      const { artifact, reference } = await this.#parts.files.readState(directory);
      if (reference !== null) this.#namedReferences.add(reference);
      let frozen: RemoteReference | undefined;
      try {
        if (reference !== null) frozen = await openReference(this.#parts, reference);
        await this.#replaceModel(artifact.uri, true);
        await this.#replaceReference(frozen);
      } catch (error) {
        if (frozen && frozen !== this.#reference) await releaseReference(this.#parts, frozen);
        if (!(error instanceof EngineError)) throw error;
        throw new CheckpointError(`The state in ${directory} cannot be loaded: ${error.message}`);
      }
    });
  }

  saveWeights(directory: string): Promise<void> {
    return this.#turns.verb(async () => {
      const saved = await this.#model.save("sampler", "weights");
      const uri = requirePath(saved.path);
      const { client, files, profile, lora, baseModel } = this.#parts;
      const { adapters, snapshots } = profile;
      if (adapters !== "none") await files.download(client.transport, uri, directory, { adapters, lora });
      // The server's own copy stays, for whoever samples there. Where a model has one set of weights, it is of this kind.
      const kept = snapshots === "apart" ? saved : await this.#model.save("weights", "weights");
      if (kept !== saved) await removeCheckpoint(client.transport, uri);
      const artifact = { uri: requirePath(kept.path), digest: kept.digest ?? requirePath(kept.path) };
      const { vocabSize, maxContextTokens, eosTokenIds } = this.info;
      const info = { vocabSize, maxContextTokens, eosTokenIds: [...eosTokenIds] };
      await files.writeWeights(directory, artifact, { profile: profile.name, baseModel, rank: lora.rank, info });
    });
  }

  usage(): EngineUsage {
    return { ...this.#parts.client.usage };
  }

  dispose(): Promise<void> {
    return this.#turns.end(() => endSession(this.#parts, [this.#snapshotUri, this.#reference?.file]));
  }

  /** The snapshot of the weights as they are. */
  async #sampler(): Promise<RemoteSampler> {
    if (this.#current) return this.#current;
    const { client, profile } = this.#parts;
    const isShared = profile.extension;
    const number = () => {
      this.#currentNumber = (isShared ? this.#currentNumber : undefined) ?? client.nextSamplingNumber();
      return this.#currentNumber;
    };
    const saved = await this.#model.saveUnnamed(number, isShared ? CURRENT : "snapshot");
    await this.#replaceSnapshot(saved.path ?? undefined);
    const id = requireSession(saved.sampling_session_id);
    if (this.#currentSampler?.id !== id) this.#currentSampler = new RemoteSampler(client, id);
    this.#current = this.#currentSampler;
    return this.#current!;
  }

  async #score(data: readonly ScoreDatum[], temperature: number, sampler: string | undefined): Promise<ScoreResult> {
    const { profile } = this.#parts;
    const outputs = await this.#results(await this.#submitPasses(scorePass(profile, data, temperature, sampler)));
    const { logprobs, entropies } = resultOf(outputs, data);
    return { logprobs, ...(entropies && profile.extension && { entropies }) };
  }

  /** Submits a training pass. What `result` gives is awaited later. */
  async #train(
    data: readonly Datum[],
    loss: LossSpec,
  ): Promise<{ readonly result: () => Promise<ForwardBackwardResult> }> {
    requireLoss(this.capabilities, loss);
    this.#requireTemperature(loss.temperature ?? 1);
    if (loss.entropyBonus && !this.capabilities.entropyBonus) throw this.#lacks("an entropy bonus");
    if (loss.embeddingNoise && !this.capabilities.embeddingNoise) throw this.#lacks("noise on embeddings");
    requireData(this.info, data);
    const { profile } = this.#parts;
    if (profile.reduction === "meanOfMeans" && this.#hasGradient) {
      throw new EngineError(
        `Under the profile ${profile.name} gradients are means, so those of several calls do not add up: give all data of a step in one call.`,
      );
    }
    const score = (own: readonly ScoreDatum[]) => this.#score(own, 1, undefined);
    const { pass, lossOf } = await passesOf(profile, data, loss, score);
    this.#isPristine = false;
    const submitted = await this.#submitPasses(pass);
    this.#hasGradient = true;
    return {
      result: async () => {
        const { logprobs, loss: said, entropies, margins } = resultOf(await this.#results(submitted), data);
        const extended = { ...(entropies && { entropies }), ...(margins && { margins }) };
        return { logprobs, loss: lossOf(said, logprobs), ...(profile.extension && extended) };
      },
    };
  }

  async #submitStep(adam: AdamParams): Promise<() => Promise<OptimStepResult>> {
    const request = await this.#model.submitStep(adam);
    this.#isPristine = false;
    this.#isBase = false;
    this.#hasGradient = false;
    this.#current = undefined;
    return async () => {
      try {
        return await this.#model.stepResult(request);
      } catch (error) {
        // A step that was refused has left the gradient.
        this.#hasGradient = true;
        throw error;
      }
    };
  }

  async #submitPasses(pass: Pass) {
    const { profile } = this.#parts;
    const most = { data: profile.mostData, bytes: MOST_BYTES[profile.extension ? "extended" : "plain"] };
    return this.#model.submitPass(pass, most);
  }

  #results(submitted: Awaited<ReturnType<RemoteModel["submitPass"]>>) {
    const { client } = this.#parts;
    return this.#model.settled(Promise.all(submitted.map((request) => client.forwardBackwardOutput(request))));
  }

  /** Removes the file of the snapshot before this one: there is one after each step. */
  async #replaceSnapshot(uri: string | undefined): Promise<void> {
    const before = this.#snapshotUri;
    this.#snapshotUri = uri;
    if (before !== undefined) await removeCheckpoint(this.#parts.client.transport, before);
  }

  async #replaceReference(reference: RemoteReference | undefined): Promise<void> {
    const before = this.#reference;
    this.#reference = reference;
    if (before) await releaseReference(this.#parts, before);
    if (before && !this.#namedReferences.has(before.uri)) await this.#removeCheckpoints([before.uri]);
  }

  /** Removes what is not in use. */
  async #removeCheckpoints(uris: readonly string[]): Promise<void> {
    const { transport } = this.#parts.client;
    const unused = uris.filter((uri) => uri !== this.#reference?.uri && uri !== BASE);
    await Promise.all(unused.map((uri) => removeCheckpoint(transport, uri)));
  }

  /** Puts a model made of a checkpoint in the place of this one. Where that fails nothing has changed. */
  async #replaceModel(path: string, optimizer: boolean): Promise<void> {
    const before = this.#model;
    this.#model = await createModelOf(this.#parts, path, optimizer);
    this.#current = undefined;
    this.#isPristine = !optimizer;
    this.#isBase = false;
    this.#hasGradient = false;
    await unloadModel(this.#parts.client, before);
  }

  #requireTemperature(temperature: number): void {
    requireTemperature(temperature);
    if (temperature !== 1 && !this.capabilities.scoringTemperature)
      throw this.#lacks(`a temperature of ${temperature}`);
  }

  #requireAdam(adam: AdamParams): void {
    requireAdam(adam);
    if (adam.maxGradNorm > 0 && !this.capabilities.gradientClipping) throw this.#lacks("clipping of the gradient");
    if (adam.weightDecay > 0 && !this.capabilities.weightDecay) throw this.#lacks("a weight decay of one model alone");
  }

  #lacks(what: string): EngineError {
    return new EngineError(`The engine ${this.info.name} does not have ${what}.`);
  }
}
