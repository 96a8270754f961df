/**
 * The older route of OpenAI's interface, `POST BASE/completions`: a text is continued as it is, without a chat template.
 * Base models are asked by it, and it is the one way to have given tokens scored: `echo` with `logprobs` and nothing
 * generated. vLLM, SGLang and `aha serve` score; OpenAI itself no longer does.
 */

import { z } from "zod";
import { EndpointError } from "../errors.ts";
import { type ChatAnswer, type ChatRequest, type ChatUsage, checkedAnswer, usageOf, usageSchema } from "./chat.ts";

/** A text to be continued, and how. */
export interface TextRequest
  extends Pick<ChatRequest, "maxCompletionTokens" | "temperature" | "topP" | "seed" | "sample"> {
  readonly prompt: string;
}

/** Log-probabilities of a prompt's tokens after its first, and the texts of all of them where they came. */
export interface EchoedPrompt {
  readonly logprobs: readonly number[];
  readonly texts: readonly string[] | undefined;
  readonly usage: ChatUsage;
}

/** The body of a request for a continuation. */
export function textBody(model: string, request: TextRequest): Record<string, unknown> {
  const { prompt, maxCompletionTokens, temperature, topP, seed } = request;
  return {
    model,
    prompt,
    ...(maxCompletionTokens !== undefined && { max_tokens: maxCompletionTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(seed !== undefined && { seed }),
  };
}

const textSchema = z.object({
  choices: z.array(z.object({ text: z.string(), finish_reason: z.string().nullish() })).min(1),
  usage: usageSchema,
});

/** The continuation in a body. Throws EndpointError `malformed`. */
export function parseTextAnswer(body: string, { prompt }: TextRequest): ChatAnswer {
  const { choices, usage } = checkedAnswer(body, textSchema, "a completion");
  const { text, finish_reason } = choices[0]!;
  return { text, finishReason: finish_reason ?? "stop", usage: usageOf(usage, prompt.length, text.length) };
}

/** The body of a request for the log-probabilities of tokens. */
export function echoBody(model: string, tokens: ArrayLike<number>): Record<string, unknown> {
  return { model, prompt: Array.from(tokens), max_tokens: 0, echo: true, logprobs: 1, temperature: 1 };
}

const echoSchema = z.object({
  choices: z
    .array(
      z.object({
        logprobs: z
          .object({ tokens: z.array(z.string()).nullish(), token_logprobs: z.array(z.number().nullable()) })
          .nullish(),
      }),
    )
    .min(1),
});

/** The log-probabilities in a body, of a prompt of `count` tokens. Throws EndpointError: `malformed`; `refused` where the
 * server does not give them, and will not the next time. */
export function parseEcho(body: string, count: number): EchoedPrompt {
  const { choices } = checkedAnswer(body, echoSchema, "a completion with an echoed prompt");
  const found = choices[0]!.logprobs;
  if (!found) throw new EndpointError("refused", "its answer has no log-probabilities of the prompt");
  // The first token has nothing before it; what a server generates in spite of max_tokens stands behind.
  const logprobs = found.token_logprobs.slice(1, count);
  if (logprobs.length !== count - 1 || logprobs.some((value) => value === null)) {
    const given = found.token_logprobs.length;
    throw new EndpointError("refused", `it gave ${given} log-probabilities for a prompt of ${count} tokens`);
  }
  return {
    logprobs: logprobs as number[],
    texts: found.tokens?.slice(0, count),
    usage: { promptTokens: count, completionTokens: 0 },
  };
}
