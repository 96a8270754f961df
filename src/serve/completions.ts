/**
 * /v1/completions: continues a text, or token ids, as they are; one or many at once. This is the endpoint of base models
 * and of evaluation programs. A text gets the tokens that the tokenizer puts around one (Llama's begin of text) unless
 * `add_special_tokens` is false. Reasoning is not told apart here: the text is what the model wrote.
 *
 * With `echo`, `logprobs` and `max_tokens` 0 nothing is generated and the prompt's own tokens are scored, at temperature 1:
 * what a teacher is asked for. Other servers add alternatives to each token; this one has the given tokens' numbers only.
 */

import { z } from "zod";
import { DataError } from "../errors.ts";
import { invalidParameter } from "./api-error.ts";
import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import {
  type FinishedChoice,
  type PreparedRequest,
  type RequestIdentity,
  type ResponseFormat,
  usageBody,
} from "./endpoint.ts";
import type { FinishReason, TokenUsage } from "./generation.ts";
import {
  commonFields,
  MAX_CHOICES,
  MAX_TOP_LOGPROBS,
  parseRequest,
  requireModel,
  samplingOf,
  stopsOf,
  streamOf,
} from "./request-fields.ts";
import { completionTokensFor, type ServedModel } from "./served-model.ts";
import { textOfToken } from "./token-text.ts";

/** OpenAI's, of this endpoint. */
const DEFAULT_MAX_TOKENS = 16;

const tokenIds = z.array(z.int().min(0));
const prompts = z.union([z.string(), tokenIds.min(1), z.array(z.union([z.string(), tokenIds])).min(1)]);

const schema = z.strictObject({
  ...commonFields,
  prompt: prompts,
  max_tokens: z.int().min(0).optional(),
  logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  echo: z.boolean().default(false),
  best_of: z.int().optional(),
  add_special_tokens: z.boolean().default(true),
});

type CompletionRequest = z.output<typeof schema>;

/** Understands the body of a request for a completion. Throws ApiError. */
export function prepareCompletion(model: ServedModel, body: unknown, identity: RequestIdentity): PreparedRequest {
  const request = parseRequest(schema, body);
  requireModel(model, request.model);
  const { n, echo, logprobs } = request;
  const stream = streamOf(request);
  if (request.best_of !== undefined && request.best_of !== n) {
    throw invalidParameter(
      "best_of",
      "best_of is not supported by this server, unless it is n.",
      "unsupported_parameter",
    );
  }
  if (echo && logprobs !== undefined) return prepareScoring(model, request, identity);
  if (request.max_tokens === 0) {
    throw invalidParameter("max_tokens", "max_tokens 0 goes with echo and logprobs, which score the prompt.");
  }
  const read = promptList(request.prompt).map((prompt, index) => readPrompt(model, request, prompt, index));
  if (read.length * n > MAX_CHOICES) {
    throw invalidParameter("prompt", `${read.length} prompts with n ${n} are more than ${MAX_CHOICES} choices.`);
  }
  const rooms = read.map(({ tokens }) =>
    completionTokensFor(model, tokens.length, request.max_tokens, DEFAULT_MAX_TOKENS, "prompt"),
  );
  return {
    spec: {
      prompts: read.map(({ tokens }) => ({ tokens, reasoning: undefined })),
      n,
      params: samplingOf(model, request, Math.min(...rooms), identity.seed),
      stop: stopsOf(request),
      topLogprobs: logprobs ?? 0,
    },
    stream,
    format: new CompletionFormat(model, request, identity, echo ? read.map(({ text }) => text()) : undefined),
  };
}

/** A request that scores its prompts. Throws ApiError for what would have to be generated or is not computed. */
function prepareScoring(model: ServedModel, request: CompletionRequest, identity: RequestIdentity): PreparedRequest {
  const refuse = (name: string, why: string) =>
    invalidParameter(name, `echo with logprobs ${why}`, "unsupported_parameter");
  if (model.scorer === undefined) throw refuse("echo", "is not supported by this server's engine.");
  if (request.max_tokens !== 0) {
    throw refuse("echo", "scores the prompt and generates nothing on this server: set max_tokens to 0.");
  }
  if (request.logprobs! > 1) throw refuse("logprobs", "gives no alternatives on this server: set logprobs to 0 or 1.");
  if (request.n !== 1) throw refuse("n", "has one choice for each prompt.");
  if (request.stream) throw refuse("stream", "comes as a whole.");
  const read = promptList(request.prompt).map((prompt, index) => readPrompt(model, request, prompt, index));
  if (read.length > MAX_CHOICES) throw invalidParameter("prompt", `More than ${MAX_CHOICES} prompts.`);
  for (const { tokens } of read) {
    if (tokens.length === 0) throw invalidParameter("prompt", "The prompt is empty: it needs at least one token.");
    if (tokens.length <= model.maxContextTokens) continue;
    const message = `This model's maximum context length is ${model.maxContextTokens} tokens; a prompt has ${tokens.length}.`;
    throw invalidParameter("prompt", message, "context_length_exceeded");
  }
  const format = new CompletionFormat(model, request, identity, undefined);
  return {
    spec: {
      prompts: read.map(({ tokens }) => ({ tokens, reasoning: undefined })),
      n: 1,
      params: samplingOf(model, request, 1, identity.seed),
      stop: [],
      topLogprobs: 0,
    },
    stream: undefined,
    format,
    scored: (logprobs, usage) =>
      format.scored(
        read.map(({ tokens, text }, i) => ({ tokens, text: text(), logprobs: logprobs[i]! })),
        usage,
      ),
  };
}

