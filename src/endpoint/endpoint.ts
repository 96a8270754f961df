/**
 * A model behind an OpenAI-compatible endpoint, as judges, teachers and refining models ask it. How it is reached, and where
 * answers are kept, is the matter of who hands it in: on Node `open.ts`.
 */

import type { SpentUsage } from "./budget.ts";
import type { ChatAnswer, ChatClient, ChatRequest } from "./chat.ts";
import type { EchoedPrompt } from "./completions.ts";
import type { ConnectionConfig, EndpointConfig } from "./options.ts";

/** A model that can be asked. */
export interface Endpoint extends ChatClient {
  /** The model's answer. Throws EndpointError; an aborted signal rejects with its reason. What is not `isUsable` is given
   * back, and not kept. */
  complete(request: ChatRequest, signal?: AbortSignal, isUsable?: (answer: ChatAnswer) => boolean): Promise<ChatAnswer>;
  /** Log-probabilities (natural, temperature 1) of given tokens, each after those before it. Throws as `complete` does. */
  echo(tokens: ArrayLike<number>, signal?: AbortSignal): Promise<EchoedPrompt>;
  /** What was paid for. */
  readonly spent: SpentUsage;
  /** Goes on from what an earlier session had spent. */
  restoreSpent(spent: SpentUsage): void;
}

/** Opens endpoints by the keys of a recipe. */
export interface Endpoints {
  /** Keeps answers, and has limits on what they cost. Throws ConfigError for an address that is none. */
  open(config: EndpointConfig): Endpoint;
  /** Keeps nothing. Throws ConfigError for an address that is none. */
  connect(config: ConnectionConfig): Endpoint;
}
