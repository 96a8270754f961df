/**
 * asample: n samples of one prompt, with what the request asks to be reported. Requests of all clients share the batch of
 * their weights' session. Prompts that a client of ours says belong to one call are sampled as that call, when all of them
 * are there.
 */

import type { SampledSequence, SampledSoFar, SampleProgress, Sampler } from "../../engine/contract/sampler.ts";
import type { SamplingParams } from "../../engine/contract/sampling.ts";
import type {
  LogitAdjustments,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
} from "../../engine/contract/session.ts";
import { hashString } from "../../random.ts";
import { bytesOf, SAMPLE_RESPONSE, STOP_REASON, type WireSequence, type WireTopk } from "../../tinker/messages.ts";
import type { RequestBody } from "../../tinker/requests.ts";
import { StreamingDecoder } from "../../tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { StopStrings } from "../stop-strings.ts";
import { DrawnTokens, emptyTable } from "./drawn-tokens.ts";
import type { FutureResult } from "./future-result.ts";
import { RequestFailure } from "./refusal.ts";

type SampleBody = RequestBody<"asample">;

/** What is known of the model that samples. */
export interface SampledModel {
  readonly tokenizer: Tokenizer;
  readonly maxContextTokens: number;
  /** What ends a completion where a request names nothing. */
  readonly stopTokenIds: readonly number[];
}

/** A request that was understood. */
export interface SampleJob {
  readonly tokens: Int32Array;
  readonly promptId: number;
  readonly numSamples: number;
  readonly firstSample: number;
  readonly params: SamplingParams;
  readonly stopStrings: readonly string[];
  readonly adjustments: LogitAdjustments | undefined;
  readonly logprobTemperature: number | undefined;
  readonly topLogprobs: number;
  /** The prompt is scored, with so many alternatives at each place. */
  readonly promptLogprobs: number | undefined;
  /** Of the prompt's scores the last so many count. */
  readonly lastScores: number;
  readonly call: { readonly id: string; readonly index: number; readonly size: number } | undefined;
  /** Nothing is sampled: what follows so many tokens is scored, as a call's other texts are. */
  readonly score: { readonly promptLength: number; readonly temperature: number } | undefined;
}

/** What a request asks for. Throws RequestFailure for what this server does not have. `requestId` stands for a seed. */
export function sampleJob(body: SampleBody, model: SampledModel, requestId: string): SampleJob {
  const { sampling_params: given, aha, prompt_logprobs_last_n: last } = body;
  if (body.target_prompt_logprobs != null) throw new RequestFailure("This server has no target_prompt_logprobs.");
  if ((body.prompt_alt_tokens_k ?? 0) > 0) throw new RequestFailure("This server has no prompt_alt_tokens.");
  if (body.record_stability_info) {
    throw new RequestFailure("This server records no stability information: take another loss than stable_reinforce.");
  }
  const tokens = Int32Array.from(
    body.prompt.chunks.flatMap((chunk) => {
      if ("tokens" in chunk) return chunk.tokens;
      throw new RequestFailure("The prompt has an image or sound; this server takes text.");
    }),
  );
  const stop = given.stop ?? undefined;
  const strings = typeof stop === "string" ? [stop] : (stop ?? []).filter((item) => typeof item === "string");
  if (strings.includes("")) throw new RequestFailure("A stop string is not empty.");
  const ids =
    stop === undefined
      ? model.stopTokenIds
      : typeof stop === "string"
        ? []
        : stop.filter((item) => typeof item === "number");
  const isScored = body.prompt_logprobs === true || (body.topk_prompt_logprobs ?? 0) > 0;
  const room = model.maxContextTokens - tokens.length;
  const wanted = given.max_tokens ?? room;
  const params: SamplingParams = {
    temperature: given.temperature,
    topP: given.top_p,
    topK: Math.max(given.top_k, 0),
    minP: aha?.min_p ?? 0,
    // Whoever wants a prompt's scores asks for a token beside them, for which a full context has no room.
    maxCompletionTokens: isScored && wanted > room ? Math.max(room, 0) : wanted,
    minCompletionTokens: aha?.min_tokens ?? 0,
    stopTokenIds: ids,
    returnKeptTokens: aha?.kept_tokens ?? false,
    seed: seedOf(given.seed ?? hashString(requestId)),
    iteration: aha?.iteration ?? 0,
  };
  return {
    tokens,
    promptId: aha?.prompt_id ?? 0,
    numSamples: body.num_samples,
    firstSample: aha?.sample_index ?? 0,
    params,
    stopStrings: strings,
    adjustments: aha && adjustmentsOf(aha),
    // Sampled tokens have the log-probability that the trainer gives them, which knows no temperature; our own clients ask
    // for that of the draw.
    logprobTemperature: aha ? aha.logprob_temperature : 1,
    topLogprobs: body.topk_sample_logprobs ?? 0,
    promptLogprobs: isScored ? (body.topk_prompt_logprobs ?? 0) : undefined,
    lastScores: last ?? tokens.length,
    call: aha?.call,
    score: aha?.score && scoreOf(aha, tokens),
  };
}

