/** `aha serve --tinker`: the Tinker protocol beside OpenAI's routes, over the same model. */

import { resolve } from "node:path";
import type { Policy } from "../engine/contract/policy.ts";
import type { SharedBase } from "../engine/engine-kind.ts";
import { TINKER_LIMITS, type TinkerLimits } from "../serve/tinker/limits.ts";
import { KEY_PREFIX, TinkerRoutes } from "../serve/tinker/tinker-routes.ts";
import { TinkerService } from "../serve/tinker/tinker-service.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Where checkpoints are kept if nothing is said. */
export const DEFAULT_TINKER_DIRECTORY = "aha-tinker";

/** What the routes are made of. */
export interface TinkerParts {
  /** What clients call the base. */
  readonly name: string;
  readonly base: SharedBase;
  /** A policy over the base, which says what it is. */
  readonly engine: Policy;
  readonly tokenizer: Tokenizer;
  readonly tokenizerDirectory: string;
  /** Where checkpoints are kept. */
  readonly directory: string;
  readonly apiKey: string | undefined;
  readonly limits?: Partial<TinkerLimits>;
  readonly onDefect: (error: unknown) => void;
}

/** The routes of the Tinker protocol. Closing them lets go of the base. */
export function tinkerRoutes(parts: TinkerParts): TinkerRoutes {
  const { name, base, engine, tokenizer, tokenizerDirectory, directory, apiKey, limits, onDefect } = parts;
  const served = {
    ...{ name, base, tokenizer },
    info: engine.info,
    maxContextTokens: engine.info.maxContextTokens,
    stopTokenIds: stopTokens(engine, tokenizer),
    tokenizerId: resolve(tokenizerDirectory),
  };
  const options = { directory: resolve(directory), limits: { ...TINKER_LIMITS, ...limits }, onDefect };
  return new TinkerRoutes(new TinkerService(served, options), { apiKey }, onDefect);
}

/** What to say of a key that the official client would not send; undefined where it would. */
export function keyAdvice(apiKey: string | undefined): string | undefined {
  if (apiKey === undefined || apiKey.startsWith(KEY_PREFIX)) return undefined;
  return `The official Tinker SDK sends no key that does not begin with ${KEY_PREFIX}: give the server such a key.\n`;
}
