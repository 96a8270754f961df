/**
 * /v1/completions: continues a text, or token ids, as they are; one or many at once. This is the endpoint of base models
 * and of evaluation programs. A text gets the tokens that the tokenizer puts around one (Llama's begin of text) unless
 * `add_special_tokens` is false. Reasoning is not told apart here: the text is what the model wrote.
 *
 * `echo` puts the prompt before each completion; with `logprobs` its tokens come scored, at temperature 1, the first with
 * null, as nothing stands before it. So a program that scores given texts asks for one token, or none (`max_tokens` 0).
 */

import { z } from "zod";
import type { PromptLogprobs, TokenLogprob } from "../engine/contract/session.ts";
import { DataError } from "../errors.ts";
import { invalidParameter } from "./api-error.ts";
import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import {
  type AnsweringModel,
  type FinishedChoice,
  type RequestIdentity,
  type ResponseFormat,
  type UnderstoodGeneration,
  usageBody,
} from "./endpoint.ts";
import type { FinishReason, TokenUsage } from "./generation.ts";
import { lazily } from "./json-pieces.ts";
import { completionTokensFor, encodeWithin, modelNamed, type ReadableModel } from "./model-facts.ts";
import type { ParsedBody } from "./parse-body.ts";
import {
  adjustmentsOf,
  commonFields,
  MAX_TOP_LOGPROBS,
  parseRequest,
  requireChoices,
  samplingOf,
  seedOf,
  stopsOf,
  streamOf,
} from "./request-fields.ts";
import { characterCount } from "./token-text.ts";

/** OpenAI's, of this endpoint. */
const DEFAULT_MAX_TOKENS = 16;

type Prompt = string | readonly number[];

const schema = z.strictObject({
  ...commonFields,
  // Checked without a schema, which would list a fault for each of a million numbers.
  prompt: z.custom<Prompt | readonly Prompt[]>(isPrompt, {
    error: "expected a text, token ids, or a list of one or more of either",
  }),
  logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  echo: z.boolean().default(false),
  best_of: z.int().optional(),
  add_special_tokens: z.boolean().default(true),
});

type CompletionRequest = z.output<typeof schema>;

/** What the answer has to have. */
export interface CompletionAnswer {
  readonly n: number;
  readonly logprobs: number | undefined;
  /** The prompts, where they are echoed. */
  readonly echo: readonly EchoedText[] | undefined;
  /** Chunks of a stream have a field for usage. */
  readonly usageField: boolean;
}

interface EchoedText {
  readonly text: string;
  readonly tokens: Int32Array;
}

/** Understands the body of a request for a completion. Throws ApiError. */
export function understandCompletion(
  models: readonly ReadableModel[],
  body: ParsedBody,
  maxSequences: number,
): UnderstoodGeneration<CompletionAnswer> {
  const request = parseRequest(schema, body.value);
  const model = modelNamed(models, request.model);
  const { n, echo, logprobs } = request;
  const stream = streamOf(request);
  if (request.best_of !== undefined && request.best_of !== n) {
    const lacks = "no more completions would be made than n";
    const message = `best_of is not supported by this server, unless it is n: ${lacks}.`;
    throw invalidParameter("best_of", message, "unsupported_parameter");
  }
  const prompts = promptList(request.prompt);
  requireChoices(prompts.length, n, maxSequences);
  const tokens = prompts.map((prompt, index) => readPrompt(model, request, prompt, index));
  const rooms = tokens.map(({ length }) =>
    completionTokensFor(model, length, request.max_tokens, DEFAULT_MAX_TOKENS, "prompt"),
  );
  const textOf = (prompt: Prompt) =>
    typeof prompt === "string" ? prompt : model.tokenizer.decode(prompt, { keepSpecial: true });
  const echoed = echo ? prompts.map((prompt, i) => ({ tokens: tokens[i]!, text: textOf(prompt) })) : undefined;
  return {
    model: model.id,
    spec: {
      prompts: tokens.map((prompt) => ({ tokens: prompt, reasoning: undefined, continued: true })),
      n,
      params: samplingOf(model, request, Math.min(...rooms)),
      adjustments: adjustmentsOf(model, request),
      stop: stopsOf(request),
      topLogprobs: logprobs ?? 0,
      scorePrompts: echo && logprobs !== undefined,
    },
    seed: seedOf(request, body),
    stream,
    answer: { n, logprobs, echo: echoed, usageField: stream?.includeUsage ?? false },
  };
}

function isPrompt(value: unknown): boolean {
  if (typeof value === "string") return true;
  if (!Array.isArray(value) || value.length === 0) return false;
  return isTokenList(value) || value.every((prompt) => typeof prompt === "string" || isTokenList(prompt));
}

function isTokenList(value: unknown): boolean {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}

/** An array of numbers is one prompt, an array of texts or arrays is many. */
function promptList(prompt: CompletionRequest["prompt"]): readonly Prompt[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as readonly number[]] : (prompt as readonly Prompt[]);
}

