/**
 * The Tinker server without its transport: sessions, models, sampling sessions and checkpoints over one base, and what each
 * request does to them. How requests arrive is `tinker-routes.ts`.
 */

import type { Policy, PolicyInfo } from "../../engine/contract/policy.ts";
import type { Sampler } from "../../engine/contract/sampler.ts";
import type { SharedBase } from "../../engine/engine-kind.ts";
import { hashString } from "../../random.ts";
import { AHA_EXTENSION } from "../../tinker/aha-extension.ts";
import { FORWARD_BACKWARD_REQUEST } from "../../tinker/messages.ts";
import type { RequestBody } from "../../tinker/requests.ts";
import { formatTinkerPath, parseTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import { loraOf, weightsInfo } from "./adapter-form.ts";
import { CheckpointStore, type ModelDescription } from "./checkpoint-store.ts";
import { ClientSessions, type SamplingTarget } from "./client-sessions.ts";
import { forwardBackward } from "./forward-backward.ts";
import { type FutureResult, Futures } from "./futures.ts";
import type { TinkerLimits } from "./limits.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import { GatheredCalls, type SampledModel, sampleInSession, sampleJob } from "./sample.ts";
import { OpenSampler, Samplers } from "./samplers.ts";
import { adamOf, TrainingModel } from "./training-model.ts";

/** The base that all models of the server are adapters of. */
export interface ServedBase extends SampledModel {
  /** What clients call it. */
  readonly name: string;
  readonly base: SharedBase;
  readonly info: PolicyInfo;
  /** Where its tokenizer is: a directory, or a name on the Hub. */
  readonly tokenizerId: string;
}

export interface ServiceOptions {
  /** Where checkpoints are kept. */
  readonly directory: string;
  readonly limits: TinkerLimits;
  readonly onDefect: (error: unknown) => void;
}

const SWEEP_MS = 15_000;

/** How the names begin of what is saved without one, for as long as its session lasts. */
export const UNNAMED = "unnamed-";

/** All that the server has open. */
export class TinkerService {
  readonly limits: TinkerLimits;
  readonly checkpoints: CheckpointStore;
  readonly futures: Futures;
  readonly sessions: ClientSessions;
  readonly #base: ServedBase;
  readonly #samplers: Samplers;
  readonly #calls = new GatheredCalls();
  readonly #sweeping: ReturnType<typeof setInterval>;
  readonly #onDefect: (error: unknown) => void;

  constructor(base: ServedBase, { directory, limits, onDefect }: ServiceOptions) {
    this.#base = base;
    this.limits = limits;
    this.#onDefect = onDefect;
    this.checkpoints = new CheckpointStore(directory);
    this.#samplers = new Samplers(limits.mostOpenSamplers);
    this.futures = new Futures(
      {
        mostPending: limits.mostPending,
        mostResultBytes: limits.mostResultBytes,
        keptMs: limits.resultsKeptMs,
        pollMs: limits.pollMs,
      },
      onDefect,
    );
    this.sessions = new ClientSessions(limits, (target) => this.#targetEnded(target));
    this.#sweeping = setInterval(() => void this.#sweep(), Math.min(SWEEP_MS, limits.sessionSilentMs / 2));
    this.#sweeping.unref();
  }

  /** What clients may ask for. */
  capabilities(): object {
    const { name, info } = this.#base;
    const model = { model_name: name, max_context_length: info.maxContextTokens, trainable: true, sampleable: true };
    const own = {
      vocab_size: info.vocabSize,
      max_context_tokens: info.maxContextTokens,
      eos_token_ids: info.eosTokenIds,
      parameter_count: info.parameterCount,
    };
    return { supported_models: [model], aha: { extension: AHA_EXTENSION, models: { [name]: own } } };
  }

  /** Begins to make a model. Returns the id of the request. */
  createModel(body: RequestBody<"create_model">, text: string): string {
    const { session_id, model_seq_id } = body;
    this.sessions.heard(session_id);
    return this.futures.begin(`model ${session_id} ${model_seq_id}`, text, async () => {
      this.#requireBase(body.base_model);
      const type = body.optimizer_config?.type ?? "adamw";
      if (type !== "adamw") throw new RequestFailure(`This server's optimizer is AdamW, not ${type}.`);
      const seed = body.lora_config?.seed ?? hashString(`${session_id} ${model_seq_id}`);
      const description: ModelDescription = {
        baseModel: this.#base.name,
        lora: loraOf(body.lora_config, this.limits),
        seed,
        userMetadata: body.user_metadata ?? null,
      };
      const model = await this.#openModel(session_id, model_seq_id, description);
      await model.policy();
      return json({ type: "create_model", model_id: model.id });
    });
  }

  /** Begins to load weights: into a model that is there, or into a new one that is made of them. */
  loadWeights(body: RequestBody<"load_weights">, text: string): string {
    const { session_id, model_seq_id, model_id, seq_id, optimizer } = body;
    const isNew = session_id != null && model_seq_id != null;
    if (!isNew && (model_id == null || seq_id == null)) {
      throw new Refusal(422, "load_weights takes session_id and model_seq_id for a new model, or model_id and seq_id.");
    }
    if (isNew) {
      this.sessions.heard(session_id);
      return this.futures.begin(`model ${session_id} ${model_seq_id}`, text, async () => {
        if (body.base_model != null) this.#requireBase(body.base_model);
        const checkpoint = await this.#trainingCheckpoint(body.path);
        const { baseModel, lora, seed } = checkpoint;
        const description = { baseModel, lora, seed, userMetadata: body.user_metadata ?? checkpoint.userMetadata };
        const model = await this.#openModel(session_id, model_seq_id, description, async (policy) =>
          restore(policy, checkpoint.directory, optimizer),
        );
        await model.policy();
        return json({ type: "load_weights", path: body.path, model_id: model.id });
      });
    }
    const model = this.sessions.model(model_id!);
    return this.#training(model, seq_id!, text, async (policy) => {
      const checkpoint = await this.#trainingCheckpoint(body.path);
      const { lora } = model.description;
      if (JSON.stringify(checkpoint.lora) !== JSON.stringify(lora)) {
        throw new RequestFailure(
          `${body.path} is of another form of adapter than ${model.id}: load it into a new model.`,
        );
      }
      await restore(policy, checkpoint.directory, optimizer);
      return json({ type: "load_weights", path: body.path, model_id: model.id });
    });
  }

  getInfo({ model_id }: RequestBody<"get_info">): object {
    const model = this.sessions.model(model_id);
    const { name, tokenizerId } = this.#base;
    return {
      type: "get_info",
      model_id,
      model_data: { arch: "transformer", model_name: name, tokenizer_id: tokenizerId },
      is_lora: true,
      lora_rank: model.description.lora.rank,
      model_name: name,
    };
  }

  unload({ model_id }: RequestBody<"unload_model">, text: string): string {
    return this.futures.begin(`unload ${model_id}`, text, async () => {
      await this.sessions.removeModel(model_id);
      return json({ type: "unload_model", model_id });
    });
  }

  /** Begins a pass, by its bytes. */
  forwardBackward(modelId: string, seqId: number, bytes: Uint8Array): string {
    return this.#training(this.sessions.model(modelId), seqId, bytes, async (policy) => {
      const request = FORWARD_BACKWARD_REQUEST.decode(bytes);
      if (request.data.length > this.limits.mostData) {
        throw new RequestFailure(
          `The request has ${request.data.length} data; send at most ${this.limits.mostData} at once.`,
        );
      }
      return forwardBackward(policy, request, (id, score) => this.sessions.target(id).sampler().use(score));
    });
  }

  /** Takes the place of a request that makes no sense. */
  failNumber(modelId: string, seqId: number, body: string, why: string): string {
    return this.#training(this.sessions.model(modelId), seqId, body, async () => {
      throw new RequestFailure(why);
    });
  }

  optimStep(body: RequestBody<"optim_step">, text: string): string {
    return this.#training(this.sessions.model(body.model_id), body.seq_id, text, async (policy) => {
      const { gradNorm, applied } = await policy.optimStep(adamOf(body));
      const metrics = {
        ...(gradNorm !== undefined && Number.isFinite(gradNorm) && { grad_norm: gradNorm }),
        applied: applied ? 1 : 0,
      };
      return json({ type: "optim_step", metrics });
    });
  }

  saveWeights(body: RequestBody<"save_weights">, text: string): string {
    const model = this.sessions.model(body.model_id);
    return this.#training(model, body.seq_id, text, async (policy) => {
      const path: TinkerPath = { modelId: model.id, kind: "weights", name: body.path ?? model.unnamed() };
      const { digest } = await this.checkpoints.save(
        path,
        savedAs(model, body.user_metadata),
        keepFor(body),
        (directory) => policy.saveState(directory),
      );
      return json({ type: "save_weights", path: formatTinkerPath(path), digest });
    });
  }

  saveForSampler(body: RequestBody<"save_weights_for_sampler">, text: string): string {
    const model = this.sessions.model(body.model_id);
    const { sampling_session_seq_id: number, kind } = body;
    return this.#training(model, body.seq_id, text, async (policy) => {
      const name = body.path ?? `${UNNAMED}${number ?? model.unnamed()}`;
      const path: TinkerPath = { modelId: model.id, kind: "sampler_weights", name };
      const keep = { ...keepFor(body), overwrite: body.overwrite === true || kind === "inflight" };
      const saved = await this.checkpoints.save(path, savedAs(model, body.user_metadata), keep, (directory) =>
        policy.saveWeights(directory),
      );
      const text = formatTinkerPath(path);
      this.#samplers.forget(text);
      const snapshot = await policy.snapshot?.();
      this.#samplers.get(text, () => new OpenSampler(() => this.#openCheckpoint(path), snapshot));
      if (number == null) {
        return json({ type: "save_weights_for_sampler", path: text, digest: saved.digest });
      }
      const id = samplingId(model.sessionId, number);
      const own = body.path == null ? null : text;
      this.#addTarget(id, model.sessionId, own, text, path);
      return json({ type: "save_weights_for_sampler", path: own, sampling_session_id: id, digest: saved.digest });
    });
  }

  /** A sampling session of the base, or of a checkpoint. Throws Refusal for one that is not there. */
  async createSamplingSession(body: RequestBody<"create_sampling_session">): Promise<object> {
    const { session_id, sampling_session_seq_id, base_model, model_path } = body;
    this.sessions.heard(session_id);
    const id = samplingId(session_id, sampling_session_seq_id);
    const answer = { type: "create_sampling_session", sampling_session_id: id };
    if (this.sessions.targets.has(id)) return answer;
    if (model_path != null) {
      const path = parseTinkerPath(model_path);
      if (path.kind !== "sampler_weights") {
        throw new Refusal(
          400,
          `${model_path} has the state of training; sample from what save_weights_for_sampler saved.`,
        );
      }
      await this.checkpoints.find(path);
      this.#addTarget(id, session_id, model_path, model_path, path);
    } else {
      this.#requireBase(base_model ?? "");
      this.#addTarget(id, session_id, null, "base", undefined);
    }
    return answer;
  }

  joinSamplingSession({ sampling_session_id }: RequestBody<"join_sampling_session">): object {
    const target = this.sessions.target(sampling_session_id);
    return { type: "join_sampling_session", client_counter: ++target.joined };
  }

  getSampler(id: string): object {
    const { modelPath } = this.sessions.target(id);
    return { sampler_id: id, base_model: this.#base.name, ...(modelPath !== null && { model_path: modelPath }) };
  }

  /** Begins to sample. */
  sample(body: RequestBody<"asample">, text: string): { readonly requestId: string; readonly sequenceIds: string[] } {
    const target = this.sessions.target(body.sampling_session_id);
    const key = `sample ${target.id} ${body.seq_id}`;
    const requestId = this.futures.begin(key, text, async (signal): Promise<FutureResult> => {
      const job = sampleJob(body, this.#base, key);
      if (job.call !== undefined) {
        return this.#calls.sample(target.id, job, (work) => target.sampler().use((sampler) => work(sampler)));
      }
      return target.sampler().use((_, session) => sampleInSession(job, session(), this.#base.tokenizer, signal));
    });
    const sequenceIds = Array.from({ length: body.num_samples }, (_, i) => `${requestId}-${i}`);
    return { requestId, sequenceIds };
  }

  async weightsInfo({ tinker_path }: RequestBody<"weights_info">): Promise<object> {
    const { baseModel, lora } = await this.checkpoints.find(parseTinkerPath(tinker_path));
    return weightsInfo(baseModel, lora);
  }

  /** A checkpoint was removed: nobody samples from it any more. */
  forgetSampler(path: TinkerPath): void {
    this.#samplers.forget(formatTinkerPath(path));
  }

  /** Ends everything, once what is being computed is done. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.futures.close();
    await this.sessions.close();
    await this.#samplers.close();
    this.#base.base.dispose();
  }

  /** A request of a model, in its turn: one that is sent twice is one. */
  #training(
    model: TrainingModel,
    seqId: number,
    body: string | Uint8Array,
    work: (policy: Policy) => Promise<FutureResult>,
  ): string {
    return this.futures.begin(`train ${model.id} ${seqId}`, body, () => model.inTurn(seqId, work));
  }

  async #openModel(
    sessionId: string,
    modelSeqId: number,
    description: ModelDescription,
    prepare: (policy: Policy) => Promise<void> = async () => {},
  ): Promise<TrainingModel> {
    const { models } = this.sessions;
    if (models.size >= this.limits.mostModels) {
      throw new RequestFailure(
        `The server has ${models.size} models, as many as it takes: unload one, or end the session that has it.`,
      );
    }
    const id = `${sessionId}:train:${modelSeqId}`;
    const policy = this.#openPolicy(description, prepare);
    const model = new TrainingModel(id, sessionId, description, policy, this.limits.missingNumberMs);
    this.sessions.addModel(model);
    try {
      await policy;
      await this.checkpoints.addRun(id, description);
    } catch (error) {
      await this.sessions.removeModel(id);
      throw error;
    }
    return model;
  }

  async #openPolicy({ lora, seed }: ModelDescription, prepare: (policy: Policy) => Promise<void>): Promise<Policy> {
    const policy = await this.#base.base.open({ lora, adapterSeed: seed });
    try {
      await prepare(policy);
    } catch (error) {
      await policy.dispose();
      throw error;
    }
    return policy;
  }

  #requireBase(name: string): void {
    if (name === this.#base.name) return;
    throw new RequestFailure(
      `This server has the model ${this.#base.name}, not ${JSON.stringify(name.slice(0, 200))}.`,
    );
  }

  async #trainingCheckpoint(text: string) {
    const path = parseTinkerPath(text);
    if (path.kind !== "weights")
      throw new RequestFailure(`${text} has no state of training: load what save_weights saved.`);
    return this.checkpoints.find(path);
  }

  async #openCheckpoint(path: TinkerPath): Promise<Sampler> {
    const { directory } = await this.checkpoints.find(path);
    return this.#base.base.open({ adapter: directory });
  }

  #addTarget(
    id: string,
    sessionId: string,
    modelPath: string | null,
    name: string,
    path: TinkerPath | undefined,
  ): void {
    const open = () => (path ? this.#openCheckpoint(path) : this.#base.base.open({}));
    const sampler = () => this.#samplers.get(name, () => new OpenSampler(open));
    this.sessions.addTarget({ id, sessionId, modelPath, sampler, joined: 0, weights: path });
  }

  /** What a client saved without a name goes with its session. */
  async #targetEnded({ weights }: SamplingTarget): Promise<void> {
    if (weights === undefined || !weights.name.startsWith(UNNAMED)) return;
    this.#samplers.forget(formatTinkerPath(weights));
    await this.checkpoints.remove(weights).catch(() => {});
  }

  async #sweep(): Promise<void> {
    try {
      this.futures.sweep();
      await this.sessions.sweep();
      await this.checkpoints.sweep();
    } catch (error) {
      this.#onDefect(error);
    }
  }
}

const json = (value: object): FutureResult => ({ kind: "json", value });

const samplingId = (sessionId: string, number: number) => `${sessionId}:sample:${number}`;

async function restore(policy: Policy, directory: string, optimizer: boolean): Promise<void> {
  await policy.loadState(directory);
  if (!optimizer) await policy.resetOptimizer();
}

function savedAs(
  { description }: TrainingModel,
  metadata: RequestBody<"save_weights">["user_metadata"],
): ModelDescription {
  return metadata == null ? description : { ...description, userMetadata: metadata };
}

function keepFor({ overwrite, ttl_seconds }: Pick<RequestBody<"save_weights">, "overwrite" | "ttl_seconds">) {
  return { overwrite: overwrite === true, ttlSeconds: ttl_seconds ?? null };
}
