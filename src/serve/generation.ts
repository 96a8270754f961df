/**
 * One request on its way through the engine: its prompts, n choices of each, submitted together and decoded in whatever
 * company the session has. A choice that meets a stop string leaves its slot at once, and so do all when the client is gone.
 */

import type { SamplingParams } from "../engine/contract/sampler.ts";
import type { DrawnToken, RunningSequence } from "../engine/contract/session.ts";
import { type ChoiceDelta, ChoiceText } from "./choice-text.ts";
import type { Channel } from "./reasoning.ts";
import type { ServedModel } from "./served-model.ts";

export interface GenerationPrompt {
  readonly tokens: Int32Array;
  /** Where its completion begins; undefined: reasoning is not told apart. */
  readonly reasoning: Channel | undefined;
}

/** What is to be generated. */
export interface GenerationSpec {
  readonly prompts: readonly GenerationPrompt[];
  /** Choices of each prompt. */
  readonly n: number;
  readonly params: SamplingParams;
  readonly stop: readonly string[];
  /** Alternatives to report with each token. */
  readonly topLogprobs: number;
}

/** OpenAI's finish reasons that a plain text can have. */
export type FinishReason = "stop" | "length";

/** Tokens of a request: each prompt once, however many choices; of completions every token that was drawn. */
export interface TokenUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
}

/** Told what happens; choices are numbered through, those of the first prompt first. */
export interface GenerationObserver {
  /** A token was drawn. */
  readonly onToken?: () => void;
  readonly onDelta: (choice: number, delta: ChoiceDelta) => void;
  readonly onEnd: (choice: number, finishReason: FinishReason) => void;
}

/**
 * Generates until every choice has ended. Where `signal` is aborted all sequences are cancelled and the promise rejects
 * with its reason; where one fails, the others are cancelled and it rejects with that error.
 */
export async function generate(
  model: ServedModel,
  spec: GenerationSpec,
  observer: GenerationObserver,
  signal: AbortSignal,
): Promise<TokenUsage> {
  signal.throwIfAborted();
  const running: RunningSequence[] = [];
  const cancelAll = () => {
    for (const sequence of running) sequence.cancel();
  };
  const totals = { completionTokens: 0, reasoningTokens: 0 };
  signal.addEventListener("abort", cancelAll, { once: true });
  try {
    const onToken = () => {
      totals.completionTokens++;
      observer.onToken?.();
    };
    const choices = spec.prompts.flatMap((prompt, promptId) =>
      Array.from({ length: spec.n }, (_, sampleIndex) => {
        const choice = { index: promptId * spec.n + sampleIndex, promptId, sampleIndex };
        return startChoice(model, spec, prompt, choice, { ...observer, onToken }, running);
      }),
    );
    const texts = await Promise.all(choices);
    signal.throwIfAborted();
    for (const text of texts) totals.reasoningTokens += text.reasoningTokens;
    return { promptTokens: spec.prompts.reduce((sum, { tokens }) => sum + tokens.length, 0), ...totals };
  } finally {
    signal.removeEventListener("abort", cancelAll);
    cancelAll();
  }
}

/** Submits one choice and sees it through to its end. */
async function startChoice(
  model: ServedModel,
  spec: GenerationSpec,
  prompt: GenerationPrompt,
  { index, promptId, sampleIndex }: { readonly index: number; readonly promptId: number; readonly sampleIndex: number },
  observer: Required<GenerationObserver>,
  running: RunningSequence[],
): Promise<ChoiceText> {
  const { params, stop, topLogprobs } = spec;
  const text = new ChoiceText({
    decoder: model.newDecoder(),
    stopTokenIds: params.stopTokenIds,
    stop,
    reasoning: prompt.reasoning,
  });
  const onToken = (drawn: DrawnToken) => {
    observer.onToken();
    observer.onDelta(index, text.push(drawn));
    if (text.stopped) sequence.cancel();
  };
  const request = { tokens: prompt.tokens, promptId, sampleIndex, params, topLogprobs };
  const sequence = model.session.submit(request, onToken);
  running.push(sequence);
  const end = await sequence.finished;
  if (end === "cancelled" && !text.stopped) return text;
  observer.onDelta(index, text.end());
  observer.onEnd(index, end === "length" ? "length" : "stop");
  return text;
}
