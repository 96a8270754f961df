/**
 * A sampling session over an engine that has none of its own (capability `sessions`): a sequence is a call of `sample`, and its
 * tokens are handed out when it has ended. For one who talks to a model; a server needs a real one.
 */

import { EngineError } from "../errors.ts";
import type { Sampler } from "./contract/sampler.ts";
import type { DrawnToken, RunningSequence, SamplingSession, SequenceEnd, SequenceRequest } from "./contract/session.ts";
import { requireSequence } from "./local/requests.ts";

export class SampledSession implements SamplingSession {
  readonly #engine: Sampler;
  readonly #running = new Set<() => void>();
  #closed = false;

  constructor(engine: Sampler) {
    this.#engine = engine;
  }

  get load() {
    return { active: this.#running.size, waiting: 0 };
  }

  /** Throws EngineError for what `sample` cannot be asked for: changed logits, alternatives, scores of the prompt. */
  submit(request: SequenceRequest, onToken: (token: DrawnToken) => void): RunningSequence {
    if (this.#closed) throw new EngineError("This sampling session is closed; open another one.");
    requireSequence(this.#engine.info, request);
    this.#requirePlain(request);
    let cancel = () => {};
    let isOver = false;
    const finished = new Promise<SequenceEnd>((resolve, reject) => {
      const end = (settle: () => void) => {
        if (isOver) return;
        isOver = true;
        this.#running.delete(cancel);
        settle();
      };
      cancel = () => end(() => resolve("cancelled"));
      this.#running.add(cancel);
      const handOut = (token: DrawnToken) => {
        if (!isOver) onToken(token);
        return isOver;
      };
      this.#sample(request, handOut).then(
        (reason) => end(() => resolve(reason)),
        (error: unknown) => end(() => reject(error as Error)),
      );
    });
    return { finished, cancel: () => cancel() };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const cancel of [...this.#running]) cancel();
  }

  /** Hands out the tokens of a sequence, until `handOut` says that nobody listens any more. */
  async #sample(
    { tokens, promptId, params }: SequenceRequest,
    handOut: (token: DrawnToken) => boolean,
  ): Promise<"stop" | "length"> {
    if (params.maxCompletionTokens === 0) return "length";
    const [sequence] = await this.#engine.sample([{ tokens, promptId, numSamples: 1 }], params);
    for (const [t, token] of sequence!.tokens.entries()) {
      if (handOut({ token, logprob: sequence!.logprobs[t]!, top: [] })) break;
    }
    return sequence!.finishReason;
  }

  #requirePlain({ adjustments, topLogprobs = 0, promptLogprobs, sampleIndex }: SequenceRequest): void {
    const asked: readonly (readonly [boolean, string])[] = [
      [adjustments !== undefined, "biases and penalties"],
      [topLogprobs > 0, "log-probabilities of other tokens"],
      [promptLogprobs !== undefined, "log-probabilities of the prompt"],
      [sampleIndex > 0, "second sample of a prompt"],
    ];
    const lacking = asked.find(([isAsked]) => isAsked)?.[1];
    if (lacking === undefined) return;
    throw new EngineError(`The engine ${this.#engine.info.name} has no sampling sessions, and so no ${lacking}.`);
  }
}
