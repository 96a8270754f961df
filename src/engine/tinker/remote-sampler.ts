/** A sampling session on a Tinker server: requests to sample in it, each with a number of its own. */

import { EngineError } from "../../errors.ts";
import { hashString, philox } from "../../random.ts";
import {
  floatsIn,
  int32sIn,
  type WireSampleResponse,
  type WireSequence,
  type WireTopk,
} from "../../tinker/messages.ts";
import type { RequestInput } from "../../tinker/requests.ts";
import type { ScoreDatum } from "../contract/sampler.ts";
import type { SamplingParams } from "../contract/sampling.ts";
import type { TokenLogprob } from "../contract/session.ts";
import type { TinkerProfile } from "./profile.ts";
import { ResultGone, type Submitted, type TinkerClient } from "./tinker-client.ts";

type ScoredTexts = Pick<ScoreDatum, "promptTokens" | "completionTokens">;
type SampleInput = RequestInput<"asample">;
/** What a request asks for beside its prompt. */
export type SampleAsk = Omit<SampleInput, "sampling_session_id" | "seq_id" | "prompt">;

let calls = 0;

/** A name for requests that are computed together on a server that speaks the extension. */
export const nextCall = (): string => `${++calls}`;

/** How often a request whose result went is sent as a new one. */
const MOST_ATTEMPTS = 3;

/** Texts that are scored in one call: all of them are pending at once, and of those a server takes some thousands. */
const MOST_SCORED = 1024;

/** Frozen weights on the server. */
export class RemoteSampler {
  readonly id: string;
  readonly #client: TinkerClient;
  #next = 0;

  constructor(client: TinkerClient, id: string) {
    this.#client = client;
    this.id = id;
  }

  submit(tokens: Int32Array, ask: SampleAsk): Promise<Submitted> {
    const body: SampleInput & { readonly type: string } = {
      ...ask,
      sampling_session_id: this.id,
      seq_id: this.#next++,
      prompt: { chunks: [{ type: "encoded_text", tokens: [...tokens] }] },
      type: "sample",
    };
    this.#client.usage.promptTokens += tokens.length;
    return this.#client.submit("asample", "Sample", JSON.stringify(body));
  }

