/**
 * A model on a Tinker server, and the numbers of its requests. A number is used by one request for ever: it is sent again
 * under the same number until it is answered, so that no step is taken twice. Where it is not known in the end whether a
 * request was carried out, the model is given up, and whoever trains goes on from a checkpoint.
 */

import { z } from "zod";
import { FORWARD_BACKWARD_REQUEST, type WireDatum } from "../../tinker/messages.ts";
import type { RequestInput } from "../../tinker/requests.ts";
import type { AdamParams, OptimStepResult } from "../contract/policy.ts";
import type { TinkerProfile } from "./profile.ts";
import type { Submitted, TinkerClient } from "./tinker-client.ts";
import { RepeatedRequest, ServerLost } from "./transport.ts";
import { inChunks, wirePositions } from "./wire-data.ts";

/** JSON has no number for one that is none: there servers say null, or nothing. */
const stepSchema = z.object({ metrics: z.record(z.string(), z.number().nullable()).nullish() });
const savedSchema = z.object({
  path: z.string().nullish(),
  sampling_session_id: z.string().nullish(),
  digest: z.string().nullish(),
});

/** How often a save is tried under another name. */
const MOST_SAVES = 3;

/** What was saved: a path, a sampling session, or both. */
export type Saved = z.output<typeof savedSchema>;

/** A pass over data. */
export interface Pass {
  readonly lossFn: string;
  readonly config: ReadonlyMap<string, number | string>;
  readonly forwardOnly: boolean;
  readonly data: readonly WireDatum[];
}

export class RemoteModel {
  readonly id: string;
  readonly #client: TinkerClient;
  readonly #profile: TinkerProfile;
  #next = 1;
  #saves = 0;
  #givenUp: ServerLost | undefined;

  constructor(client: TinkerClient, profile: TinkerProfile, id: string) {
    this.#client = client;
    this.#profile = profile;
    this.id = id;
    client.models.add(id);
  }

  /** It has saved what would go with it, where the server removes a model's checkpoints with it. */
  get holdsCheckpoints(): boolean {
    return this.#profile.unloading === "checkpoints" && this.#saves > 0;
  }