type Prompt = string | readonly number[];

/** An array of numbers is one prompt, an array of texts or arrays is many. */
function promptList(prompt: CompletionRequest["prompt"]): readonly Prompt[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as Prompt[]);
}

function readPrompt(
  model: ServedModel,
  request: CompletionRequest,
  prompt: Prompt,
  index: number,
): { tokens: Int32Array; text: () => string } {
  if (typeof prompt !== "string") {
    const stray = prompt.find((id) => id >= model.vocabSize);
    if (stray !== undefined) {
      throw invalidParameter(
        "prompt",
        `Prompt ${index}: token ${stray} is not in the vocabulary of ${model.vocabSize}.`,
      );
    }
    return { tokens: Int32Array.from(prompt), text: () => model.tokenizer.decode(prompt, { keepSpecial: true }) };
  }
  try {
    return { tokens: model.tokenizer.encode(prompt, { addSpecial: request.add_special_tokens }), text: () => prompt };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw invalidParameter("prompt", error.message);
  }
}

class CompletionFormat implements ResponseFormat {
  readonly #model: ServedModel;
  readonly #identity: RequestIdentity;
  readonly #request: CompletionRequest;
  /** Text that stands before the completions of each prompt. */
  readonly #echo: readonly string[] | undefined;

  constructor(
    model: ServedModel,
    request: CompletionRequest,
    identity: RequestIdentity,
    echo: readonly string[] | undefined,
  ) {
    this.#model = model;
    this.#identity = identity;
    this.#request = request;
    this.#echo = echo;
  }

  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object {
    return {
      ...this.#head(),
      choices: choices.map(({ content, tokens, finishReason }, index) => ({
        index,
        text: this.#echoed(index) + content,
        logprobs: this.#logprobsOf(tokens),
        finish_reason: finishReason,
      })),
      usage: usageBody(usage),
    };
  }

  /** Prompts with the log-probabilities of their tokens; the first has none. */
  scored(
    prompts: readonly { readonly tokens: Int32Array; readonly text: string; readonly logprobs: Float32Array }[],
    usage: TokenUsage,
  ): object {
    return {
      ...this.#head(),
      choices: prompts.map(({ tokens, text, logprobs }, index) => {
        const texts = Array.from(tokens, (token) => textOfToken(this.#model.tokenizer, token));
        const offsets: number[] = [];
        for (let i = 0, offset = 0; i < texts.length; offset += texts[i++]!.length) offsets.push(offset);
        const given = { tokens: texts, token_logprobs: [null, ...logprobs], top_logprobs: null, text_offset: offsets };
        return { index, text, logprobs: given, finish_reason: "length" };
      }),
      usage: usageBody(usage),
    };
  }

  opening(choice: number): object | undefined {
    return this.#echo === undefined ? undefined : this.#chunk(choice, this.#echoed(choice));
  }

  delta(choice: number, { pieces, tokens }: ChoiceDelta): object | undefined {
    const text = pieces.map((piece) => piece.text).join("");
    const logprobs = tokens.length > 0 ? this.#logprobsOf(tokens) : null;
    return text === "" && logprobs === null ? undefined : this.#chunk(choice, text, { logprobs });
  }

  closing(choice: number, finishReason: FinishReason): object {
    return this.#chunk(choice, "", { finishReason });
  }

  usage(usage: TokenUsage): object {
    return { ...this.#head(), choices: [], usage: usageBody(usage) };
  }

  #chunk(
    index: number,
    text: string,
    { logprobs = null, finishReason = null }: { logprobs?: object | null; finishReason?: FinishReason | null } = {},
  ): object {
    const usage = this.#request.stream_options?.include_usage ? { usage: null } : {};
    return { ...this.#head(), choices: [{ index, text, logprobs, finish_reason: finishReason }], ...usage };
  }

  #echoed(choice: number): string {
    return this.#echo?.[Math.floor(choice / this.#request.n)] ?? "";
  }

  #head(): object {
    const { uuid, created } = this.#identity;
    return { id: `cmpl-${uuid}`, object: "text_completion", created, model: this.#model.id };
  }

  #logprobsOf(tokens: readonly PlacedToken[]): object | null {
    const { logprobs } = this.#request;
    if (logprobs === undefined) return null;
    const text = (token: number) => textOfToken(this.#model.tokenizer, token);
    return {
      tokens: tokens.map(({ token }) => text(token)),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: logprobs === 0 ? null : tokens.map(({ top }) => byText(top, text)),
      text_offset: tokens.map(({ offset }) => offset),
    };
  }
}

/** Alternatives as OpenAI has them here, by text: of several tokens with one text the most probable. */
function byText(
  top: readonly { readonly token: number; readonly logprob: number }[],
  text: (token: number) => string,
): Record<string, number> {
  return Object.fromEntries([...top].reverse().map(({ token, logprob }) => [text(token), logprob]));
}
