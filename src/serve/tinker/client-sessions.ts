/**
 * The sessions of clients: what each has open, and when it was last heard of. One that is silent for too long is ended, with
 * its models and sampling sessions; what it saved under a name stays.
 */

import { randomUUID } from "node:crypto";
import type { TinkerPath } from "../../tinker/tinker-path.ts";
import type { TracedLoss } from "./custom-loss/traced-graph.ts";
import type { Journal } from "./journal.ts";
import type { TinkerLimits } from "./limits.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import type { OpenSampler } from "./samplers.ts";
import type { TrainingModel } from "./training-model.ts";

/** Weights that a client samples from. */
export interface SamplingTarget {
  readonly id: string;
  readonly sessionId: string;
  /** Its number in the session. */
  readonly number: number;
  /** The path of a checkpoint; null: the base, or weights that were saved without a name. */
  readonly modelPath: string | null;
  /** The checkpoint; undefined: the base. */
  readonly weights: TinkerPath | undefined;
  readonly sampler: () => OpenSampler;
  /** Clients that share it number themselves. */
  joined: number;
}

interface ClientSession {
  readonly id: string;
  readonly models: Set<string>;
  /** The one that was asked last is the last. */
  readonly targets: Set<string>;
  readonly losses: Map<string, TracedLoss>;
  /** Losses that are being kept: their places are taken. */
  readonly comingLosses: Set<string>;
  lastHeardAt: number;
}

export class ClientSessions {
  readonly models = new Map<string, TrainingModel>();
  readonly targets = new Map<string, SamplingTarget>();
  readonly #sessions = new Map<string, ClientSession>();
  readonly #limits: TinkerLimits;
  readonly #journal: Journal;
  readonly #onEnded: (target: SamplingTarget) => Promise<void>;
  #opening = 0;

  /** `onEnded` is told of each sampling session that is over. */
  constructor(limits: TinkerLimits, journal: Journal, onEnded: (target: SamplingTarget) => Promise<void>) {
    this.#limits = limits;
    this.#journal = journal;
    this.#onEnded = onEnded;
  }

  /** Models that are being opened. */
  get opening(): number {
    return this.#opening;
  }

  /** Counts a model while `open` opens it. */
  async whileOpening<T>(open: () => Promise<T>): Promise<T> {
    this.#opening++;
    try {
      return await open();
    } finally {
      this.#opening--;
    }
  }

  get count(): number {
    return this.#sessions.size;
  }

  /** A new session's id. Throws Refusal 429 where there are too many. */
  async begin(): Promise<string> {
    if (this.#sessions.size >= this.#limits.mostSessions) {
      throw new Refusal(429, `The server has ${this.#sessions.size} sessions already; try again later.`);
    }
    const id = randomUUID();
    this.restore(id);
    try {
      await this.#journal.beginSession(id);
    } catch (error) {
      this.#sessions.delete(id);
      throw error;
    }
    return id;
  }

  /** Takes a session over from the server before this one: it was heard of now. */
  restore(id: string): void {
    const session = {
      id,
      models: new Set<string>(),
      targets: new Set<string>(),
      losses: new Map<string, TracedLoss>(),
      comingLosses: new Set<string>(),
    };
    this.#sessions.set(id, { ...session, lastHeardAt: performance.now() });
  }

