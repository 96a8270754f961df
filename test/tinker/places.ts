/**
 * A server with places for models as SkyRL 0.4 with JAX has them (its source, `skyrl/backends/jax.py` and
 * `skyrl/tinker/engine.py`), in this process: a new model takes the first free place and what gradient was left there; a session
 * is given up, with its models, 300 s after its last sign of life, and never without one; what is sampled from is a file.
 */

import type { Clock, Wire, WireRequest, WireResponse } from "../../src/engine/tinker/transport.ts";
import {
  batchedFloats,
  bytesOf,
  FORWARD_BACKWARD_OUTPUT,
  FORWARD_BACKWARD_REQUEST,
  floatsIn,
  int32sIn,
  SAMPLE_RESPONSE,
  STOP_REASON,
} from "../../src/tinker/messages.ts";

/** A session is looked through so often, and given up after so long. */
const [LOOK_MS, SILENT_MS] = [60_000, 300_000];

interface Place {
  model: string | undefined;
  session: string;
  /** Of the passes since the last step: the sum over data of each one's mean, and how many they were. */
  gradient: number;
  data: number;
}

interface Answer {
  readonly status?: number;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
}

type Body = Readonly<Record<string, never>>;

/** See the head of this file. `places`: one more than models, as there. */
export class PlacesServer {
  /** What is kept to sample from, by path below `tinker://`. */
  readonly files = new Set<string>();
  /** What steps with a learning rate came to: the mean gradient. */
  readonly steps: number[] = [];
  /** How many of the next steps report a norm that is no number. */
  normless = 0;
  /** Nobody is given up: signs of life come all the time. */
  hearsAll = false;
  readonly #places: Place[];
  readonly #clock: Clock;
  readonly #heard = new Map<string, number | undefined>();
  readonly #results: Answer[] = [];
  readonly #samplers = new Map<string, string>();
  #models = 0;
  #lookedAt = 0;

  constructor(places: number, clock: Clock) {
    this.#clock = clock;
    this.#places = Array.from({ length: places - 1 }, () => ({ model: undefined, session: "", gradient: 0, data: 0 }));
  }

  get models(): number {
    return this.#places.filter(({ model }) => model !== undefined).length;
  }

  wire(): Wire {
    return async (request): Promise<WireResponse> => {
      const { status = 200, json, bytes } = this.#answer(request);
      const header = (name: string) => (name === "content-type" && bytes ? "application/x-protobuf" : null);
      return { status, header, body: bytes ?? new TextEncoder().encode(JSON.stringify(json ?? {})) };
    };
  }