  /** Submits a pass, in as many requests as its data need; their results are `TinkerClient.forwardBackwardOutput`'s. */
  async submitPass(
    { lossFn, config, forwardOnly, data }: Pass,
    most: { readonly data: number; readonly bytes: number },
  ): Promise<readonly Submitted[]> {
    const numbers = [...config].flatMap(([key, value]) => (typeof value === "number" ? [[key, value] as const] : []));
    const values = Array.from(config, ([key, value]) => {
      const own = typeof value === "number" ? { number: value, text: undefined } : { number: undefined, text: value };
      return [key, own] as const;
    });
    const submitted: Submitted[] = [];
    for (const chunk of inChunks(data, most)) {
      const positions = chunk.reduce((sum, datum) => sum + wirePositions(datum), 0);
      const body = (seqId: number) =>
        FORWARD_BACKWARD_REQUEST.encode({
          modelId: this.id,
          seqId,
          data: chunk,
          lossFn,
          // Older servers read numbers from the first map alone.
          lossFnConfig: new Map(numbers),
          lossFnConfigV2: new Map(values),
          forwardOnly,
        });
      submitted.push(await this.#submit("forward_backward", forwardOnly ? "Forward" : "ForwardBackward", body));
      this.#client.usage[forwardOnly ? "scoredTokens" : "trainedTokens"] += positions;
    }
    return submitted;
  }

  submitStep(adam: AdamParams): Promise<Submitted> {
    return this.#submit("optim_step", "OptimStep", (seq_id) => {
      const body: RequestInput<"optim_step"> = {
        model_id: this.id,
        seq_id,
        adam_params: {
          learning_rate: adam.learningRate,
          beta1: adam.beta1,
          beta2: adam.beta2,
          eps: adam.epsilon,
          weight_decay: adam.weightDecay,
          grad_clip_norm: adam.maxGradNorm,
        },
      };
      return JSON.stringify({ ...body, type: "optim_step" });
    });
  }

  async stepResult(request: Submitted): Promise<OptimStepResult> {
    const { metrics } = await this.settled(this.#client.json(request, stepSchema));
    const applied = (metrics?.applied ?? 1) !== 0;
    const { gradientNorm } = this.#profile;
    if (gradientNorm === undefined) return { applied };
    return { applied, gradNorm: metrics?.[gradientNorm] ?? Number.NaN };
  }

  /** Saves the state of training, or the weights to sample from, under a name of its own that begins so. */
  save(kind: "weights" | "sampler", name: string): Promise<Saved> {
    return this.#saving(() => this.#saveAs(kind, `${name}-${String(++this.#saves).padStart(6, "0")}`));
  }

  async #saveAs(kind: "weights" | "sampler", path: string): Promise<Saved> {
    const [endpoint, what] =
      kind === "weights"
        ? (["save_weights", "SaveWeights"] as const)
        : (["save_weights_for_sampler", "SaveWeightsForSampler"] as const);
    const request = await this.#submit(endpoint, what, (seq_id) =>
      JSON.stringify({
        model_id: this.id,
        path,
        seq_id,
        type: endpoint,
        ...(kind === "sampler" && this.#kindOf("snapshot")),
      }),
    );
    return this.settled(this.#client.json(request, savedSchema));
  }

  /**
   * Saves the weights to sample from without a name, into a sampling session of the number that `number` gives. There is a path
   * where the server keeps them as a file (`TinkerProfile.unnamedSnapshot`), which whoever saves removes.
   */
  saveUnnamed(number: () => number, kind: "snapshot" | "inflight"): Promise<Saved> {
    return this.#saving(() => this.#saveInto(number(), kind));
  }

  async #saveInto(sampling_session_seq_id: number, kind: "snapshot" | "inflight"): Promise<Saved> {
    let seqId = 0;
    const request = await this.#submit("save_weights_for_sampler", "SaveWeightsForSampler", (seq_id) => {
      seqId = seq_id;
      return JSON.stringify({
        ...{ model_id: this.id, sampling_session_seq_id, seq_id, ...this.#kindOf(kind) },
        type: "save_weights_for_sampler",
      });
    });
    const saved = await this.settled(this.#client.json(request, savedSchema));
    const name = this.#profile.unnamedSnapshot?.(sampling_session_seq_id, seqId);
    return { ...saved, path: name === undefined ? null : `tinker://${this.id}/sampler_weights/${name}` };
  }

  /** Older requests have no kind: all that they save is a snapshot. */
  #kindOf(kind: "snapshot" | "inflight"): { readonly kind?: string } {
    return this.#profile.requests === "0.25" ? {} : { kind };
  }

  /** Loads weights into the model, as its first request. */
  async loadFirst(path: string, optimizer: boolean): Promise<void> {
    const request = await this.#submit("load_weights", "LoadWeights", (seq_id) =>
      JSON.stringify({ model_id: this.id, seq_id, path, optimizer, type: "load_weights" }),
    );
    await this.settled(this.#client.json(request, z.object({})));
  }

  /** Saves once more, under another name, where the server refuses what it has saved already and whose answer was lost. */
  async #saving(save: () => Promise<Saved>): Promise<Saved> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await save();
      } catch (error) {
        if (!(error instanceof RepeatedRequest) || attempt === MOST_SAVES) throw error;
      }
    }
  }

  /** Notes that the result of a request was lost on the way: what became of it is not known then. */
  async settled<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      if (error instanceof ServerLost) this.#givenUp = error;
      throw error;
    }
  }

  async #submit(
    endpoint: Parameters<TinkerClient["submit"]>[0],
    kind: string,
    body: (seqId: number) => string | Uint8Array<ArrayBuffer>,
  ): Promise<Submitted> {
    if (this.#givenUp) throw this.#givenUp;
    // A request that is refused was not taken, and its number is free.
    const submitted = await this.settled(
      this.#client.submit(endpoint, kind, body(this.#next), { once: !this.#profile.repeats }),
    );
    this.#next++;
    return submitted;
  }
}
