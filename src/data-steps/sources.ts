/**
 * Who writes the completions of a data step: a model in this process, or one behind an endpoint. Everything after the
 * writing is the same for both.
 *
 * In both a completion is a function of (seed, prompt, sample): here by the engine's random stream, there by a seed that
 * is sent with each request (as far as the server heeds it) and by the cache of answers.
 */

import { join } from "node:path";
import type { ChatAnswer, ChatMessage } from "../endpoint/chat.ts";
import type { EndpointClient } from "../endpoint/client.ts";
import type { TextEndpointConfig } from "../endpoint/options.ts";
import type { Sampler } from "../engine/contract/sampler.ts";
import { ConfigError } from "../errors.ts";
import { hashString, philox } from "../random.ts";
import { type NumberedProblem, requirePromptsFit, sampleCompletions } from "../rollout/collect.ts";
import type { ChatRenderer } from "../tasks/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { ChatPrompts, completionText } from "./chat-prompts.ts";
import type { SamplingConfig } from "./config.ts";
import { EndpointAsker } from "./endpoint-asker.ts";

/** A completion that is wanted. */
export interface Wanted extends NumberedProblem {
  readonly sample: number;
}

/** A completion that was written, or why there is none. */
export type Written =
  | { readonly text: string; readonly finished: boolean; readonly lengthTokens: number }
  | { readonly fault: string };

/** What sources need of a step's configuration. */
export type WritingConfig = Pick<
  SamplingConfig,
  "temperature" | "topP" | "topK" | "maxCompletionTokens" | "seed" | "samples"
>;

/** Writes completions. */
export interface CompletionSource {
  /** Makes conversations the texts that `write` takes. */
  readonly renderChat: ChatRenderer;
  /** Refuses prompts that it cannot be given. Throws ConfigError naming the first. */
  requirePromptsFit(problems: readonly NumberedProblem[], config: WritingConfig): void;
  /**
   * In the order of `wanted`; `onTokens` gets the number of tokens written so far, and may throw.
   *
   * @throws EndpointError where the endpoint gives no more answers.
   */
  write(
    wanted: readonly Wanted[],
    config: WritingConfig,
    signal: AbortSignal,
    onTokens: (tokens: number) => void,
  ): Promise<Written[]>;
  /** The conversation behind a prompt, where rows are to have that in place of the text. */
  conversationOf?(prompt: string): { readonly messages: readonly ChatMessage[]; readonly opening: string } | undefined;
  /** Further lines of the lineage. */
  lineage(): Readonly<Record<string, unknown>>;
}

/** A model in this process. */
export function engineSource(engine: Sampler, tokenizer: Tokenizer): CompletionSource {
  return {
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, options),
    requirePromptsFit: (problems, { maxCompletionTokens }) =>
      requirePromptsFit(engine, tokenizer, problems, maxCompletionTokens),
    async write(wanted, { samples, ...options }, _signal, onTokens) {
      const sampling = { ...options, iteration: 0 };
      // It is only asked for whole groups: what it writes is never lost.
      const problems = wanted.filter(({ sample }) => sample === 0);
      const completions = await sampleCompletions(engine, tokenizer, problems, samples, sampling, ({ tokens }) =>
        onTokens(tokens),
      );
      return completions.map(({ text, finishReason, tokens }) => {
        return { text, finished: finishReason === "stop", lengthTokens: tokens.length };
      });
    },
    lineage: () => ({}),
  };
}

/**
 * A model behind an endpoint; `directory` is the step's.
 *
 * @throws ConfigError for an address that is none
 */
export async function endpointSource(config: TextEndpointConfig, directory: string): Promise<CompletionSource> {
  const asker = await EndpointAsker.open(config, join(directory, "spent-model.json"));
  const prompts = new ChatPrompts();
  const isChat = config.route === "chat";
  return {
    renderChat: isChat
      ? prompts.render
      : () => {
          throw new ConfigError(
            "model.endpoint.route completions continues plain text, but the task's prompts are conversations. Take route " +
              "chat, or a plain prompt.",
          );
        },
    requirePromptsFit(problems) {
      const empty = problems.find(({ problem }) => problem.prompt.trim() === "");
      if (empty === undefined) return;
      throw new ConfigError(
        `The prompt of problem ${empty.problem.id} is empty; an endpoint needs something to answer.`,
      );
    },
    async write(wanted, { temperature, topP, maxCompletionTokens, seed }, signal, onTokens) {
      const questions = wanted.map(({ problem: { prompt }, promptId, sample }) => {
        const drawn = philox(seed, hashString("endpoint"), [promptId, sample])[0] >>> 1;
        const params = { maxCompletionTokens, temperature, ...(topP < 1 && { topP }), seed: drawn, sample };
        return (client: EndpointClient, abort: AbortSignal) =>
          isChat
            ? client.complete({ messages: prompts.messagesOf(prompt), ...params }, abort)
            : client.continueText({ prompt, ...params }, abort);
      });
      const answers = await asker.askAll(questions, signal, onTokens);
      return answers.map((answer, i): Written => {
        if ("fault" in answer) return answer;
        const { prompt } = wanted[i]!.problem;
        return {
          text: isChat ? completionText(prompt, answer) : answer.text,
          finished: isFinished(answer),
          lengthTokens: answer.usage.completionTokens,
        };
      });
    },
    conversationOf: (prompt) => prompts.conversationOf(prompt),
    lineage: () => ({ endpoint: { ...asker.spent } }),
  };
}

function isFinished({ finishReason }: ChatAnswer): boolean {
  return finishReason === "stop";
}
