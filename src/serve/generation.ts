/**
 * One request on its way through the engine: its prompts, n choices of each, submitted together and decoded together
 * with the other sequences of the session. A choice that meets a stop string leaves its slot at once, and so do all
 * when the client is gone.
 */

import type { SamplingParams } from "../engine/contract/sampling.ts";
import type { DrawnToken, LogitAdjustments, PromptLogprobs, RunningSequence } from "../engine/contract/session.ts";
import { type ChoiceDelta, ChoiceText } from "./choice-text.ts";
import type { Channel } from "./reasoning.ts";
import type { ServedModel } from "./served-model.ts";

export interface GenerationPrompt {
  readonly tokens: Int32Array;
  /** Where its completion begins; undefined: reasoning is not told apart. */
  readonly reasoning: Channel | undefined;
  /** The completion is decoded as what follows the prompt, its first space included, and not as a text of its own. */
  readonly continued: boolean;
}

/** What is to be generated. */
export interface GenerationSpec {
  readonly prompts: readonly GenerationPrompt[];
  /** Choices of each prompt. */
  readonly n: number;
  readonly params: SamplingParams;
  readonly adjustments?: LogitAdjustments | undefined;
  readonly stop: readonly string[];
  /** Alternatives to report with each token. */
  readonly topLogprobs: number;
  /** The prompts' own tokens are scored, with as many alternatives. */
  readonly scorePrompts: boolean;
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
  /** The scores of a choice's prompt, where they were asked for: before anything else of the choice. */
  readonly onPrompt?: (choice: number, prompt: PromptLogprobs) => void;
  readonly onDelta: (choice: number, delta: ChoiceDelta) => void;
  readonly onEnd: (choice: number, finishReason: FinishReason) => void;
}

/** Log-probabilities are the model's own, whatever the temperature of the draw, as other servers give them. */
const LOGPROB_TEMPERATURE = 1;

/** How many tokens all prompts have. */
export function promptTokenCount({ prompts }: Pick<GenerationSpec, "prompts">): number {
  return prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
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
    return { promptTokens: promptTokenCount(spec), ...totals };
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
  observer: GenerationObserver & { readonly onToken: () => void },
  running: RunningSequence[],
): Promise<ChoiceText> {
  const { params, adjustments, stop, topLogprobs, scorePrompts } = spec;
  const text = new ChoiceText({
    decoder: model.newDecoder(prompt.continued ? prompt.tokens : undefined),
    stopTokenIds: params.stopTokenIds,
    // Other servers list this token in completions, and programs that score texts expect as many tokens as were drawn.
    keepStopToken: prompt.continued,
    stop,
    reasoning: prompt.reasoning,
  });
  let end: "stop" | "length" | "cancelled" = "length";
  // If nothing is drawn and nothing is scored, nothing has to be computed.
  if (params.maxCompletionTokens > 0 || scorePrompts) {
    const onToken = (drawn: DrawnToken) => {
      observer.onToken();
      observer.onDelta(index, text.push(drawn));
      if (text.stopped) sequence.cancel();
    };
    const request = {
      tokens: prompt.tokens,
      promptId,
      sampleIndex,
      params,
      topLogprobs,
      logprobTemperature: LOGPROB_TEMPERATURE,
      ...(adjustments && { adjustments }),
      ...(scorePrompts && { promptLogprobs: topLogprobs }),
    };
    const sequence = model.session.submit(request, onToken, (scores) => observer.onPrompt?.(index, scores));
    running.push(sequence);
    end = await sequence.finished;
  }
  if (end === "cancelled" && !text.stopped) return text;
  observer.onDelta(index, text.end());
  observer.onEnd(index, end === "length" ? "length" : "stop");
  return text;
}