  /** Notes that the client is there. Throws Refusal 410 for a session that is over, or never was. */
  heard(sessionId: string): ClientSession {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) {
      throw new Refusal(410, `The session ${sessionId.slice(0, 100)} is over or never was; begin another one.`);
    }
    session.lastHeardAt = performance.now();
    return session;
  }

  /** The model. Throws Refusal 404. */
  model(modelId: string): TrainingModel {
    const model = this.models.get(modelId);
    if (model === undefined) throw new Refusal(404, `There is no model ${JSON.stringify(modelId.slice(0, 200))}.`);
    this.#sessions.get(model.sessionId)!.lastHeardAt = performance.now();
    return model;
  }

  /** The sampling session. Throws Refusal 404. */
  target(id: string): SamplingTarget {
    const target = this.targets.get(id);
    if (target === undefined) {
      throw new Refusal(
        404,
        `There is no sampling session ${JSON.stringify(id.slice(0, 200))}, or no more: of those of a session the ` +
          `${this.#limits.mostSamplingSessions} that were used last are kept.`,
      );
    }
    const session = this.#sessions.get(target.sessionId)!;
    session.lastHeardAt = performance.now();
    session.targets.delete(id);
    session.targets.add(id);
    return target;
  }

  addModel(model: TrainingModel): void {
    this.heard(model.sessionId).models.add(model.id);
    this.models.set(model.id, model);
  }

  /** Adds one. Where there are too many, as after as many steps of a client that samples after each, the oldest ones go. */
  async addTarget(target: SamplingTarget): Promise<void> {
    const session = this.heard(target.sessionId);
    for (const oldest of session.targets) {
      if (session.targets.has(target.id) || session.targets.size < this.#limits.mostSamplingSessions) break;
      await this.#endTarget(session, oldest);
    }
    await this.keepTarget(target);
    session.targets.add(target.id);
    this.targets.set(target.id, target);
  }

  /** Adds a loss once `keep` has kept it. Throws RequestFailure where the session has as many losses as one may have. */
  async addLoss(sessionId: string, id: string, loss: TracedLoss, keep: () => Promise<void>): Promise<void> {
    const { losses, comingLosses } = this.heard(sessionId);
    const others = losses.size + comingLosses.size;
    if (!losses.has(id) && others >= this.#limits.mostCustomLosses) {
      throw new RequestFailure(`The session has ${others} custom losses, as many as one may have.`);
    }
    comingLosses.add(id);
    try {
      await keep();
      this.restoreLoss(sessionId, id, loss);
    } finally {
      comingLosses.delete(id);
    }
  }

  /** Adds a loss that is kept already. */
  restoreLoss(sessionId: string, id: string, loss: TracedLoss): void {
    this.heard(sessionId).losses.set(id, loss);
  }

  /** A loss that was uploaded in the session. Throws RequestFailure, for one of another session too. */
  loss(sessionId: string, id: string): TracedLoss {
    const loss = this.#sessions.get(sessionId)?.losses.get(id);
    if (loss !== undefined) return loss;
    throw new RequestFailure(`This session has no custom loss ${JSON.stringify(id.slice(0, 200))}: create it first.`);
  }

  /** Keeps what is known of it. */
  keepTarget({ sessionId, number, modelPath, weights, joined }: SamplingTarget): Promise<void> {
    return this.#journal.keepSampling(sessionId, { number, modelPath, weights: weights ?? null, joined });
  }

  async removeModel(modelId: string): Promise<void> {
    const model = this.models.get(modelId);
    if (model === undefined) return;
    this.models.delete(modelId);
    this.#sessions.get(model.sessionId)?.models.delete(modelId);
    await model.unload(true);
  }

  /** Ends a session, with all that it has open. */
  async end(sessionId: string): Promise<void> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return;
    for (const id of [...session.models]) await this.removeModel(id);
    for (const id of session.targets) await this.#endTarget(session, id);
    this.#sessions.delete(sessionId);
    await this.#journal.endSession(sessionId);
  }

  async #endTarget(session: ClientSession, id: string): Promise<void> {
    const target = this.targets.get(id);
    session.targets.delete(id);
    this.targets.delete(id);
    if (target === undefined) return;
    await this.#journal.dropSampling(session.id, target.number);
    await this.#onEnded(target);
  }

  /** Ends those that were silent for too long. */
  async sweep(): Promise<void> {
    const oldest = performance.now() - this.#limits.sessionSilentMs;
    for (const { id, lastHeardAt } of [...this.#sessions.values()]) if (lastHeardAt < oldest) await this.end(id);
  }

  /** Releases what is open. The next server goes on with it. */
  async close(): Promise<void> {
    // All at once: of none a later request is begun after one that the server's end has cut.
    await Promise.all([...this.models.values()].map((model) => model.unload(false)));
  }
}