  #answer({ method, path, body }: WireRequest): Answer {
    this.#look();
    const name = path.replace("/api/v1/", "");
    if (name === "forward_backward") return this.#pass(body as Uint8Array);
    const parsed = (typeof body === "string" ? JSON.parse(body) : {}) as Body;
    if (method === "DELETE") {
      const [, model, , kind, file] = name.split("/");
      this.files.delete(`${model}/${kind}/${file}`);
      return { status: 204 };
    }
    switch (name) {
      case "create_session": {
        const session = `session-${this.#heard.size}`;
        this.#heard.set(session, undefined);
        return { json: { session_id: session } };
      }
      case "session_heartbeat":
        this.#heard.set(parsed.session_id!, this.#clock.now());
        return {};
      case "get_server_capabilities":
        return { json: { supported_models: [{ model_name: "base" }] } };
      case "create_model":
        return this.#create(parsed.session_id!);
      case "unload_model":
        this.#leave(this.#places.find(({ model }) => model === parsed.model_id));
        return this.#future({});
      case "optim_step":
        return this.#step(
          parsed.model_id!,
          (parsed.adam_params as unknown as { readonly learning_rate: number }).learning_rate,
        );
      case "save_weights_for_sampler": {
        const file = `${parsed.model_id}/sampler_weights/ss${parsed.sampling_session_seq_id}_seq${parsed.seq_id}`;
        this.files.add(file);
        const session = `sampling-${this.#samplers.size}`;
        this.#samplers.set(session, file);
        return this.#future({ json: { path: null, sampling_session_id: session } });
      }
      case "save_weights":
        return this.#future({ json: { path: `tinker://${parsed.model_id}/weights/${parsed.path}` } });
      case "load_weights":
        return this.#future({});
      case "asample":
        return this.#sample(parsed as never);
      case "retrieve_future":
        return this.#results[Number(parsed.request_id)]!;
      default:
        return { status: 404, json: { detail: "Not Found" } };
    }
  }

  #future(result: Answer): Answer {
    this.#results.push(result);
    return { json: { request_id: `${this.#results.length - 1}` } };
  }

  #create(session: string): Answer {
    const place = this.#places.find(({ model }) => model === undefined);
    const model = `model_${this.#models++}`;
    if (place === undefined) {
      const detail = `Maximum number of LoRA adapters (${this.#places.length + 1}) reached`;
      return this.#future({ status: 400, json: { detail } });
    }
    Object.assign(place, { model, session });
    return this.#future({ json: { model_id: model } });
  }

  #pass(body: Uint8Array): Answer {
    const { modelId, data, forwardOnly } = FORWARD_BACKWARD_REQUEST.decode(body);
    const place = this.#places.find(({ model }) => model === modelId);
    if (place === undefined) return this.#notLoaded(modelId);
    const rows = data.map(({ modelInput, lossFnInputs }) => {
      const { length } = int32sIn(modelInput[0]!.encodedText!.tokens);
      if (!forwardOnly) {
        const advantages = floatsIn(lossFnInputs.get("advantages")!.dense);
        place.gradient += advantages.reduce((sum, value) => sum + value, 0) / length;
        place.data++;
      }
      return new Float32Array(length).fill(-1);
    });
    const fields = new Map([["logprobs", batchedFloats(rows)]]);
    const lossFnOutputs = [{ typeTag: "", fields, numDatums: rows.length }];
    const output = { lossFnOutputType: "scalar", lossFnOutputs, metrics: new Map<string, number>() };
    return this.#future({ bytes: FORWARD_BACKWARD_OUTPUT.encode(output as never) });
  }

  #step(model: string, learningRate: number): Answer {
    const place = this.#places.find((own) => own.model === model);
    if (place === undefined) return this.#notLoaded(model);
    const mean = place.gradient / Math.max(place.data, 1);
    Object.assign(place, { gradient: 0, data: 0 });
    if (learningRate > 0) this.steps.push(mean);
    const norm = this.normless-- > 0 ? null : Math.abs(mean);
    return this.#future({ json: { metrics: { "skyrl.ai/grad_norm": norm } } });
  }

  #sample({ sampling_session_id: session, num_samples: count }: Record<"sampling_session_id" | "num_samples", never>) {
    if (!this.files.has(this.#samplers.get(session)!)) return { status: 404, json: { detail: "Checkpoint not found" } };
    const sequence = {
      ...{ stopReason: STOP_REASON.length, tokens: bytesOf(Int32Array.of(3, 4)) },
      logprobs: bytesOf(Float32Array.of(-1, -1)),
    };
    const sequences = Array.from({ length: count }, () => sequence);
    return this.#future({ bytes: SAMPLE_RESPONSE.encode({ sequences } as never) });
  }

  #notLoaded(model: string): Answer {
    return this.#future({ status: 400, json: { detail: `Model ${model} not loaded` } });
  }

  /** The server is begun anew: it has no models. */
  restart(): void {
    for (const place of this.#places) Object.assign(place, { model: undefined, gradient: 0, data: 0 });
  }

  /** Gives up sessions that were silent. */
  #look(): void {
    const now = this.#clock.now();
    if (this.hearsAll) return;
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    for (const [session, heard] of this.#heard) {
      if (heard === undefined || now - heard < SILENT_MS) continue;
      for (const place of this.#places) if (place.session === session) this.#leave(place);
    }
  }

  /** The gradient stays. */
  #leave(place: Place | undefined): void {
    if (place) place.model = undefined;
  }
}