function readPrompt(model: ReadableModel, request: CompletionRequest, prompt: Prompt, index: number): Int32Array {
  if (typeof prompt !== "string") {
    const stray = prompt.find((id) => id >= model.vocabSize);
    if (stray === undefined) return Int32Array.from(prompt);
    const message = `Prompt ${index}: token ${stray} is not in the vocabulary of ${model.vocabSize}.`;
    throw invalidParameter("prompt", message);
  }
  try {
    return encodeWithin(model, prompt, "prompt", { addSpecial: request.add_special_tokens });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw invalidParameter("prompt", error.message);
  }
}

/** The log-probabilities of a text's tokens, as this endpoint has them: a list for each of their properties. */
interface LogprobLists {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[] | null;
  readonly text_offset: number[];
}

/** Writes the answers of this endpoint. */
export class CompletionFormat implements ResponseFormat {
  readonly #model: AnsweringModel;
  readonly #identity: RequestIdentity;
  readonly #answer: CompletionAnswer;
  /** Characters of each prompt that is echoed. */
  readonly #echoedLengths: readonly number[];

  constructor(model: AnsweringModel, answer: CompletionAnswer, identity: RequestIdentity) {
    this.#model = model;
    this.#identity = identity;
    this.#answer = answer;
    this.#echoedLengths = (answer.echo ?? []).map(({ text }) => characterCount(text));
  }

  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object {
    return {
      ...this.#head(),
      choices: lazily(choices, ({ content, tokens, finishReason, prompt }, index) => ({
        index,
        text: this.#echoOf(index) + content,
        logprobs: this.#logprobsOf(index, tokens, prompt),
        finish_reason: finishReason,
      })),
      usage: usageBody(usage),
    };
  }

  opening(choice: number, prompt: PromptLogprobs | undefined): object | undefined {
    if (this.#answer.echo === undefined) return undefined;
    return this.#chunk(choice, this.#echoOf(choice), {
      logprobs: prompt ? this.#logprobsOf(choice, [], prompt) : null,
    });
  }

  delta(choice: number, { pieces, tokens }: ChoiceDelta): object | undefined {
    const text = pieces.map((piece) => piece.text).join("");
    const logprobs = tokens.length > 0 ? this.#logprobsOf(choice, tokens, undefined) : null;
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
    const usage = this.#answer.usageField ? { usage: null } : {};
    return { ...this.#head(), choices: [{ index, text, logprobs, finish_reason: finishReason }], ...usage };
  }

  #promptOf(choice: number): number {
    return Math.floor(choice / this.#answer.n);
  }

  #echoOf(choice: number): string {
    return this.#answer.echo?.[this.#promptOf(choice)]?.text ?? "";
  }

  #head(): object {
    const { uuid, created } = this.#identity;
    return { id: `cmpl-${uuid}`, object: "text_completion", created, model: this.#model.id };
  }

  /** Of the prompt's tokens, where they were scored, and then of those that were drawn. */
  #logprobsOf(choice: number, drawn: readonly PlacedToken[], prompt: PromptLogprobs | undefined): LogprobLists | null {
    const { logprobs: count } = this.#answer;
    if (count === undefined) return null;
    const { texts } = this.#model;
    const lists: LogprobLists = {
      tokens: [],
      token_logprobs: [],
      top_logprobs: count === 0 ? null : [],
      text_offset: [],
    };
    const add = (token: number, logprob: number | null, offset: number, top: readonly TokenLogprob[]) => {
      lists.tokens.push(texts.inCompletion(token));
      lists.token_logprobs.push(logprob);
      lists.text_offset.push(offset);
      lists.top_logprobs?.push(logprob === null ? null : this.#byText([{ token, logprob }, ...top]));
    };
    if (prompt) {
      const { text, tokens } = this.#answer.echo![this.#promptOf(choice)]!;
      const offsets = texts.offsets(text, tokens);
      for (const [i, token] of tokens.entries()) {
        const top = Array.from({ length: i === 0 ? 0 : count }, (_, rank) => ({
          token: prompt.topTokens[(i - 1) * count + rank]!,
          logprob: prompt.topLogprobs[(i - 1) * count + rank]!,
        }));
        add(token, i === 0 ? null : prompt.logprobs[i - 1]!, offsets[i]!, top);
      }
    }
    const begin = this.#echoedLengths[this.#promptOf(choice)] ?? 0;
    for (const { token, logprob, offset, top } of drawn) add(token, logprob, begin + offset, top);
    return lists;
  }

  /**
   * Alternatives as OpenAI has them here, by text, the token itself among them as in vLLM: of several tokens with one text
   * the most probable.
   */
  #byText(entries: readonly TokenLogprob[]): Record<string, number> {
    const found = new Map<string, number>();
    for (const { token, logprob } of entries) {
      const text = this.#model.texts.inCompletion(token);
      if ((found.get(text) ?? Number.NEGATIVE_INFINITY) < logprob) found.set(text, logprob);
    }
    return Object.fromEntries(found);
  }
}
