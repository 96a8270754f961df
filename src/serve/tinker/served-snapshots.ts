/** Saved weights as OpenAI's routes ask for them: by the path that save_weights_for_sampler answered with. */

import type { SamplingSession } from "../../engine/contract/session.ts";
import { WireError } from "../../tinker/protobuf.ts";
import { parseTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import { type ApiError, invalidParameter } from "../api-error.ts";
import type { Snapshots } from "../snapshots.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import type { SamplingRequests } from "./sampling-requests.ts";

export class ServedSnapshots implements Snapshots {
  readonly #checkpoints: CheckpointStore;
  readonly #sampling: SamplingRequests;
  readonly #base: string;

  /** `base`: what clients call the model whose copies these are. */
  constructor(checkpoints: CheckpointStore, sampling: SamplingRequests, base: string) {
    this.#checkpoints = checkpoints;
    this.#sampling = sampling;
    this.#base = base;
  }

  async require(path: string): Promise<void> {
    await this.#find(path);
  }

  async use<T>(path: string, work: (session: SamplingSession) => Promise<T>): Promise<T> {
    const found = await this.#find(path);
    try {
      return await this.#sampling.use(found, work);
    } catch (error) {
      // It may have been removed meanwhile.
      throw error instanceof RequestFailure ? notFound(error.message) : error;
    }
  }

  async #find(text: string): Promise<TinkerPath> {
    try {
      const path = parseTinkerPath(text);
      const { baseModel } = await this.#checkpoints.find(path);
      if (path.kind !== "sampler_weights") {
        throw new RequestFailure(`${text} has the state of training; take what save_weights_for_sampler saved.`);
      }
      if (baseModel === this.#base) return path;
      throw new RequestFailure(`${text} is of the model ${baseModel}; this server has ${this.#base}.`);
    } catch (error) {
      if (error instanceof RequestFailure || error instanceof Refusal || error instanceof WireError) {
        throw notFound(error.message);
      }
      throw error;
    }
  }
}

function notFound(message: string): ApiError {
  return invalidParameter("model", message, "model_not_found", 404);
}
