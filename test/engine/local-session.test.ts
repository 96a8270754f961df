/** What only the embedded engine's sessions have: rows that grow, turns, failures. The rest is the conformance suite. */

import { describe, expect, it } from "vitest";
import type {
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceRequest,
} from "../../src/engine/contract/session.ts";
import { KeyValueCache } from "../../src/engine/local/key-value-cache.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import { EngineError } from "../../src/errors.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { MODELS, modelValues, openEngine } from "./models.ts";

const CONFIG: ModelConfig = { ...MODELS["tied, query and key norms"], maxContextTokens: 2048 };
const ROW_BYTES = KeyValueCache.rowBytes(CONFIG, "float32", 256);

/** A request of so many prompt and completion tokens; the number is its place in the random stream, too. */
function request(number: number, promptTokens: number, maxCompletionTokens: number): SequenceRequest {
  const params = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens, stopTokenIds: [], seed: 3, iteration: 0 };
  const tokens = Int32Array.from({ length: promptTokens }, (_, t) => (7 * number + 5 * t) % CONFIG.vocabSize);
  return { tokens, promptId: number, sampleIndex: 0, params };
}

async function tokensOf(session: SamplingSession, asked: SequenceRequest, log?: string[]): Promise<number[]> {
  const tokens: number[] = [];
  await session.submit(asked, ({ token }) => {
    if (tokens.length === 0) log?.push(`begin ${asked.promptId}`);
    tokens.push(token);
  }).finished;
  log?.push(`end ${asked.promptId}`);
  return tokens;
}

async function expectSampled(engine: LocalPolicy, asked: SequenceRequest, tokens: readonly number[]): Promise<void> {
  const { promptId, params } = asked;
  const [sample] = await engine.sample([{ tokens: asked.tokens, promptId, numSamples: 1 }], params);
  expect(tokens, `sequence ${promptId}`).toEqual([...sample!.tokens]);
}