  /** Samples; a request whose result was lost is sent as a new one, for nothing but time is lost with it. */
  async sample(tokens: Int32Array, ask: SampleAsk, submitted?: Submitted): Promise<WireSampleResponse> {
    for (let attempt = 1; ; attempt++) {
      const request = attempt === 1 && submitted ? submitted : await this.submit(tokens, ask);
      try {
        const response = await this.#client.sampleResponse(request);
        // Four bytes are a token.
        for (const sequence of response.sequences)
          this.#client.usage.sampledTokens += (sequence.tokens?.length ?? 0) / 4;
        return response;
      } catch (error) {
        if (!(error instanceof ResultGone) || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  }

  /** Tells the server that a request's result is not wanted any more; never throws. */
  async cancel({ id }: Submitted): Promise<void> {
    const body = JSON.stringify({ request_id: id });
    await this.#client.transport
      .send({ method: "POST", path: "/api/v1/cancel_future", body }, { once: true })
      .catch(() => {});
  }

  /**
   * The log-probabilities of each completion's own tokens; at another temperature than 1 with the extension. With it texts are
   * scored together, as in one process, and to the same bits; elsewhere each is a prompt whose log-probabilities are asked for.
   * Where there are more than `most` texts they are scored one part after another.
   */
  async score(
    data: readonly ScoredTexts[],
    profile: TinkerProfile,
    temperature = 1,
    most = MOST_SCORED,
  ): Promise<Float32Array[]> {
    const scored: Float32Array[] = [];
    for (let first = 0; first < data.length; first += most) {
      scored.push(...(await this.#scoreAtOnce(data.slice(first, first + most), profile, temperature)));
    }
    return scored;
  }

  #scoreAtOnce(data: readonly ScoredTexts[], profile: TinkerProfile, temperature: number): Promise<Float32Array[]> {
    const call = { id: nextCall(), size: data.length };
    return Promise.all(
      data.map(({ promptTokens, completionTokens }, index) => {
        const tokens = Int32Array.from([...promptTokens, ...completionTokens]);
        const score = { prompt_length: promptTokens.length, temperature };
        const aha = { iteration: 0, prompt_id: 0, call: { ...call, index }, score };
        const ask = profile.extension ? { ...PROMPT_SCORES, aha } : PROMPT_SCORES;
        return this.#promptLogprobs(tokens, ask, profile, completionTokens.length);
      }),
    );
  }

  /** The log-probabilities of the last `count` tokens. */
  async #promptLogprobs(
    tokens: Int32Array,
    ask: SampleAsk,
    profile: TinkerProfile,
    count: number,
  ): Promise<Float32Array> {
    const all = floatsIn((await this.sample(tokens, ask)).promptLogprobs, "prompt_logprobs");
    const expected = profile.promptLogprobs === "n" ? tokens.length : tokens.length - 1;
    if (all.length === expected) return all.slice(expected - count);
    throw new EngineError(
      `The Tinker server gave ${all.length} prompt_logprobs for ${tokens.length} tokens; the profile ${profile.name} expects ${expected}.`,
    );
  }
}

/** Asks for a prompt's log-probabilities, and for one token, because servers want to sample something. */
const PROMPT_SCORES: SampleAsk = {
  num_samples: 1,
  sampling_params: { max_tokens: 1, temperature: 1 },
  prompt_logprobs: true,
};

/** Sampling parameters of the protocol. */
export function samplingParamsOf(params: SamplingParams, seed: number): SampleInput["sampling_params"] {
  return {
    max_tokens: params.maxCompletionTokens,
    seed,
    stop: [...params.stopTokenIds],
    temperature: params.temperature,
    top_p: params.topP,
    top_k: params.topK === 0 ? -1 : params.topK,
  };
}

const SEEDS = hashString("tinker seeds");

/** A prompt's seed on a server that draws by a seed alone: of what the contract names a draw by, and of 31 bits. */
export function promptSeed({ seed, iteration }: SamplingParams, promptId: number): number {
  return philox(seed, SEEDS, [promptId, iteration])[0] >>> 1;
}

/** The tokens and log-probabilities of a sequence. Throws EngineError where they do not fit. */
export function drawnTokens({ tokens, logprobs }: WireSequence): {
  readonly tokens: Int32Array;
  readonly logprobs: Float32Array;
} {
  const own = { tokens: int32sIn(tokens, "tokens"), logprobs: floatsIn(logprobs, "logprobs") };
  if (own.tokens.length === own.logprobs.length) return own;
  throw new EngineError(
    `The Tinker server gave ${own.tokens.length} tokens with ${own.logprobs.length} log-probabilities.`,
  );
}

/** The tokens that each one of a sequence was drawn from, where they came. */
export function keptOf({ keptTokens, keptCounts }: WireSequence): readonly Int32Array[] | undefined {
  if (keptTokens === undefined) return undefined;
  const all = int32sIn(keptTokens, "kept_tokens");
  let place = 0;
  return Array.from(int32sIn(keptCounts, "kept_counts"), (count) => {
    place += count;
    return all.slice(place - count, place);
  });
}

/** A table of alternatives, row by row. */
export function topOf(table: WireTopk | undefined): TokenLogprob[][] {
  if (table === undefined) return [];
  const [ids, logprobs] = [int32sIn(table.tokenIds), floatsIn(table.logprobs)];
  return Array.from({ length: table.length }, (_, row) =>
    Array.from({ length: table.k }, (_, i) => {
      const place = row * table.k + i;
      return { token: ids[place]!, logprob: logprobs[place]! };
    }),
  );
}
