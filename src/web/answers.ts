/** Problems that somebody types, answered by the model as it is, token by token. */

import type { Policy } from "../engine/contract/policy.ts";
import type { SamplingSession } from "../engine/contract/session.ts";
import { judgeCompletion, readCountdown } from "../expression/countdown.ts";
import type { Recipe } from "../recipe/schema.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import { StreamingDecoder } from "../tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { ownProblem } from "./own-problem.ts";
import type { PageMessage, WorkerMessage } from "./protocol.ts";
import { errorMessage } from "./tab-errors.ts";
import { limitsOf } from "./tab-recipe.ts";

/** A model that answers. */
export interface AskedModel {
  readonly recipe: Recipe;
  readonly tokenizer: Tokenizer;
  readonly engine: Policy;
  readonly session: SamplingSession;
  /** Iterations of R1-Zero that it has seen. */
  readonly iteration: number;
}

type Question = Extract<PageMessage, { readonly type: "ask" }>;

/** One answer at a time; another question ends the one before. */
export class Answers {
  readonly #post: (message: WorkerMessage) => void;
  #running: { readonly ask: number; cancel(): void } | undefined;

  constructor(post: (message: WorkerMessage) => void) {
    this.#post = post;
  }

  /** Ends the answer of this name, or whichever is being written. */
  cancel(ask?: number): void {
    if (ask === undefined || this.#running?.ask === ask) this.#running?.cancel();
  }

  /** Posts the answer piece by piece, or what is wrong. Never rejects. */
  async answer({ ask, problem, temperature }: Question, opened: Promise<AskedModel>): Promise<void> {
    try {
      const { recipe, tokenizer, engine, session, iteration } = await opened;
      const asked = ownProblem(problem, limitsOf(recipe));
      const decoder = new StreamingDecoder(tokenizer);
      const tokens: number[] = [];
      const params = {
        ...{ temperature, topP: 1, topK: 0, seed: ask, iteration },
        maxCompletionTokens: recipe.evaluation.maxCompletionTokens,
        stopTokenIds: stopTokens(engine, tokenizer),
      };
      const request = { tokens: tokenizer.encode(asked.prompt), promptId: 0, sampleIndex: 0, params };
      const sequence = session.submit(request, ({ token }) => {
        tokens.push(token);
        const text = decoder.push(token);
        if (text !== "") this.#post({ type: "answer", ask, text });
      });
      this.#running?.cancel();
      this.#running = { ask, cancel: () => sequence.cancel() };
      const finished = await sequence.finished;
      const { solved: isSolved, reason } = judged(tokenizer.decode(tokens), asked.columns);
      const how = finished === "cancelled" ? ("stopped" as const) : finished;
      const end = { isSolved, reason, tokens: tokens.length, how, iteration };
      this.#post({ type: "answer", ask, text: decoder.end(), end });
    } catch (error) {
      this.#post({ ...errorMessage(error), ask });
    } finally {
      if (this.#running?.ask === ask) this.#running = undefined;
    }
  }
}

function judged(text: string, columns: Readonly<Record<string, unknown>>) {
  const problem = readCountdown(columns);
  return "fault" in problem ? { solved: false, reason: problem.fault } : judgeCompletion(text, problem);
}
