/** How a generation's results travel to the client: as one JSON answer, or event by event as they come. */

import type { ServerResponse } from "node:http";
import type { PromptLogprobs } from "../engine/contract/session.ts";
import { EventStream } from "../event-stream.ts";
import type { ApiError } from "./api-error.ts";
import type { PlacedToken } from "./choice-text.ts";
import type { FinishedChoice, ResponseFormat } from "./endpoint.ts";
import { type FinishReason, type GenerationSpec, generate, type TokenUsage } from "./generation.ts";
import { jsonInPieces } from "./json-pieces.ts";
import type { Channel } from "./reasoning.ts";
import type { ServedModel } from "./served-model.ts";

/** One generation and its client. */
export interface Exchange {
  readonly model: ServedModel;
  readonly spec: GenerationSpec;
  readonly format: ResponseFormat;
  /** Undefined: the answer comes as a whole. */
  readonly stream: { readonly includeUsage: boolean } | undefined;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  /** Aborted where the client went away, time is up or the server ends. */
  readonly signal: AbortSignal;
  /** Called for every token that is drawn. */
  readonly onToken: () => void;
  /** The part of an error that a client may see. */
  readonly describe: (error: unknown) => ApiError;
}

/** Generates and answers. Rejects with what stopped it; where a stream has begun the client was told by then. */
export function respond(exchange: Exchange): Promise<TokenUsage> {
  return exchange.stream === undefined ? respondWhole(exchange) : respondStreaming(exchange);
}

async function respondWhole(exchange: Exchange): Promise<TokenUsage> {
  const { model, spec, format, response, headers, signal, onToken } = exchange;
  const choices = Array.from({ length: spec.prompts.length * spec.n }, () => new CollectedChoice());
  const usage = await generate(
    model,
    spec,
    {
      onToken,
      onPrompt: (choice, prompt) => {
        choices[choice]!.prompt = prompt;
      },
      onDelta: (choice, delta) => choices[choice]!.add(delta.pieces, delta.tokens),
      onEnd: (choice, finishReason) => {
        choices[choice]!.finishReason = finishReason;
      },
    },
    signal,
  );
  const finished = choices.map((choice) => choice.finished());
  sendText(response, 200, await jsonInPieces(format.whole(finished, usage)), headers);
  return usage;
}

async function respondStreaming(exchange: Exchange): Promise<TokenUsage> {
  const { model, spec, stream, format, response, headers, signal, onToken, describe } = exchange;
  const events = new EventStream(response, headers);
  const send = (chunk: object | undefined) => {
    if (chunk !== undefined) events.send(chunk);
  };
  // With scores the first chunk of a choice has those of its prompt, and waits for them.
  if (!spec.scorePrompts) {
    for (let choice = 0; choice < spec.prompts.length * spec.n; choice++) send(format.opening(choice, undefined));
  }
  try {
    const usage = await generate(
      model,
      spec,
      {
        onToken,
        onPrompt: (choice, prompt) => send(format.opening(choice, prompt)),
        onDelta: (choice, delta) => send(format.delta(choice, delta)),
        onEnd: (choice, finishReason) => send(format.closing(choice, finishReason)),
      },
      signal,
    );
    if (stream!.includeUsage) send(format.usage(usage));
    // Says that nothing is missing.
    events.sendText("[DONE]");
    events.end();
    return usage;
  } catch (error) {
    const failure = describe(error);
    send(failure.body);
    events.end();
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
  sendText(response, status, JSON.stringify(value), headers);
}

function sendText(
  response: ServerResponse,
  status: number,
  json: string,
  headers: Readonly<Record<string, string>>,
): void {
  const body = Buffer.from(json);
  response.writeHead(status, { ...headers, "content-type": "application/json", "content-length": body.length });
  response.end(body);
}

/** A choice that is being put together. */
class CollectedChoice {
  readonly #texts: Record<Channel, string> = { reasoning: "", content: "" };
  readonly #tokens: PlacedToken[] = [];
  finishReason: FinishReason = "stop";
  prompt: PromptLogprobs | undefined;

  add(pieces: readonly { readonly channel: Channel; readonly text: string }[], tokens: readonly PlacedToken[]): void {
    for (const { channel, text } of pieces) this.#texts[channel] += text;
    this.#tokens.push(...tokens);
  }

  finished(): FinishedChoice {
    return { ...this.#texts, tokens: this.#tokens, finishReason: this.finishReason, prompt: this.prompt };
  }
}
