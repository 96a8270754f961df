/** How a generation's results travel to the client: as one JSON answer, or event by event as they come. */

import type { ServerResponse } from "node:http";
import type { ApiError } from "./api-error.ts";
import type { PlacedToken } from "./choice-text.ts";
import type { PreparedRequest } from "./endpoint.ts";
import { EventStream } from "./event-stream.ts";
import { type FinishReason, generate, type TokenUsage } from "./generation.ts";
import type { Channel } from "./reasoning.ts";
import { type ServedModel, scoreSequences } from "./served-model.ts";

/** One generation and its client. */
export interface Exchange {
  readonly model: ServedModel;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  /** Aborted where the client went away, time is up or the server ends. */
  readonly signal: AbortSignal;
  /** Called for every token that is drawn. */
  readonly onToken: () => void;
  /** What a client may know of an error. */
  readonly describe: (error: unknown) => ApiError;
}

/** Generates and answers. Rejects with what stopped it; where a stream has begun the client was told by then. */
export function respond(prepared: PreparedRequest, exchange: Exchange): Promise<TokenUsage> {
  if (prepared.scored) return respondScored(prepared.spec, prepared.scored, exchange);
  return prepared.stream === undefined ? respondWhole(prepared, exchange) : respondStreaming(prepared, exchange);
}

async function respondScored(
  { prompts }: PreparedRequest["spec"],
  write: NonNullable<PreparedRequest["scored"]>,
  { model, response, headers, signal }: Exchange,
): Promise<TokenUsage> {
  const logprobs = await scoreSequences(
    model.scorer!,
    prompts.map(({ tokens }) => tokens),
  );
  signal.throwIfAborted();
  const promptTokens = prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const usage = { promptTokens, completionTokens: 0, reasoningTokens: 0 };
  sendJson(response, 200, write(logprobs, usage), headers);
  return usage;
}

async function respondWhole({ spec, format }: PreparedRequest, exchange: Exchange): Promise<TokenUsage> {
  const { model, response, headers, signal, onToken } = exchange;
  const choices = Array.from({ length: spec.prompts.length * spec.n }, () => new CollectedChoice());
  const usage = await generate(
    model,
    spec,
    {
      onToken,
      onDelta: (choice, delta) => choices[choice]!.add(delta.pieces, delta.tokens),
      onEnd: (choice, finishReason) => {
        choices[choice]!.finishReason = finishReason;
      },
    },
    signal,
  );
  const finished = choices.map((choice) => choice.finished());
  sendJson(response, 200, format.whole(finished, usage), headers);
  return usage;
}

async function respondStreaming({ spec, stream, format }: PreparedRequest, exchange: Exchange): Promise<TokenUsage> {
  const { model, response, headers, signal, onToken, describe } = exchange;
  const events = new EventStream(response, headers);
  const send = (chunk: object | undefined) => {
    if (chunk !== undefined) events.send(chunk);
  };
  for (let choice = 0; choice < spec.prompts.length * spec.n; choice++) send(format.opening(choice));
  try {
    const usage = await generate(
      model,
      spec,
      {
        onToken,
        onDelta: (choice, delta) => send(format.delta(choice, delta)),
        onEnd: (choice, finishReason) => send(format.closing(choice, finishReason)),
      },
      signal,
    );
    if (stream!.includeUsage) send(format.usage(usage));
    events.end(true);
    return usage;
  } catch (error) {
    const failure = describe(error);
    send(failure.body);
    events.end(false);
    throw failure;
  }
}

/** Answers with a JSON value. */
export function sendJson(
  response: ServerResponse,
  status: number,
  value: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { ...headers, "content-type": "application/json", "content-length": body.length });
  response.end(body);
}

/** A choice that is being put together. */
class CollectedChoice {
  readonly #texts: Record<Channel, string> = { reasoning: "", content: "" };
  readonly #tokens: PlacedToken[] = [];
  finishReason: FinishReason = "stop";

  add(pieces: readonly { readonly channel: Channel; readonly text: string }[], tokens: readonly PlacedToken[]): void {
    for (const { channel, text } of pieces) this.#texts[channel] += text;
    this.#tokens.push(...tokens);
  }

  finished() {
    return { ...this.#texts, tokens: this.#tokens, finishReason: this.finishReason };
  }
}
