import { afterEach, describe, expect, it } from "vitest";
import { Compute } from "../../../src/compute/compute.ts";
import type { Scorer } from "../../../src/engine/contract/sampler.ts";
import { ConfigError, RunInterrupted } from "../../../src/errors.ts";
import { distillConfigSchema, teacherSchema } from "../../../src/train/distill/config.ts";
import { distillData, importanceSampling, trainDistill } from "../../../src/train/distill/distill.ts";
import { openTeacher } from "../../../src/train/distill/on-node.ts";
import { requireSameTokenizer } from "../../../src/train/distill/teacher.ts";
import { emptyDirectory } from "../../engine/models.ts";
import { TabularEngine } from "../../engine/tabular-engine.ts";
import { checkpointInto, lettersContext, lettersTokenizer, MemoryLog, newEngine } from "../letters.ts";
import { constantEcho, teacherServer } from "./teacher-server.ts";

const TEACHERS = { compute: Compute.open({ threads: 2 }), engine: { kind: "local" } };

const configOf = (overrides: object = {}) =>
  distillConfigSchema().parse({
    ...{ iterations: 40, teacher: { path: "t" }, promptsPerIteration: 6, groupSize: 4, maxCompletionTokens: 3 },
    ...{ learningRate: 0.1, ...overrides },
  });

/** A policy with opinions of its own. */
function teacherOf(engine = new TabularEngine({ vocabSize: 7, maxContextTokens: 16, seed: 11, initStd: 1.5 })): Scorer {
  return {
    info: { name: "tabular", maxContextTokens: engine.info.maxContextTokens },
    capabilities: engine.capabilities,
    score: (data, options) => engine.score(data, options),
    dispose: () => engine.dispose(),
  };
}

describe("the gradient of on-policy distillation", () => {
  it("is in expectation that of the reverse KL divergence, at any temperature", async () => {
    const V = 7;
    const [student, teacher] = [newEngine(), teacherOf()];
    const prompt = Int32Array.of(2);
    const data = Array.from({ length: V }, (_, token) => ({
      promptTokens: prompt,
      completionTokens: Int32Array.of(token),
    }));
    for (const temperature of [1, 0.7]) {
      const { logprobs } = await student.score(data, { temperature });
      const teacherLogprobs = (await teacher.score(data, { temperature })).logprobs;
      const rows = data.map(({ completionTokens: tokens }, i) => ({
        promptTokens: prompt,
        tokens,
        samplerLogprobs: logprobs[i]!,
      }));
      // Every token with its probability as weight: the expectation itself.
      const expected = distillData(rows, teacherLogprobs).map((datum, i) => ({
        ...datum,
        weights: Float32Array.of(Math.exp(logprobs[i]![0]!)),
      }));
      await student.forwardBackward(expected, importanceSampling(temperature));
      const { table, bias } = student as unknown as Record<
        "table" | "bias",
        { weights: Float32Array; gradient: Float64Array }
      >;
      const logits = Array.from({ length: V }, (_, next) => table.weights[2 * V + next]! + bias.weights[next]!);
      const divergence = (values: readonly number[]) => {
        const scaled = values.map((value) => value / temperature);
        const logZ = Math.log(scaled.reduce((sum, value) => sum + Math.exp(value), 0));
        return scaled.reduce(
          (sum, value, i) => sum + Math.exp(value - logZ) * (value - logZ - teacherLogprobs[i]![0]!),
          0,
        );
      };
      for (let next = 0; next < V; next++) {
        const shifted = (by: number) => divergence(logits.map((logit, i) => (i === next ? logit + by : logit)));
        const numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        expect(table.gradient[2 * V + next]!).toBeCloseTo(numeric, 5);
      }
      await student.optimStep({ learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0, maxGradNorm: 0 });
    }
  });
});