describe("a session's slots", () => {
  it.each([
    ["for all in longer rows", 8],
    ["for one long row or three short ones", 3.5],
    ["for less than one row", 0.5],
  ])("hold every sequence there is memory %s", async (_, rows) => {
    const engine = await openEngine(CONFIG, undefined, { cacheBytes: Math.floor(rows * ROW_BYTES) });
    const session = engine.openSession();
    const requests = [
      request(0, 5, 30),
      request(1, 90, 12),
      request(2, 5, 280),
      request(3, 20, 20),
      request(4, 400, 15),
      request(5, 3, 9),
      request(6, 8, 40),
    ];
    const results = await Promise.all(requests.map((asked) => tokensOf(session, asked)));
    for (const [i, asked] of requests.entries()) await expectSampled(engine, asked, results[i]!);
    await session.close();
    await engine.dispose();
  });

  it("are given in the order of requests, and a long one holds up those behind it until it has its place", async () => {
    const engine = await openEngine(CONFIG, undefined, { cacheBytes: 3.5 * ROW_BYTES });
    const session = engine.openSession();
    const log: string[] = [];
    const lengths = [10, 20, 300, 5];
    await Promise.all(lengths.map((length, i) => tokensOf(session, request(i, 4, length), log)));
    expect(log).toEqual(["begin 0", "begin 1", "end 0", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
    await session.close();
    await engine.dispose();
  });
});

describe("long prompts", () => {
  it.each(Object.entries(MODELS))("are computed in pieces while others are decoded: %s", async (_, model) => {
    const config = { ...model, maxContextTokens: 2048 };
    const engine = await openEngine(config);
    const session = engine.openSession();
    const long = [request(1, 900, 4), request(2, 1300, 3), request(3, 30, 5), request(4, 1, 6)];
    const log: string[] = [];
    let results: Promise<number[]>[] = [];
    let between = 0;
    const stream = session.submit(request(0, 3, 400), () => {
      if (results.length === 0) results = long.map((asked) => tokensOf(session, asked, log));
      if (!log.includes("end 2")) between++;
    });
    await stream.finished;
    for (const [i, asked] of long.entries()) await expectSampled(engine, asked, (await results[i])!);
    // The short ones pass the long ones, and the stream goes on meanwhile: pieces have 512 positions at most.
    expect(log.slice(0, 2).sort()).toEqual(["begin 3", "begin 4"]);
    expect(between).toBeGreaterThan(5);
    await session.close();
    await engine.dispose();
  });

  it("are computed in pieces of 4,096 tokens for a list, too", async () => {
    const engine = await openEngine({ ...CONFIG, maxContextTokens: 4200 });
    const { tokens, params } = request(5, 4150, 6);
    const [sample] = await engine.sample([{ tokens, promptId: 1, numSamples: 1 }], params);
    const datum = { promptTokens: tokens, completionTokens: sample!.tokens };
    const { logprobs } = await engine.score([datum], { temperature: 1 });
    for (const [t, logprob] of sample!.logprobs.entries()) {
      expect(Math.abs(logprob - logprobs[0]![t]!)).toBeLessThan(1e-4);
    }
    const session = engine.openSession();
    expect(await tokensOf(session, { ...request(5, 4150, 6), promptId: 1 })).toEqual([...sample!.tokens]);
    await session.close();
    await engine.dispose();
  });

  it("are scored in pieces", async () => {
    const engine = await openEngine(CONFIG);
    const session = engine.openSession();
    const asked = { ...request(1, 1200, 2), promptLogprobs: 3 };
    const score = async () => {
      let scores: PromptLogprobs | undefined;
      await session.submit(
        asked,
        () => {},
        (prompt) => {
          scores = prompt;
        },
      ).finished;
      return scores!;
    };
    const alone = await score();
    const datum = { promptTokens: asked.tokens.subarray(0, 1), completionTokens: asked.tokens.subarray(1) };
    const { logprobs } = await engine.score([datum], { temperature: 1 });
    const gap = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
    expect(gap(alone.logprobs, logprobs[0]!)).toBeLessThan(1e-4);
    expect(alone.topTokens).toHaveLength(3 * 1199);
    // Beside a stream pieces are smaller, and nothing else is different.
    let running: Promise<PromptLogprobs> | undefined;
    await session.submit(request(0, 3, 300), () => {
      running ??= score();
    }).finished;
    const beside = await running!;
    expect(gap(beside.logprobs, alone.logprobs)).toBeLessThan(1e-4);
    expect(gap(beside.topLogprobs, alone.topLogprobs)).toBeLessThan(1e-4);
    await session.close();
    await engine.dispose();
  });

  it("that are cancelled half-way are gone, and the next one is computed", async () => {
    const engine = await openEngine(CONFIG);
    const session = engine.openSession();
    let long: RunningSequence | undefined;
    let next: Promise<number[]> | undefined;
    const tokens: number[] = [];
    await session.submit(request(0, 3, 60), ({ token }) => {
      tokens.push(token);
      if (tokens.length === 1) long = session.submit(request(1, 1900, 9), () => expect.unreachable());
      if (tokens.length === 4) {
        long!.cancel();
        next = tokensOf(session, request(2, 40, 6));
      }
    }).finished;
    await expectSampled(engine, request(0, 3, 60), tokens);
    await expectSampled(engine, request(2, 40, 6), (await next)!);
    expect(await long!.finished).toBe("cancelled");
    await session.close();
    await engine.dispose();
  });
});

describe("a session and the engine's verbs", () => {
  it("take turns: a verb waits for what is decoded, and what comes after it waits for the verb", async () => {
    const engine = await openEngine(CONFIG);
    const session = engine.openSession();
    const log: string[] = [];
    let scored: Promise<void> | undefined;
    let late: Promise<number[]> | undefined;
    const early = session.submit(request(0, 4, 40), () => {
      const data = [{ promptTokens: Int32Array.of(1), completionTokens: Int32Array.of(2) }];
      scored ??= engine.score(data, { temperature: 1 }).then(() => void log.push("scored"));
      late ??= tokensOf(session, request(1, 4, 5), log);
    });
    await early.finished;
    log.push("end 0");
    await Promise.all([scored, late]);
    expect(log).toEqual(["end 0", "scored", "begin 1", "end 1"]);
    await session.close();
    await engine.dispose();
  });

  it("two sessions of one engine both come to their end", async () => {
    const engine = await openEngine(CONFIG);
    const sessions = [engine.openSession(), engine.openSession()];
    const requests = [request(0, 4, 30), request(1, 4, 30), request(2, 9, 10), request(3, 2, 20)];
    const results = await Promise.all(requests.map((asked, i) => tokensOf(sessions[i % 2]!, asked)));
    for (const [i, asked] of requests.entries()) await expectSampled(engine, asked, results[i]!);
    for (const session of sessions) await session.close();
    await engine.dispose();
  });

  it("end together: after dispose a sequence is refused by its promise", async () => {
    const engine = await openEngine(CONFIG);
    const session = engine.openSession();
    await engine.dispose();
    await expect(session.submit(request(0, 4, 4), () => {}).finished).rejects.toThrow(EngineError);
    expect(session.load).toEqual({ active: 0, waiting: 0 });
    await session.close();
  });
});

describe("a model whose numbers are not finite", () => {
  it("ends each sequence with an error that says so", async () => {
    const values = modelValues(CONFIG);
    values.get("embed")!.fill(Number.NaN);
    const engine = await openEngine(CONFIG, values);
    const session = engine.openSession();
    const running = [request(0, 4, 4), request(1, 9, 4)].map((asked) => session.submit(asked, () => {}).finished);
    for (const finished of running) await expect(finished).rejects.toThrow(/not finite/);
    await session.close();
    await engine.dispose();
  });
});