function scoreOf({ score, call }: NonNullable<SampleBody["aha"]>, tokens: Int32Array): SampleJob["score"] {
  const { prompt_length: promptLength, temperature } = score!;
  if (call === undefined) throw new RequestFailure("What is scored (aha.score) belongs to a call (aha.call).");
  if (promptLength < tokens.length) return { promptLength, temperature };
  throw new RequestFailure(`Of ${tokens.length} tokens none comes after a prompt_length of ${promptLength}.`);
}

/** Of a seed 32 bits count. */
const seedOf = (seed: number | bigint) => (typeof seed === "bigint" ? Number(BigInt.asUintN(32, seed)) : seed);

function adjustmentsOf(aha: NonNullable<SampleBody["aha"]>): LogitAdjustments | undefined {
  const { bias, repetition_penalty, frequency_penalty, presence_penalty } = aha;
  const adjustments: LogitAdjustments = {
    ...(bias && { bias: new Map(bias) }),
    ...(repetition_penalty !== undefined && { repetitionPenalty: repetition_penalty }),
    ...(frequency_penalty !== undefined && { frequencyPenalty: frequency_penalty }),
    ...(presence_penalty !== undefined && { presencePenalty: presence_penalty }),
  };
  return Object.keys(adjustments).length > 0 ? adjustments : undefined;
}

/**
 * Samples in the session of the weights. Where `signal` is aborted all of it is cancelled. Throws RequestFailure where what
 * there is to report comes to more than `mostBytes`.
 */
