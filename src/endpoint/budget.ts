/**
 * What an endpoint may cost, in tokens or money. The costs of a request are known when its answer arrives. So requests
 * that run at the same time may together exceed a limit; no request is begun after that. Answers from the cache are
 * free.
 */

import { EndpointError } from "../errors.ts";
import type { ChatUsage } from "./chat.ts";

export interface BudgetLimits {
  /** Most tokens, of prompts and answers together. */
  readonly maxTokens?: number;
  /** Most money, in the currency of the prices. */
  readonly maxCost?: number;
  /** Price of a million tokens of prompts. */
  readonly promptPrice?: number;
  /** Price of a million tokens of answers. */
  readonly completionPrice?: number;
}

/** What was paid for so far. */
export interface SpentUsage extends ChatUsage {
  readonly requests: number;
}

/** Adds up usage against limits. */
export class Budget {
  readonly #limits: BudgetLimits;
  #spent: SpentUsage;

  constructor(limits: BudgetLimits = {}, spent: SpentUsage = { requests: 0, promptTokens: 0, completionTokens: 0 }) {
    this.#limits = limits;
    this.#spent = spent;
  }

  get spent(): SpentUsage {
    return this.#spent;
  }

  /** Money, in the currency of the prices; 0 without prices. */
  get cost(): number {
    const { promptPrice = 0, completionPrice = 0 } = this.#limits;
    return (this.#spent.promptTokens * promptPrice + this.#spent.completionTokens * completionPrice) / 1e6;
  }

  /** Goes on from what an earlier session had spent. */
  restore(spent: SpentUsage): void {
    this.#spent = spent;
  }

  add({ promptTokens, completionTokens }: ChatUsage): void {
    this.#spent = {
      requests: this.#spent.requests + 1,
      promptTokens: this.#spent.promptTokens + promptTokens,
      completionTokens: this.#spent.completionTokens + completionTokens,
    };
  }

  /** Throws EndpointError `budget` where nothing more may be asked. */
  require(): void {
    const { maxTokens, maxCost } = this.#limits;
    const tokens = this.#spent.promptTokens + this.#spent.completionTokens;
    if (maxTokens !== undefined && tokens >= maxTokens) {
      throw new EndpointError("budget", `the limit of ${maxTokens} tokens is used up (${tokens}); raise maxTokens`);
    }
    if (maxCost !== undefined && this.cost >= maxCost) {
      const cost = this.cost.toFixed(4);
      throw new EndpointError("budget", `the limit of ${maxCost} on costs is used up (${cost}); raise maxCost`);
    }
  }
}
