/** `aha serve --tinker`: the Tinker protocol beside OpenAI's routes, over the same model. */

import { resolve } from "node:path";
import type { Policy } from "../engine/contract/policy.ts";
import type { SharedBase } from "../engine/engine-kind.ts";
import { baseFingerprint } from "../serve/tinker/base-fingerprint.ts";
import { TINKER_LIMITS, type TinkerLimits } from "../serve/tinker/limits.ts";
import { openService, type TakenOver } from "../serve/tinker/open-service.ts";
import { KEY_PREFIX, TinkerRoutes } from "../serve/tinker/tinker-routes.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { numberOption, wholeNumberOption } from "./parse-options.ts";

/** Where checkpoints are kept if nothing is said. */
export const DEFAULT_TINKER_DIRECTORY = "aha-tinker";

/** The options that are limits. */
export const TINKER_LIMIT_OPTIONS = {
  "tinker-models": { type: "string" },
  "tinker-checkpoints": { type: "string" },
  "tinker-checkpoints-gib": { type: "string" },
} as const;
export type TinkerLimitOption = keyof typeof TINKER_LIMIT_OPTIONS;

const GIB = 2 ** 30;

/** Their part of the command's help, in a column of 25. */
export const TINKER_LIMITS_HELP = `--tinker-models N      most models that are trained at the same time (${TINKER_LIMITS.mostModels})
  --tinker-checkpoints N most checkpoints that are kept of all clients (${TINKER_LIMITS.mostCheckpoints})
  --tinker-checkpoints-gib N
                         most disk that these take (${TINKER_LIMITS.mostCheckpointBytes / GIB})`;

/** The limits that options say. Throws ConfigError. */
export function tinkerLimitsOf(values: { readonly [O in TinkerLimitOption]?: string | undefined }) {
  const whole = (option: TinkerLimitOption, fallback: number) =>
    wholeNumberOption(option, values[option] ?? `${fallback}`, 1);
  const gib = values["tinker-checkpoints-gib"];
  return {
    mostModels: whole("tinker-models", TINKER_LIMITS.mostModels),
    mostCheckpoints: whole("tinker-checkpoints", TINKER_LIMITS.mostCheckpoints),
    mostCheckpointBytes:
      gib === undefined
        ? TINKER_LIMITS.mostCheckpointBytes
        : Math.floor(numberOption("tinker-checkpoints-gib", gib, isPositive, "a number above 0") * GIB),
  };
}

const isPositive = (value: number) => value > 0 && Number.isFinite(value);

/** What the routes are made of. */
export interface TinkerParts {
  /** What clients call the base. */
  readonly name: string;
  readonly base: SharedBase;
  /** A policy over the base, which says what it is. */
  readonly engine: Policy;
  readonly tokenizer: Tokenizer;
  readonly tokenizerDirectory: string;
  /** Where the base is: a directory, or a file. */
  readonly modelPath: string;
  /** Where checkpoints are kept, and what a server after this one goes on with. */
  readonly directory: string;
  readonly apiKey: string | undefined;
  readonly limits?: Partial<TinkerLimits>;
  readonly onDefect: (error: unknown) => void;
}

/**
 * The routes of the Tinker protocol, and what they go on with of a server before this one. Closing them lets go of the base.
 *
 * @throws RunDirError where another server has the directory.
 */
export async function tinkerRoutes(
  parts: TinkerParts,
): Promise<{ readonly routes: TinkerRoutes; readonly takenOver: TakenOver }> {
  const { name, base, engine, tokenizer, tokenizerDirectory, modelPath, directory, apiKey, limits, onDefect } = parts;
  const served = {
    ...{ name, base, tokenizer },
    info: engine.info,
    maxContextTokens: engine.info.maxContextTokens,
    stopTokenIds: stopTokens(engine, tokenizer),
    tokenizerId: resolve(tokenizerDirectory),
  };
  const { service, takenOver } = await openService(served, {
    ...{ directory: resolve(directory), fingerprint: `${name} ${await baseFingerprint(modelPath)}` },
    ...{ limits: { ...TINKER_LIMITS, ...limits }, onDefect },
  });
  return { routes: new TinkerRoutes(service, { apiKey }, onDefect), takenOver };
}

/** What to say of what a server before this one left; undefined where it left nothing. */
export function takeOverNote({ sessions, models, requests, others }: TakenOver): string | undefined {
  const goesOn =
    sessions === 0
      ? ""
      : `Going on where the server before this one ended: sessions ${sessions}, models ${models}, unanswered requests ${requests}.\n`;
  const waits =
    others === 0
      ? ""
      : `Sessions about another model: ${others}. They are left as they are, for a server of that model in this directory.\n`;
  return goesOn + waits || undefined;
}

/** What to say of a key that the official client would not send; undefined where it would. */
export function keyAdvice(apiKey: string | undefined): string | undefined {
  if (apiKey === undefined || apiKey.startsWith(KEY_PREFIX)) return undefined;
  return `The official Tinker SDK sends no key that does not begin with ${KEY_PREFIX}: give the server such a key.\n`;
}
