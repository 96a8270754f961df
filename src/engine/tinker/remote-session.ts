/**
 * A sampling session over a wire. A sequence is one request, and its tokens come when it has ended; they are handed out one
 * after another all the same, so whoever stops listening in the middle sees what a session in one process shows.
 */

import { EngineError } from "../../errors.ts";
import { floatsIn, STOP_REASON, type WireSampleResponse } from "../../tinker/messages.ts";
import type { SamplerInfo } from "../contract/sampler.ts";
import type {
  DrawnToken,
  LogitAdjustments,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
  SessionLoad,
} from "../contract/session.ts";
import { requireSequence } from "../local/requests.ts";
import { drawnTokens, type RemoteSampler, type SampleAsk, samplingParamsOf, topOf } from "./remote-sampler.ts";

export class RemoteSession implements SamplingSession {
  readonly #info: SamplerInfo;
  readonly #sampler: () => Promise<RemoteSampler>;
  readonly #running = new Set<RemoteSequence>();
  #closed = false;

  /** `sampler` gives the weights to sample with, in the turn of the call. */
  constructor(info: SamplerInfo, sampler: () => Promise<RemoteSampler>) {
    this.#info = info;
    this.#sampler = sampler;
  }

  get load(): SessionLoad {
    return { active: this.#running.size, waiting: 0 };
  }

  submit(
    request: SequenceRequest,
    onToken: (token: DrawnToken) => void,
    onPrompt: (prompt: PromptLogprobs) => void = () => {},
  ): RunningSequence {
    if (this.#closed) throw new EngineError("This sampling session is closed; open another one.");
    requireSequence(this.#info, request);
    const sequence: RemoteSequence = new RemoteSequence(request, onToken, onPrompt, () =>
      this.#running.delete(sequence),
    );
    this.#running.add(sequence);
    void sequence.run(this.#sampler());
    return sequence;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const sequence of [...this.#running]) sequence.cancel();
  }
}

class RemoteSequence implements RunningSequence {
  readonly finished: Promise<SequenceEnd>;
  readonly #request: SequenceRequest;
  readonly #onToken: (token: DrawnToken) => void;
  readonly #onPrompt: (prompt: PromptLogprobs) => void;
  readonly #onEnd: () => void;
  #resolve: (end: SequenceEnd) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #withdraw: (() => void) | undefined;
  #cancelled = false;

  constructor(
    request: SequenceRequest,
    onToken: (token: DrawnToken) => void,
    onPrompt: (prompt: PromptLogprobs) => void,
    onEnd: () => void,
  ) {
    this.#request = request;
    this.#onToken = onToken;
    this.#onPrompt = onPrompt;
    this.#onEnd = onEnd;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#onEnd();
    this.#resolve("cancelled");
    this.#withdraw?.();
  }

  /** Samples and hands out what came. Never rejects. */
  async run(weights: Promise<RemoteSampler>): Promise<void> {
    try {
      const sampler = await weights;
      if (this.#cancelled) return;
      const ask = askOf(this.#request);
      const submitted = await sampler.submit(this.#request.tokens, ask);
      this.#withdraw = () => void sampler.cancel(submitted);
      if (this.#cancelled) return this.#withdraw();
      const response = await sampler.sample(this.#request.tokens, ask, submitted);
      if (!this.#cancelled) this.#handOut(response);
    } catch (error) {
      this.#reject(error);
    } finally {
      this.#onEnd();
    }
  }

  #handOut(response: WireSampleResponse): void {
    const [sequence] = response.sequences;
    if (sequence === undefined) throw new EngineError("The Tinker server gave no sample.");
    if (this.#request.promptLogprobs !== undefined) this.#onPrompt(promptOf(response, this.#request.promptLogprobs));
    const { tokens, logprobs } = drawnTokens(sequence);
    const top = topOf(sequence.topkSampledLogprobs);
    for (const [t, token] of tokens.entries()) {
      if (this.#cancelled) return;
      this.#onToken({ token, logprob: logprobs[t]!, top: top[t] ?? [] });
    }
    if (this.#cancelled) return;
    // Whoever hears that it has ended may ask how much is running.
    this.#onEnd();
    this.#resolve(sequence.stopReason === STOP_REASON.stop ? "stop" : "length");
  }
}

function askOf({ params, promptId, sampleIndex, adjustments, ...request }: SequenceRequest): SampleAsk {
  const { topLogprobs = 0, logprobTemperature, promptLogprobs } = request;
  return {
    num_samples: 1,
    sampling_params: samplingParamsOf(params, params.seed),
    ...(topLogprobs > 0 && { topk_sample_logprobs: topLogprobs }),
    ...(promptLogprobs !== undefined && { prompt_logprobs: true, topk_prompt_logprobs: promptLogprobs }),
    aha: {
      iteration: params.iteration,
      prompt_id: promptId,
      sample_index: sampleIndex,
      ...(params.minP && { min_p: params.minP }),
      ...(params.minCompletionTokens && { min_tokens: params.minCompletionTokens }),
      ...(logprobTemperature !== undefined && { logprob_temperature: logprobTemperature }),
      ...(adjustments && adjustmentsOf(adjustments)),
    },
  };
}

function adjustmentsOf({ bias, repetitionPenalty, frequencyPenalty, presencePenalty }: LogitAdjustments) {
  return {
    ...(bias && { bias: [...bias] as [number, number][] }),
    ...(repetitionPenalty !== undefined && { repetition_penalty: repetitionPenalty }),
    ...(frequencyPenalty !== undefined && { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty !== undefined && { presence_penalty: presencePenalty }),
  };
}

/** Of every token but the first. */
function promptOf({ promptLogprobs, topkPromptLogprobs }: WireSampleResponse, count: number): PromptLogprobs {
  const logprobs = floatsIn(promptLogprobs, "prompt_logprobs").slice(1);
  const top = topOf(topkPromptLogprobs)
    .slice(1)
    .map((row) => row.slice(0, count));
  return {
    logprobs,
    topTokens: Int32Array.from(top.flat(), ({ token }) => token),
    topLogprobs: Float32Array.from(top.flat(), ({ logprob }) => logprob),
  };
}