describe("trainDistill", () => {
  it("brings the student to the teacher: the reverse KL divergence falls below a tenth", async () => {
    const log = new MemoryLog();
    await trainDistill(lettersContext(newEngine(), log), configOf({ iterations: 80 }), teacherOf());
    const divergence = log.metricsRows.map((row) => row.reverse_kl!);
    expect(divergence[0]).toBeGreaterThan(0.5);
    expect(divergence.slice(-10).reduce((sum, value) => sum + value, 0) / 10).toBeLessThan(divergence[0]! / 10);
    const row = log.metricsRows[0]!;
    expect(row.reverse_kl).toBeCloseTo(row.student_logprob! - row.teacher_logprob!, 6);
    expect(row).toMatchObject({ step: 1, iteration: 0 });
    for (const name of ["entropy", "completions/mean_length", "solve_rate", "grad_norm"])
      expect(row).toHaveProperty([name]);
    expect(log.rolloutRows[0]!.rewards.teacher!.reason).toMatch(/nats a token/);
    for (const { tokenAdvantages, ratios, entropies, reward, lengthTokens } of log.rolloutRows.slice(0, 24)) {
      const own = Array.from(tokenAdvantages!);
      expect(own.reduce((sum, value) => sum + value, 0) / lengthTokens).toBeCloseTo(reward!, 5);
      for (const ratio of Array.from(ratios!)) expect(ratio).toBeCloseTo(1, 5);
      expect([own.length, entropies!.length]).toEqual([lengthTokens, lengthTokens]);
    }
  });

  it("goes on from a checkpoint to the same metrics, rollouts and weights", async () => {
    const config = configOf({ iterations: 12, minibatchesPerIteration: 2, schedule: "cosine" });
    const [whole, wholeLog] = [newEngine(), new MemoryLog()];
    await trainDistill(lettersContext(whole, wholeLog), config, teacherOf());
    const [engine, log, controller] = [newEngine(), new MemoryLog(), new AbortController()];
    const { kept, hook } = checkpointInto(await emptyDirectory(), engine, 0);
    const context = lettersContext(engine, log, {
      signal: controller.signal,
      checkpoint: hook,
      onProgress: ({ done, phase }) => phase === "done" && done === 5 && controller.abort(),
    });
    await expect(trainDistill(context, config, teacherOf())).rejects.toThrow(RunInterrupted);
    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    await trainDistill(lettersContext(fresh, log, { resumed: kept.state! }), config, teacherOf());
    expect(JSON.stringify(log.metricsRows)).toBe(JSON.stringify(wholeLog.metricsRows));
    expect(log.rolloutRows).toEqual(wholeLog.rolloutRows);
    expect(fresh.weights()).toEqual(whole.weights());
    expect(wholeLog.metricsRows.at(-1)!.step).toBe(24);
  });

  it("refuses a teacher with a shorter context, and one with another tokenizer", async () => {
    const short = { ...teacherOf(), info: { name: "short", maxContextTokens: 3 } };
    await expect(trainDistill(lettersContext(newEngine(), new MemoryLog()), configOf(), short)).rejects.toThrow(
      /short has a context of 3 tokens, but the longest prompt \(1 tokens\) with maxCompletionTokens 3 needs 4/,
    );
    const other = {
      ...lettersTokenizer,
      decode: (ids: ArrayLike<number>) => lettersTokenizer.decode(ids).replace("c", "d"),
    };
    expect(() => requireSameTokenizer(lettersTokenizer, other, "big-model")).toThrow(ConfigError);
    expect(() => requireSameTokenizer(lettersTokenizer, other, "big-model")).toThrow(
      /big-model has another tokenizer than the student \(token 6 is "d", not "c"\)/,
    );
    expect(() => requireSameTokenizer(lettersTokenizer, { ...lettersTokenizer, vocabSize: 9 }, "x")).toThrow(
      /9 tokens, not 7/,
    );
  });

  it("its schema wants one teacher, whole minibatches, and temperature 1 with an endpoint", () => {
    expect(() => configOf({ teacher: {} })).toThrow(/exactly one of path .* and endpoint/);
    expect(() => configOf({ teacher: { endpoint: { baseUrl: "http://x" } } })).toThrow(/expected string/);
    expect(() => configOf({ minibatchesPerIteration: 4 })).toThrow(/does not divide/);
    expect(() => configOf({ teacher: { endpoint: { baseUrl: "http://x", model: "m" } }, temperature: 0.5 })).toThrow(
      /at temperature 1/,
    );
  });
});

describe("a teacher behind an endpoint", () => {
  const servers: { close: () => Promise<void> }[] = [];
  afterEach(() => Promise.all(servers.splice(0).map(({ close }) => close())));
  const serve = async (...args: Parameters<typeof teacherServer>) => {
    const server = await teacherServer(...args);
    servers.push(server);
    return server;
  };
  const tokenizer = { ...lettersTokenizer, encode: () => Int32Array.of(1, 2, 3, 4) };
  const teacherAt = (baseUrl: string, apiKeyEnv = "AHA_TEST_NO_KEY") =>
    teacherSchema().parse({ endpoint: { baseUrl, model: "m", apiKeyEnv } });

  it("scores completions by echoed prompts of token ids, with the key of the environment", async () => {
    const byId = ({ prompt }: { prompt: readonly number[] }) => ({
      choices: [{ logprobs: { token_logprobs: [null, ...prompt.slice(1).map((id) => -id)] } }],
    });
    const { url, requests } = await serve(byId);
    process.env.AHA_TEST_TEACHER_KEY = "secret";
    const teacher = await openTeacher(teacherAt(url, "AHA_TEST_TEACHER_KEY"), tokenizer, TEACHERS);
    const data = [{ promptTokens: Int32Array.of(1, 2), completionTokens: Int32Array.of(3, 4, 5) }];
    expect((await teacher.score(data, { temperature: 1 })).logprobs).toEqual([Float32Array.of(-3, -4, -5)]);
    delete process.env.AHA_TEST_TEACHER_KEY;
    expect(requests[1]).toMatchObject({
      url: "/v1/completions",
      authorization: "Bearer secret",
      body: { model: "m", prompt: [1, 2, 3, 4, 5], max_tokens: 0, echo: true, logprobs: 1 },
    });
  });

  it("is refused at the start where it cannot echo log-probabilities, or reads other tokens", async () => {
    const refused = async (answer: Parameters<typeof teacherServer>[0], reason: RegExp) => {
      const { url } = await serve(answer);
      const opened = openTeacher(teacherAt(url), tokenizer, TEACHERS);
      await expect(opened).rejects.toThrow(ConfigError);
      await expect(opened).rejects.toThrow(reason);
    };
    await refused(
      () => ({ status: 400, body: "echo with logprobs is not supported" }),
      /cannot score.*400: "echo with logprobs/,
    );
    await refused(() => ({ choices: [{ text: "hi", logprobs: null }] }), /has no log-probabilities of the prompt/);
    await refused(
      () => ({ choices: [{ logprobs: { token_logprobs: [-1] } }] }),
      /1 log-probabilities for a prompt of 4/,
    );
    const otherWords = (request: Parameters<typeof constantEcho>[0]) => ({
      choices: [
        { logprobs: { ...constantEcho(request).choices[0]!.logprobs, tokens: ["No", "thing", " like", " it"] } },
      ],
    });
    await refused(otherWords, /has another tokenizer than the student: it reads/);
  });
});
