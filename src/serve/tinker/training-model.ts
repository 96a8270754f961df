/** A model that a client trains: an adapter over the base, and its requests in the order of their numbers. */

import type { AdamParams, Policy } from "../../engine/contract/policy.ts";
import type { RequestBody } from "../../tinker/requests.ts";
import type { ModelDescription } from "./checkpoint-store.ts";
import type { KeptModel } from "./kept-model.ts";
import type { TinkerLimits } from "./limits.ts";
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
  readonly #kept: KeptModel;
  readonly #policy: Promise<Policy>;
  readonly #busyPerSave: number;
  readonly #onDefect: (error: unknown) => void;
  #unloaded = false;

  /** `policy`: as it is once it has been opened; `first`: the number of the first request that it is to carry out. */
  constructor(
    kept: KeptModel,
    policy: Promise<Policy>,
    options: {
      readonly sessionId: string;
      readonly first: number;
      readonly limits: Pick<TinkerLimits, "missingNumberMs" | "busyPerSave">;
      readonly onDefect: (error: unknown) => void;
    },
  ) {
    this.id = kept.id;
    this.description = kept.description;
    this.sessionId = options.sessionId;
    this.turns = new NumberedTurns(options.first, options.limits.missingNumberMs);
    this.#busyPerSave = options.limits.busyPerSave;
    this.#kept = kept;
    this.#policy = policy;
    this.#onDefect = options.onDefect;
    // Whoever asks for the model hears of it.
    policy.catch(() => {});
  }

  /** Carries out the request of this number when those before it are done. Its state may be saved before the next one. */
  inTurn<T>(number: number, work: (policy: Policy) => Promise<T>): Promise<T> {
    this.lastRequestAt = new Date().toISOString();
    return this.turns.take(
      number,
      () => this.#timed(work),
      async () => {
        const policy = await this.#policy.catch(() => undefined);
        if (policy === undefined || this.#unloaded) return;
        await this.#kept.keepUp(policy, number, this.#busyPerSave).catch((error: unknown) => {
          // The model may have been unloaded meanwhile.
          if (!this.#unloaded) this.#onDefect(error);
        });
      },
    );
  }

  /** The request whose turn it is has left a gradient. */
  leftGradient(): void {
    this.#kept.noteGradient();
  }

  /** The request whose turn it is has taken a step. */
  stepped(): void {
    this.#kept.noteStep();
  }

  /**
   * Saves the state in the turn of a request whose work may be done twice, but perhaps not later. The request counts as one
   * that comes after it.
   */
  async keepBefore(number: number): Promise<void> {
    await this.#kept.save(await this.#policy, number - 1);
  }

  /** Throws RequestFailure where it is not loaded any more. */
  async policy(): Promise<Policy> {
    if (this.#unloaded) throw this.#gone();
    return this.#policy;
  }

  /** Releases the adapter; what waits fails. `forGood`: it is forgotten, not only closed until the next server. */
  async unload(forGood: boolean): Promise<void> {
    if (this.#unloaded) return;
    this.#unloaded = true;
    this.turns.close(this.#gone());
    await (await this.#policy.catch(() => undefined))?.dispose();
    if (forGood) await this.#kept.remove();
  }

  async #timed<T>(work: (policy: Policy) => Promise<T>): Promise<T> {
    const policy = await this.policy();
    const startedAt = performance.now();
    try {
      return await work(policy);
    } finally {
      this.#kept.noteBusy(performance.now() - startedAt);
    }
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
