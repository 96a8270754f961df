/** Sampling sessions, and what is sampled in them: of the base, and of saved weights, which are opened as they are asked. */

import type { Sampler } from "../../engine/contract/sampler.ts";
import type { SamplingSession } from "../../engine/contract/session.ts";
import type { RequestBody } from "../../tinker/requests.ts";
import { formatTinkerPath, parseTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import { ClientSessions, type SamplingTarget } from "./client-sessions.ts";
import type { FutureResult } from "./future-result.ts";
import type { Futures } from "./futures.ts";
import type { Journal } from "./journal.ts";
import type { KeptSampling } from "./kept-files.ts";
import type { TinkerLimits } from "./limits.ts";
import { Refusal } from "./refusal.ts";
import { GatheredCalls, type SampleJob, sampleInSession, sampleJob } from "./sample.ts";
import { OpenSampler, Samplers } from "./samplers.ts";
import { requireBase, type ServedBase } from "./served-base.ts";

/** How the names begin of what is saved without one, for as long as its session lasts. */
export const UNNAMED = "unnamed-";

export interface SamplingRequestParts {
  readonly base: ServedBase;
  readonly checkpoints: CheckpointStore;
  readonly futures: Futures;
  readonly journal: Journal;
  readonly limits: TinkerLimits;
}

/** The sampling sessions of a server. */
export class SamplingRequests {
  /** All sessions, of which those that sample are made here. */
  readonly sessions: ClientSessions;
  readonly #parts: SamplingRequestParts;
  readonly #samplers: Samplers;
  readonly #calls: GatheredCalls;

  constructor(parts: SamplingRequestParts) {
    this.#parts = parts;
    this.#calls = new GatheredCalls(parts.limits.mostSampleBytes);
    this.#samplers = new Samplers(parts.limits.mostOpenSamplers);
    this.sessions = new ClientSessions(parts.limits, parts.journal, (target) => this.#ended(target));
  }

  /** A sampling session of the base, or of a checkpoint. Throws Refusal for one that is not there. */
  async create(body: RequestBody<"create_sampling_session">): Promise<object> {
    const { session_id, sampling_session_seq_id: number, base_model, model_path } = body;
    this.sessions.heard(session_id);
    const id = samplingId(session_id, number);
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
      await this.#parts.checkpoints.find(path);
      await this.#add(session_id, { number, modelPath: model_path, weights: path, joined: 0 });
    } else {
      requireBase(this.#parts.base, base_model ?? "");
      await this.#add(session_id, { number, modelPath: null, weights: null, joined: 0 });
    }
    return answer;
  }

  /** A sampling session of weights that were saved for it. Returns its id. */
  async createOf(session: string, number: number, modelPath: string | null, weights: TinkerPath): Promise<string> {
    await this.#add(session, { number, modelPath, weights, joined: 0 });
    return samplingId(session, number);
  }

  /** Takes one over from the server before this one. */
  async restore(session: string, kept: KeptSampling): Promise<void> {
    await this.#add(session, kept);
  }

  async join({ sampling_session_id }: RequestBody<"join_sampling_session">): Promise<object> {
    const target = this.sessions.target(sampling_session_id);
    const client_counter = ++target.joined;
    await this.sessions.keepTarget(target);
    return { type: "join_sampling_session", client_counter };
  }

  get(id: string): object {
    const { modelPath } = this.sessions.target(id);
    return { sampler_id: id, base_model: this.#parts.base.name, ...(modelPath !== null && { model_path: modelPath }) };
  }

  /** Begins to sample. */
  async sample(
    body: RequestBody<"asample">,
    text: string,
  ): Promise<{ readonly requestId: string; readonly sequenceIds: string[] }> {
    const { base, futures } = this.#parts;
    const target = this.sessions.target(body.sampling_session_id);
    const key = sampleKey(target, body);
    const request = { key, session: target.sessionId, name: "asample" };
    const requestId = await futures.begin(request, text, async (signal): Promise<FutureResult> => {
      const job = sampleJob(body, base, key);
      if (job.call !== undefined) return this.#inCall(target, job, signal);
      const options = { signal, mostBytes: this.#parts.limits.mostSampleBytes };
      return target.sampler().use((_, session) => sampleInSession(job, session(), base.tokenizer, options));
    });
    const sequenceIds = Array.from({ length: body.num_samples }, (_, i) => `${requestId}-${i}`);
    return { requestId, sequenceIds };
  }

  /** Lets `work` generate with saved weights, which stay open meanwhile. Throws RequestFailure where they are not there. */
  use<T>(path: TinkerPath, work: (session: SamplingSession) => Promise<T>): Promise<T> {
    const sampler = this.#samplers.get(formatTinkerPath(path), () => new OpenSampler(() => this.#open(path)));
    return sampler.use((_, session) => work(session()));
  }

  /** A prompt that others of its call wait for is sampled once more; what it came to is known, so it alone keeps no call going. */
  async completeCall(body: RequestBody<"asample">): Promise<void> {
    const target = this.sessions.target(body.sampling_session_id);
    const job = sampleJob(body, this.#parts.base, sampleKey(target, body));
    if (job.call !== undefined) await this.#inCall(target, job, AbortSignal.abort());
  }

  /** Weights were saved, `sampler` being open with them: whoever samples from this path gets these. */
  replace(path: TinkerPath, sampler: Sampler | undefined): void {
    const name = formatTinkerPath(path);
    this.#samplers.forget(name);
    this.#samplers.get(name, () => new OpenSampler(() => this.#open(path), sampler));
  }

  /** A checkpoint was removed: nobody samples from it any more. */
  forget(path: TinkerPath): void {
    this.#samplers.forget(formatTinkerPath(path));
  }

  /** Removes what was saved without a name and nobody samples from: a server before this one had no time for it. */
  async removeUnused(): Promise<void> {
    const { checkpoints } = this.#parts;
    const targets = [...this.sessions.targets.values()];
    const used = new Set(targets.flatMap(({ weights }) => (weights ? [formatTinkerPath(weights)] : [])));
    for (const { path } of await checkpoints.list()) {
      if (!path.name.startsWith(UNNAMED) || used.has(formatTinkerPath(path))) continue;
      // A request that was not answered may be about to make a sampling session of it.
      if (!this.sessions.models.has(path.modelId)) await checkpoints.remove(path);
    }
  }

  async close(): Promise<void> {
    await this.#samplers.close();
  }

  #inCall(target: SamplingTarget, job: SampleJob, signal: AbortSignal): Promise<FutureResult> {
    return this.#calls.sample(target.id, job, signal, (work) => target.sampler().use((sampler) => work(sampler)));
  }

  async #add(sessionId: string, { number, modelPath, weights, joined }: KeptSampling): Promise<void> {
    const path = weights ?? undefined;
    const name = path ? formatTinkerPath(path) : "base";
    const open = () => (path ? this.#open(path) : this.#parts.base.base.open({}));
    const sampler = () => this.#samplers.get(name, () => new OpenSampler(open));
    const id = samplingId(sessionId, number);
    const before = this.sessions.targets.get(id);
    await this.sessions.addTarget({ id, sessionId, number, modelPath, weights: path, joined, sampler });
    // Of another model: a client goes on with the same number after it has loaded a state.
    if (before?.weights && formatTinkerPath(before.weights) !== name) await this.#ended(before);
  }

  async #open(path: TinkerPath): Promise<Sampler> {
    const { directory } = await this.#parts.checkpoints.find(path);
    return this.#parts.base.base.open({ adapter: directory });
  }

  /** What a client saved without a name goes with its session. */
  async #ended({ weights }: SamplingTarget): Promise<void> {
    if (weights === undefined || !weights.name.startsWith(UNNAMED)) return;
    this.forget(weights);
    await this.#parts.checkpoints.remove(weights).catch(() => {});
  }
}

const samplingId = (sessionId: string, number: number) => `${sessionId}:sample:${number}`;

const sampleKey = ({ id }: SamplingTarget, { seq_id }: RequestBody<"asample">) => `sample ${id} ${seq_id}`;
