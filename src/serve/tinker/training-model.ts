/** A model that a client trains: an adapter over the base, and its requests in the order of their numbers. */

import type { AdamParams, Policy } from "../../engine/contract/policy.ts";
import type { RequestBody } from "../../tinker/requests.ts";
import type { ModelDescription } from "./checkpoint-store.ts";
import { NumberedTurns } from "./numbered-turns.ts";
import { RequestFailure } from "./refusal.ts";

/** One of them. */
export class TrainingModel {
  readonly id: string;
  readonly sessionId: string;
  readonly description: ModelDescription;
  readonly turns: NumberedTurns;
  /** When it was asked for something last. */
  lastRequestAt = new Date().toISOString();
  /** Saves without a name so far. */
  #unnamed = 0;
  readonly #policy: Promise<Policy>;
  #unloaded = false;

  constructor(
    id: string,
    sessionId: string,
    description: ModelDescription,
    policy: Promise<Policy>,
    missingNumberMs: number,
  ) {
    this.id = id;
    this.sessionId = sessionId;
    this.description = description;
    this.turns = new NumberedTurns(1, missingNumberMs);
    this.#policy = policy;
    // Whoever asks for the model hears of it.
    policy.catch(() => {});
  }

  /** Carries out the request of this number when those before it are done. */
  inTurn<T>(seqId: number, work: (policy: Policy) => Promise<T>): Promise<T> {
    this.lastRequestAt = new Date().toISOString();
    return this.turns.take(seqId, async () => work(await this.policy()));
  }

  /** Throws RequestFailure where it is not loaded any more. */
  async policy(): Promise<Policy> {
    if (this.#unloaded) throw this.#gone();
    return this.#policy;
  }

  /** A name for what is saved without one. */
  unnamed(): string {
    return `${String(++this.#unnamed).padStart(6, "0")}`;
  }

  /** Releases the adapter; what waits fails. */
  async unload(): Promise<void> {
    if (this.#unloaded) return;
    this.#unloaded = true;
    this.turns.close(this.#gone());
    await (await this.#policy.catch(() => undefined))?.dispose();
  }

  #gone(): RequestFailure {
    return new RequestFailure(`The model ${this.id} was unloaded: load a checkpoint of it into a new one.`);
  }
}

/** The engine's parameters of a step. Throws RequestFailure for an optimizer that it does not have. */
export function adamOf({ adam_params: adam, optimizer_params: other }: RequestBody<"optim_step">): AdamParams {
  const given = adam ?? (other?.type === "adamw" || other?.type === "adam" ? adamShaped(other) : undefined);
  if (given === undefined) {
    throw new RequestFailure(`This server's optimizer is AdamW (adam_params), not ${other?.type ?? "none"}.`);
  }
  return {
    learningRate: given.learning_rate,
    beta1: given.beta1,
    beta2: given.beta2,
    epsilon: given.eps,
    weightDecay: given.weight_decay,
    maxGradNorm: given.grad_clip_norm,
  };
}

function adamShaped(given: Readonly<Record<string, unknown>>): NonNullable<RequestBody<"optim_step">["adam_params"]> {
  const number = (key: string, fallback: number) => (typeof given[key] === "number" ? given[key] : fallback);
  return {
    learning_rate: number("learning_rate", Number.NaN),
    beta1: number("beta1", 0.9),
    beta2: number("beta2", 0.95),
    eps: number("eps", 1e-12),
    weight_decay: number("weight_decay", 0),
    grad_clip_norm: number("grad_clip_norm", 0),
  };
}
