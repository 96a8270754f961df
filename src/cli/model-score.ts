/**
 * `aha model score`: per-token log-probabilities of given token sequences, to compare a model with other programs.
 *
 * The convention is that of transformers: for tokens t₀ … tₙ₋₁ the result has n − 1 numbers, the i-th being
 * log softmax(logits / temperature) of tᵢ₊₁ given t₀ … tᵢ. The first token has none.
 */

import type { Sampler } from "../engine/contract/sampler.ts";
import { openSampler } from "../engine/open.ts";
import { ConfigError, DataError, EngineError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { sumOf } from "../statistics.ts";
import type { CommandContext } from "./command.ts";
import { computeOfEngine, ENGINE_OPTION } from "./engine-option.ts";
import { modelToRead } from "./model-to-read.ts";
import { ADAPTER_OPTION } from "./model-with-adapter.ts";
import { COMPUTE_OPTIONS, numberOption, parseOptions } from "./parse-options.ts";

const MAX_TOKEN_FILE_BYTES = 64 * 2 ** 20;

/** Options of `aha model score`. */
export const SCORE_OPTIONS = {
  tokens: { type: "string", completes: "file" },
  temperature: { type: "string", default: "1" },
  ...ADAPTER_OPTION,
  ...ENGINE_OPTION,
  ...COMPUTE_OPTIONS,
  json: { type: "boolean", default: false },
} as const;

/** Runs the subcommand with the arguments after `aha model score`. */
export async function runModelScore(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model score", args, SCORE_OPTIONS, ["DIR"]);
  if (values.tokens === undefined) {
    throw new ConfigError("aha model score needs --tokens FILE, a JSON array of arrays of token ids.");
  }
  const temperature = numberOption("temperature", values.temperature, isTemperature, "a number above 0");
  const { engine: spec, source } = await modelToRead(positionals[0]!, values, context);
  const text = await readTextFile(values.tokens, { maxBytes: MAX_TOKEN_FILE_BYTES, error: DataError });
  const sequences = parseTokenSequences(text, values.tokens);
  const engine = await openSampler(spec, { ...source, samples: false }, computeOfEngine(spec, values));
  try {
    const logprobs = await scoreSequences(engine, sequences, temperature, values.tokens);
    context.out(values.json ? `${toJson(logprobs)}\n` : report(logprobs));
  } finally {
    await engine.dispose();
  }
  return 0;
}

function isTemperature(value: number): boolean {
  return value > 0 && value < Number.POSITIVE_INFINITY;
}

/** The token sequences of a JSON text: an array of arrays of at least two token ids. Throws DataError. */
export function parseTokenSequences(text: string, where: string): Int32Array[] {
  const value = parseJson(text, where, DataError);
  if (!Array.isArray(value))
    throw new DataError(`${where}: expected an array of arrays of token ids, like [[5, 2, 7], [1, 4]].`);
  return value.map((tokens: unknown, index) => {
    const here = `${where}: sequence ${index}`;
    if (!Array.isArray(tokens)) throw new DataError(`${here} is not an array of token ids.`);
    if (tokens.length < 2) {
      throw new DataError(
        `${here} has ${tokens.length} tokens; at least 2 are needed, since the first has no log-probability.`,
      );
    }
    const strange = tokens.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31);
    if (strange >= 0) {
      const shown = JSON.stringify(tokens[strange]).slice(0, 40);
      throw new DataError(`${here}, token ${strange}: expected a token id, a whole number from 0, not ${shown}.`);
    }
    return Int32Array.from(tokens as number[]);
  });
}

/**
 * Per sequence the log-probabilities, in nats, of its tokens from the second on. Throws DataError for a token outside of
 * the vocabulary or a sequence beyond the context, before anything is computed.
 */
async function scoreSequences(
  engine: Sampler,
  sequences: readonly Int32Array[],
  temperature: number,
  where: string,
): Promise<readonly Float32Array[]> {
  const { vocabSize, maxContextTokens } = engine.info;
  for (const [index, tokens] of sequences.entries()) {
    const outside = tokens.findIndex((id) => id >= vocabSize);
    if (outside >= 0) {
      throw new DataError(
        `${where}: sequence ${index}, token ${outside} is ${tokens[outside]}; the vocabulary ends at ${vocabSize - 1}.`,
      );
    }
    if (tokens.length > maxContextTokens) {
      throw new DataError(
        `${where}: sequence ${index} has ${tokens.length} tokens; the model's context is ${maxContextTokens}.`,
      );
    }
  }
  if (sequences.length === 0) return [];
  const data = sequences.map((tokens) => ({ promptTokens: tokens.slice(0, 1), completionTokens: tokens.slice(1) }));
  const { logprobs } = await engine.score(data, { temperature });
  if (!logprobs.every((row) => row.every(Number.isFinite))) {
    throw new EngineError("The model's log-probabilities are not finite. Its weights are damaged or have diverged.");
  }
  return logprobs;
}

/** Nine significant digits give back every f32 exactly. */
function toJson(rows: readonly Float32Array[]): string {
  return JSON.stringify(rows.map((row) => Array.from(row, (value) => Number(value.toPrecision(9)))));
}

function report(rows: readonly Float32Array[]): string {
  const lines = rows.map((row, index) => {
    const sum = sumOf(row);
    const perplexity = Math.exp(-sum / row.length);
    return `sequence ${index}: ${row.length} tokens, log-probability ${sum.toFixed(4)}, perplexity ${perplexity.toFixed(3)}\n`;
  });
  return lines.join("");
}
