/**
 * A teacher behind an OpenAI-compatible endpoint. The API has one way to score given tokens: `/completions` with the token
 * ids as prompt, `echo` and `logprobs`, and nothing generated. vLLM and SGLang do that; OpenAI itself no longer does, nor
 * does `aha serve`. So an endpoint is asked about a short text before anything is trained, and refused by what it answers.
 *
 * Log-probabilities are those of temperature 1. A request that fails in passing is made again, a few times.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { ScoreDatum } from "../engine/engine.ts";
import { ConfigError, EngineError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TeacherSpec } from "./distill-config.ts";
import type { Teacher } from "./teacher.ts";

const TIMEOUT_MS = 120_000;
/** Waits before a request is made again, milliseconds. */
const WAITS_MS: readonly number[] = [500, 2000, 8000];
/** Requests under way at once. */
const CONCURRENCY = 8;
const PROBE_TEXT = "Two and two make four.";

const answerSchema = z.looseObject({
  choices: z.array(
    z.looseObject({
      logprobs: z.looseObject({
        tokens: z.array(z.string()).optional(),
        token_logprobs: z.array(z.number().nullable()),
      }),
    }),
  ),
});

/** Log-probabilities of a prompt's tokens after its first, and their texts where they came. */
interface EchoedPrompt {
  readonly logprobs: readonly number[];
  readonly texts: readonly string[] | undefined;
}

/**
 * The teacher at `spec.url`, found able to score.
 *
 * @throws ConfigError where it is not there, cannot score given tokens, or reads other tokens than the student.
 */
export async function openEndpointTeacher(spec: TeacherSpec, tokenizer: Tokenizer): Promise<Teacher> {
  const ids = tokenizer.encode(PROBE_TEXT);
  const where = `teacher: ${spec.url}`;
  let probe: EchoedPrompt;
  try {
    probe = await echoed(spec, ids);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new ConfigError(
      `${where} cannot score given tokens: ${error.message} A teacher needs /completions with a prompt of token ids, echo ` +
        "and logprobs, as vLLM has it; or give teacher.path, a model on this disk.",
    );
  }
  const read = probe.texts?.join("");
  if (read !== undefined && read !== PROBE_TEXT) {
    throw new ConfigError(
      `${where} has another tokenizer than the student: it reads ${JSON.stringify(PROBE_TEXT)} as ${JSON.stringify(read)}.`,
    );
  }
  return {
    name: `${spec.model} at ${spec.url}`,
    maxContextTokens: Number.POSITIVE_INFINITY,
    logprobs: (data) => scoreAll(data, (tokens) => echoed(spec, tokens)),
    close: async () => {},
  };
}

async function scoreAll(
  data: readonly ScoreDatum[],
  echo: (tokens: Int32Array) => Promise<EchoedPrompt>,
): Promise<Float32Array[]> {
  const scored: Float32Array[] = [];
  for (let first = 0; first < data.length; first += CONCURRENCY) {
    const part = data.slice(first, first + CONCURRENCY).map(async ({ promptTokens, completionTokens }) => {
      const { logprobs } = await echo(Int32Array.from([...promptTokens, ...completionTokens]));
      return Float32Array.from(logprobs.slice(-completionTokens.length));
    });
    scored.push(...(await Promise.all(part)));
  }
  return scored;
}

/** Asks for the log-probabilities of `tokens`. Throws EngineError where they cannot be had. */
async function echoed(spec: TeacherSpec, tokens: Int32Array): Promise<EchoedPrompt> {
  const body = { model: spec.model, prompt: [...tokens], max_tokens: 0, echo: true, logprobs: 1, temperature: 1 };
  const answer = answerSchema.safeParse(await post(spec, JSON.stringify(body)));
  const found = answer.success ? answer.data.choices[0]?.logprobs : undefined;
  if (found === undefined) throw new EngineError("Its answer has no log-probabilities of the prompt.");
  // The first token has nothing before it; what a server generates in spite of max_tokens stands behind.
  const logprobs = found.token_logprobs.slice(1, tokens.length);
  if (logprobs.length !== tokens.length - 1 || logprobs.some((value) => value === null)) {
    throw new EngineError(
      `It gave ${found.token_logprobs.length} log-probabilities for a prompt of ${tokens.length} tokens.`,
    );
  }
  return { logprobs: logprobs as number[], texts: found.tokens?.slice(0, tokens.length) };
}

async function post({ url, apiKeyEnv }: TeacherSpec, body: string): Promise<unknown> {
  const key = apiKeyEnv === undefined ? undefined : process.env[apiKeyEnv];
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  const target = `${url!.replace(/\/+$/, "")}/completions`;
  for (let attempt = 0; ; attempt++) {
    const isLast = attempt === WAITS_MS.length;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(target, { method: "POST", headers, body, signal, redirect: "error" });
      if (response.ok) return await response.json();
      const passing = response.status === 429 || response.status >= 500;
      const text = (await response.text()).slice(0, 300);
      if (!passing || isLast) throw new EngineError(`It answered ${response.status}: ${text}.`);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      // No connection, a time limit, an answer that is no JSON.
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
      if (isLast) throw new EngineError(`${error instanceof Error ? error.message : String(error)}${cause}.`);
    }
    await sleep(WAITS_MS[attempt]);
  }
}