export async function sampleInSession(
  job: SampleJob,
  session: SamplingSession,
  tokenizer: Tokenizer,
  { signal, mostBytes }: { readonly signal: AbortSignal; readonly mostBytes: number },
): Promise<FutureResult> {
  const running: RunningSequence[] = [];
  const cancel = () => {
    for (const sequence of running) sequence.cancel();
  };
  const ofToken = DrawnTokens.bytesOfOne(job.topLogprobs);
  let bytes = job.promptLogprobs === undefined ? 0 : job.tokens.length * DrawnTokens.bytesOfOne(job.promptLogprobs);
  const count = (more: number) => {
    bytes += more;
    if (bytes <= mostBytes) return;
    throw new RequestFailure(
      `The result of this request has more than ${mostBytes} bytes, at ${ofToken} for each token that is drawn: ` +
        "ask for fewer samples at once, for shorter ones, or for fewer alternatives.",
    );
  };
  count(0);
  signal.throwIfAborted();
  signal.addEventListener("abort", cancel, { once: true });
  let prompt: PromptLogprobs | undefined;
  try {
    const sequences = Array.from({ length: job.numSamples }, async (_, i): Promise<WireSequence> => {
      const drawn = new DrawnTokens(job.topLogprobs);
      const stops = job.stopStrings.length > 0 ? new StopStrings(job.stopStrings) : undefined;
      const decoder = stops && new StreamingDecoder(tokenizer, { after: job.tokens });
      const request = {
        tokens: job.tokens,
        promptId: job.promptId,
        sampleIndex: job.firstSample + i,
        params: job.params,
        topLogprobs: job.topLogprobs,
        ...(job.adjustments && { adjustments: job.adjustments }),
        ...(job.logprobTemperature !== undefined && { logprobTemperature: job.logprobTemperature }),
        ...(job.promptLogprobs !== undefined && i === 0 && { promptLogprobs: job.promptLogprobs }),
      };
      const sequence = session.submit(
        request,
        (token) => {
          count(ofToken);
          drawn.push(token);
          if (!stops) return;
          stops.push(decoder!.push(token.token));
          if (stops.stopped) sequence.cancel();
        },
        (scores) => {
          prompt = scores;
        },
      );
      running.push(sequence);
      const end = await sequence.finished;
      if (end === "cancelled" && !stops?.stopped) throw new RequestFailure("The request was cancelled.");
      return wireSequence(drawn.tokens, drawn.logprobs, end === "length" ? "length" : "stop", drawn.top);
    });
    return responseOf(await Promise.all(sequences), prompt && promptOf(prompt, job));
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

function wireSequence(
  tokens: Int32Array,
  logprobs: Float32Array,
  end: "stop" | "length",
  topk: WireTopk | undefined,
  kept?: readonly Int32Array[],
): WireSequence {
  const counts = kept && Int32Array.from(kept, ({ length }) => length);
  const flat = kept && Int32Array.from(kept.flatMap((set) => [...set]));
  return {
    stopReason: STOP_REASON[end],
    tokens: bytesOf(tokens),
    logprobs: bytesOf(logprobs),
    topkSampledLogprobs: topk,
    keptTokens: flat && bytesOf(flat),
    keptCounts: counts && bytesOf(counts),
  };
}

interface PromptScores {
  readonly logprobs: Uint8Array;
  readonly top: WireTopk | undefined;
}

/** One number for each token, the first and those before the last so many being none. */
function promptOf({ logprobs, topTokens, topLogprobs }: PromptLogprobs, job: SampleJob): PromptScores {
  const { length } = job.tokens;
  const first = Math.max(1, length - job.lastScores);
  const scores = new Float32Array(length).fill(Number.NaN);
  scores.set(logprobs.subarray(first - 1), first);
  const k = job.promptLogprobs!;
  if (k === 0) return { logprobs: bytesOf(scores), top: undefined };
  const [ids, values] = emptyTable(length, k);
  ids.set(topTokens.subarray((first - 1) * k), first * k);
  values.set(topLogprobs.subarray((first - 1) * k), first * k);
  return { logprobs: bytesOf(scores), top: { tokenIds: bytesOf(ids), logprobs: bytesOf(values), k, length } };
}

function responseOf(sequences: readonly WireSequence[], prompt: PromptScores | undefined): FutureResult {
  const bytes = SAMPLE_RESPONSE.encode({
    sequences,
    promptLogprobs: prompt?.logprobs,
    topkPromptLogprobs: prompt?.top,
    promptCacheHitTokens: 0,
  });
  return { kind: "protobuf", bytes };
}

/** How long the rest of a call's prompts are waited for. */
const CALL_MS = 120_000;

/** A prompt of a call; where its signal is aborted nobody wants its result any more. */
interface CallPart {
  readonly job: SampleJob;
  readonly signal: AbortSignal;
}

interface GatheredCall {
  readonly size: number;
  /** Those that are there, by their places. */
  readonly parts: Map<number, CallPart>;
  readonly results: Promise<readonly FutureResult[]>;
  readonly begin: () => void;
}

/** Prompts of one call that came in requests of their own. */
export class GatheredCalls {
  readonly #calls = new Map<string, GatheredCall>();
  readonly #mostBytes: number;

  /** `mostBytes`: of what each prompt of a call may report; those of a call share it. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /**
   * What `job` comes to, computed with all others of its call. `use` lends the weights. Throws RequestFailure where the call
   * has more bytes to report than its prompts may. A call is cancelled where the signals of all its prompts are aborted.
   */
  async sample(
    scope: string,
    job: SampleJob,
    signal: AbortSignal,
    use: <T>(work: (sampler: Sampler) => Promise<T>) => Promise<T>,
  ): Promise<FutureResult> {
    const { id, index, size } = job.call!;
    const key = `${scope} ${id}`;
    let call = this.#calls.get(key);
    if (call === undefined) {
      call = this.#begin(key, size, use);
      this.#calls.set(key, call);
    }
    if (index >= call.size || call.size !== size || call.parts.has(index)) {
      throw new RequestFailure(`The call ${id} of ${call.size} prompts has no place ${index} of ${size} that is free.`);
    }
    call.parts.set(index, { job, signal });
    if (call.parts.size === size) {
      this.#calls.delete(key);
      call.begin();
    }
    return (await call.results)[index]!;
  }

  #begin(key: string, size: number, use: <T>(work: (sampler: Sampler) => Promise<T>) => Promise<T>): GatheredCall {
    const parts = new Map<number, CallPart>();
    let begin: () => void = () => {};
    const whole = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(key);
        reject(new RequestFailure(`Not all prompts of the call came within ${CALL_MS / 1000} s.`));
      }, CALL_MS);
      timer.unref();
      begin = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    const results = whole.then(() => {
      const inOrder = Array.from({ length: size }, (_, index) => parts.get(index)!);
      return use((sampler) => together(sampler, inOrder, size * this.#mostBytes));
    });
    // Whoever waits hears of a failure; nobody may be waiting.
    results.catch(() => {});
    return { size, parts, results, begin };
  }
}

/** What the jobs of a call come to. Throws RequestFailure where they do not go together. */
function together(sampler: Sampler, parts: readonly CallPart[], mostBytes: number): Promise<readonly FutureResult[]> {
  const jobs = parts.map(({ job }) => job);
  const [{ params, score }] = jobs as [SampleJob];
  // What is drawn plays no part where texts are scored.
  const isAlike = (job: SampleJob) =>
    score ? job.score?.temperature === score.temperature : JSON.stringify(job.params) === JSON.stringify(params);
  if (!jobs.every((job) => isAlike(job) && (job.score === undefined) === (score === undefined))) {
    throw new RequestFailure("The prompts of a call are sampled, or scored, with the same parameters.");
  }
  if (score !== undefined) return scoreTogether(sampler, jobs);
  const onProgress = ({ tokens }: SampledSoFar) => {
    if (parts.every(({ signal }) => signal.aborted)) throw new RequestFailure("The request was cancelled.");
    if (tokens * DrawnTokens.bytesOfOne(0) <= mostBytes) return;
    throw new RequestFailure(
      `The results of this call have more than ${mostBytes} bytes: ask for fewer samples of a prompt, or for shorter ones.`,
    );
  };
  return sampleTogether(sampler, jobs, onProgress);
}

async function sampleTogether(
  sampler: Sampler,
  jobs: readonly SampleJob[],
  onProgress: SampleProgress,
): Promise<readonly FutureResult[]> {
  const prompts = jobs.map(({ tokens, numSamples, promptId }) => ({ tokens, numSamples, promptId }));
  const samples = await sampler.sample(prompts, jobs[0]!.params, onProgress);
  return jobs.map((_, index) => {
    const own = samples.filter(({ promptIndex }) => promptIndex === index);
    return responseOf(own.map(sequenceOf), undefined);
  });
}

const sequenceOf = ({ tokens, logprobs, finishReason, keptTokens }: SampledSequence) =>
  wireSequence(tokens, logprobs, finishReason, undefined, keptTokens);

async function scoreTogether(sampler: Sampler, jobs: readonly SampleJob[]): Promise<readonly FutureResult[]> {
  const data = jobs.map(({ tokens, score }) => ({
    promptTokens: tokens.subarray(0, score!.promptLength),
    completionTokens: tokens.subarray(score!.promptLength),
  }));
  const { logprobs } = await sampler.score(data, { temperature: jobs[0]!.score!.temperature });
  return jobs.map(({ tokens, score }, i) => {
    const scores = new Float32Array(tokens.length).fill(Number.NaN);
    scores.set(logprobs[i]!, score!.promptLength);
    return responseOf([], { logprobs: bytesOf(scores), top: undefined });
  });
}
