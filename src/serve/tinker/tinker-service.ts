/**
 * The Tinker server without its transport: sessions, models, sampling sessions and checkpoints over one base, and what each
 * request does to them. How requests arrive is `tinker-routes.ts`.
 */

import { z } from "zod";
import type { Policy } from "../../engine/contract/policy.ts";
import { hashString } from "../../random.ts";
import { AHA_EXTENSION } from "../../tinker/aha-extension.ts";
import { FORWARD_BACKWARD_REQUEST } from "../../tinker/messages.ts";
import { REQUESTS, type RequestBody } from "../../tinker/requests.ts";
import { formatTinkerPath, parseTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import { loraOf, weightsInfo } from "./adapter-form.ts";
import { CheckpointStore, type ModelDescription } from "./checkpoint-store.ts";
import type { ClientSessions } from "./client-sessions.ts";
import { readTracedLoss } from "./custom-loss/traced-graph.ts";
import { CUSTOM_LOSS, forwardBackward } from "./forward-backward.ts";
import type { KeptSession } from "./found-sessions.ts";
import type { FutureResult } from "./future-result.ts";
import { Futures } from "./futures.ts";
import type { Journal } from "./journal.ts";
import type { TinkerLimits } from "./limits.ts";
import { type ModelSurroundings, openTrainingModel, reachOf, restoreModels } from "./open-models.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import { SamplingRequests, UNNAMED } from "./sampling-requests.ts";
import { requireBase, type ServedBase } from "./served-base.ts";
import { ServedSnapshots } from "./served-snapshots.ts";
import { adamOf, type TrainingModel } from "./training-model.ts";

export interface ServiceOptions {
  /** Where checkpoints are kept. */
  readonly directory: string;
  readonly limits: TinkerLimits;
  readonly onDefect: (error: unknown) => void;
}

/** Requests of a model in JSON, which have a number of it. */
export type NumberedRequest = "optim_step" | "save_weights" | "save_weights_for_sampler";
type NumberedBody = { [N in NumberedRequest]: { readonly name: N; readonly body: RequestBody<N> } }[NumberedRequest];
const addressSchema = z.object({ model_id: z.string(), seq_id: z.int().min(0) });

const SWEEP_MS = 15_000;

/** All that the server has open. */
export class TinkerService {
  readonly limits: TinkerLimits;
  readonly checkpoints: CheckpointStore;
  readonly futures: Futures;
  readonly sampling: SamplingRequests;
  readonly #base: ServedBase;
  readonly #journal: Journal;
  readonly #models: ModelSurroundings;
  readonly #sweeping: ReturnType<typeof setInterval>;
  readonly #onDefect: (error: unknown) => void;
  /** Resolves when the models of the server before this one are there. */
  #restored: Promise<unknown> = Promise.resolve();

  constructor(base: ServedBase, journal: Journal, { directory, limits, onDefect }: ServiceOptions) {
    this.#base = base;
    this.#journal = journal;
    this.limits = limits;
    this.#onDefect = onDefect;
    this.checkpoints = new CheckpointStore(directory, limits);
    this.futures = new Futures(
      {
        mostPending: limits.mostPending,
        mostResults: limits.mostResults,
        mostBytes: limits.mostResultBytes,
        mostBytesInMemory: limits.mostResultBytesInMemory,
        keptMs: limits.resultsKeptMs,
        pollMs: limits.pollMs,
      },
      journal,
      onDefect,
    );
    const parts = { checkpoints: this.checkpoints, journal, limits };
    this.sampling = new SamplingRequests({ ...parts, base, futures: this.futures });
    this.#models = {
      ...{ ...parts, base: base.base, sessions: this.sessions, onDefect },
      scorers: (id, score) => this.sessions.target(id).sampler().use(score),
    };
    this.#sweeping = setInterval(() => void this.#sweep(), Math.min(SWEEP_MS, limits.sessionSilentMs / 2));
    this.#sweeping.unref();
  }

  /** Saved weights for OpenAI's routes. */
  get snapshots(): ServedSnapshots {
    return new ServedSnapshots(this.checkpoints, this.sampling, this.#base.name);
  }

  get sessions(): ClientSessions {
    return this.sampling.sessions;
  }

  /** Takes a session over from the server before this one. Its models are computed again while others are served. */
  async restore(session: KeptSession): Promise<void> {
    this.sessions.restore(session.id);
    for (const { number, text } of session.losses) this.#restoreLoss(session.id, number, text);
    for (const kept of session.sampling) await this.sampling.restore(session.id, kept);
    for (const { record, result } of session.requests) {
      this.futures.restore(record, result?.kind === "gone" ? "gone" : result);
    }
    const { restored } = await restoreModels(this.#models, session, this.#restored);
    this.#restored = restored;
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
  async createModel(body: RequestBody<"create_model">, text: string): Promise<string> {
    const { session_id, model_seq_id } = body;
    this.sessions.heard(session_id);
    const place = { session: session_id, number: model_seq_id };
    return this.futures.begin(newModel("create_model", place), text, async () => {
      requireBase(this.#base, body.base_model);
      const type = body.optimizer_config?.type ?? "adamw";
      if (type !== "adamw") throw new RequestFailure(`This server's optimizer is AdamW, not ${type}.`);
      const seed = body.lora_config?.seed ?? hashString(`${session_id} ${model_seq_id}`);
      const description: ModelDescription = {
        baseModel: this.#base.name,
        lora: loraOf(body.lora_config, this.limits),
        seed,
        userMetadata: body.user_metadata ?? null,
      };
      const { id } = await openTrainingModel(this.#models, place, description);
      return json({ type: "create_model", model_id: id });
    });
  }

  /** Begins to load weights: into a model that is there, or into a new one that is made of them. */
  async loadWeights(body: RequestBody<"load_weights">, text: string): Promise<string> {
    const { session_id, model_seq_id, model_id, seq_id, optimizer } = body;
    const isNew = session_id != null && model_seq_id != null;
    if (!isNew && (model_id == null || seq_id == null)) {
      throw new Refusal(422, "load_weights takes session_id and model_seq_id for a new model, or model_id and seq_id.");
    }
    if (isNew) {
      this.sessions.heard(session_id);
      const place = { session: session_id, number: model_seq_id };
      return this.futures.begin(newModel("load_weights", place), text, async () => {
        if (body.base_model != null) requireBase(this.#base, body.base_model);
        const checkpoint = await this.#trainingCheckpoint(body.path);
        const { baseModel, lora, seed } = checkpoint;
        const description = { baseModel, lora, seed, userMetadata: body.user_metadata ?? checkpoint.userMetadata };
        const { id } = await openTrainingModel(this.#models, place, description, (policy) =>
          restore(policy, checkpoint.directory, optimizer),
        );
        return json({ type: "load_weights", path: body.path, model_id: id });
      });
    }
    const model = this.sessions.model(model_id!);
    return this.#training(model, "load_weights", seq_id!, text, async (policy) => {
      const checkpoint = await this.#trainingCheckpoint(body.path);
      const { lora } = model.description;
      if (JSON.stringify(checkpoint.lora) !== JSON.stringify(lora)) {
        throw new RequestFailure(
          `${body.path} is of another form of adapter than ${model.id}: load it into a new model.`,
        );
      }
      await restore(policy, checkpoint.directory, optimizer);
      // The checkpoint may be gone by the time when it would be loaded again.
      await model.keepBefore(seq_id!);
      return json({ type: "load_weights", path: body.path, model_id: model.id });
    });
  }

  #restoreLoss(session: string, number: number, text: string): void {
    try {
      this.sessions.restoreLoss(session, lossId(session, number), readTracedLoss(text));
    } catch (error) {
      // A file that the end of the machine cut. Whoever needs the loss hears that it is not there.
      this.#onDefect(error);
    }
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

  async unload({ model_id }: RequestBody<"unload_model">, text: string): Promise<string> {
    const session = this.sessions.models.get(model_id)?.sessionId ?? "";
    return this.futures.begin({ key: `unload ${model_id}`, session, name: "unload_model" }, text, async () => {
      await this.sessions.removeModel(model_id);
      return json({ type: "unload_model", model_id });
    });
  }

  /** Begins a pass, by its bytes. */
  async forwardBackward(modelId: string, seqId: number, bytes: Uint8Array): Promise<string> {
    const model = this.sessions.model(modelId);
    return this.#training(model, "forward_backward", seqId, bytes, async (policy, signal) => {
      const request = FORWARD_BACKWARD_REQUEST.decode(bytes);
      if (request.data.length > this.limits.mostData) {
        throw new RequestFailure(
          `The request has ${request.data.length} data; send at most ${this.limits.mostData} at once.`,
        );
      }
      const work = () => forwardBackward(policy, request, reachOf(this.#models, model.sessionId), signal);
      const result =
        request.lossFn === CUSTOM_LOSS
          ? await this.#journal.whileUnderWay("custom loss", model.sessionId, `${model.id} ${seqId}`, work)
          : await work();
      if (!request.forwardOnly) model.leftGradient();
      return result;
    });
  }

  /** Begins to check and keep a loss, which its session has from then on. */
  async createCustomLoss(body: RequestBody<"create_custom_loss">, text: string): Promise<string> {
    const { session_id: session, custom_loss_seq_id: number } = body;
    this.sessions.heard(session);
    const id = lossId(session, number);
    return this.futures.begin({ key: `loss ${id}`, session, name: "create_custom_loss" }, text, async () => {
      const loss = readTracedLoss(text);
      await this.sessions.addLoss(session, id, loss, () => this.#journal.keepLoss(session, number, text));
      return json({ type: "create_custom_loss", loss_id: id });
    });
  }

  /**
   * Begins a request that has a number of its model. One that makes no sense takes its place all the same, as a request that
   * fails: the client has used the number up, and those behind it wait for it.
   *
   * @throws ZodError where not even its number is one.
   */
  async numbered(
    name: NumberedRequest,
    value: unknown,
    text: string,
  ): Promise<{ readonly id: string; readonly model: string }> {
    const { success, data, error } = REQUESTS[name].safeParse(value);
    if (success) return { id: await this.#begin({ name, body: data } as NumberedBody, text), model: data.model_id };
    const address = addressSchema.safeParse(value);
    if (!address.success) throw error;
    const { model_id, seq_id } = address.data;
    const model = this.sessions.model(model_id);
    const id = await this.#training(model, name, seq_id, text, async () => {
      throw new RequestFailure(z.prettifyError(error));
    });
    return { id, model: model_id };
  }

  #begin(request: NumberedBody, text: string): Promise<string> {
    switch (request.name) {
      case "optim_step":
        return this.#optimStep(request.body, text);
      case "save_weights":
        return this.#saveWeights(request.body, text);
      case "save_weights_for_sampler":
        return this.#saveForSampler(request.body, text);
      default:
        return request satisfies never;
    }
  }

  async #optimStep(body: RequestBody<"optim_step">, text: string): Promise<string> {
    const model = this.sessions.model(body.model_id);
    return this.#training(model, "optim_step", body.seq_id, text, async (policy) => {
      const { gradNorm, applied } = await policy.optimStep(adamOf(body));
      model.stepped();
      const metrics = {
        ...(gradNorm !== undefined && Number.isFinite(gradNorm) && { grad_norm: gradNorm }),
        applied: applied ? 1 : 0,
      };
      return json({ type: "optim_step", metrics });
    });
  }

  async #saveWeights(body: RequestBody<"save_weights">, text: string): Promise<string> {
    const model = this.sessions.model(body.model_id);
    return this.#training(model, "save_weights", body.seq_id, text, async (policy) => {
      const path: TinkerPath = { modelId: model.id, kind: "weights", name: body.path ?? unnamed(body.seq_id) };
      const { digest } = await this.checkpoints.save(path, savedAs(model, body), keepFor(body), (directory) =>
        policy.saveState(directory),
      );
      return json({ type: "save_weights", path: formatTinkerPath(path), digest });
    });
  }

  async #saveForSampler(body: RequestBody<"save_weights_for_sampler">, text: string): Promise<string> {
    const model = this.sessions.model(body.model_id);
    const { sampling_session_seq_id: number, kind } = body;
    return this.#training(model, "save_weights_for_sampler", body.seq_id, text, async (policy) => {
      const name = body.path ?? `${UNNAMED}${number ?? unnamed(body.seq_id)}`;
      const path: TinkerPath = { modelId: model.id, kind: "sampler_weights", name };
      const keep = { ...keepFor(body), overwrite: body.overwrite === true || kind === "inflight" };
      const saved = await this.checkpoints.save(path, savedAs(model, body), keep, (directory) =>
        policy.saveWeights(directory),
      );
      this.sampling.replace(path, await policy.snapshot?.());
      const own = body.path == null && number != null ? null : formatTinkerPath(path);
      const session = number != null && {
        sampling_session_id: await this.sampling.createOf(model.sessionId, number, own, path),
      };
      return json({ type: "save_weights_for_sampler", path: own, ...session, digest: saved.digest });
    });
  }

  async weightsInfo({ tinker_path }: RequestBody<"weights_info">): Promise<object> {
    const { baseModel, lora } = await this.checkpoints.find(parseTinkerPath(tinker_path));
    return weightsInfo(baseModel, lora);
  }

  /** Ends, once what is being computed is done. The next server in the directory goes on with what is open. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.futures.close();
    await this.sessions.close();
    await this.sampling.close();
    this.#base.base.dispose();
    this.#journal.close();
  }

  /** A request of a model, in its turn: one that is sent twice is one. */
  #training(
    model: TrainingModel,
    name: string,
    number: number,
    body: string | Uint8Array,
    work: (policy: Policy, signal: AbortSignal) => Promise<FutureResult>,
  ): Promise<string> {
    const turn = { model: model.id, number };
    const request = { key: `train ${model.id} ${number}`, session: model.sessionId, name, turn };
    return this.futures.begin(request, body, (signal) =>
      model.inTurn(number, (policy) =>
        this.#journal.whileBegunAgain(request.session, request.key, () => work(policy, signal)),
      ),
    );
  }

  async #trainingCheckpoint(text: string) {
    const path = parseTinkerPath(text);
    if (path.kind !== "weights")
      throw new RequestFailure(`${text} has no state of training: load what save_weights saved.`);
    return this.checkpoints.find(path);
  }

  async #sweep(): Promise<void> {
    try {
      this.futures.sweep();
      await this.sessions.sweep();
      // Nobody samples any more from what was swept away.
      for (const path of await this.checkpoints.sweep()) this.sampling.forget(path);
    } catch (error) {
      this.#onDefect(error);
    }
  }
}

const lossId = (session: string, number: number) => `${session}:loss:${number}`;

const json = (value: object): FutureResult => ({ kind: "json", value });

async function restore(policy: Policy, directory: string, optimizer: boolean): Promise<void> {
  await policy.loadState(directory);
  if (!optimizer) await policy.resetOptimizer();
}

function savedAs(
  { description }: TrainingModel,
  { user_metadata, seq_id }: Pick<RequestBody<"save_weights">, "user_metadata" | "seq_id">,
): ModelDescription & { readonly savedBy: number } {
  return { ...description, ...(user_metadata != null && { userMetadata: user_metadata }), savedBy: seq_id };
}

/** A name for what the request of this number saves without one. */
const unnamed = (number: number) => String(number).padStart(6, "0");

/** The request that makes a model. */
const newModel = (name: string, { session, number }: { readonly session: string; readonly number: number }) => ({
  ...{ key: `model ${session} ${number}`, session, name },
});

function keepFor({ overwrite, ttl_seconds }: Pick<RequestBody<"save_weights">, "overwrite" | "ttl_seconds">) {
  return { overwrite: overwrite === true, ttlSeconds: ttl_seconds ?? null };
}
