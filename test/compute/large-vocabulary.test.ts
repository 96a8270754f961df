import { describe, expect, it } from "vitest";
import type { Device } from "../../src/compute/device.ts";
import { type Draw, type DrawOptions, type DrawRequest, drawTokens } from "../../src/compute/draw-token.ts";
import { tensorOf } from "../../src/compute/host-memory.ts";
import { Random } from "../../src/random.ts";
import { device as cpu } from "../graph/evaluate.ts";
import { OpaqueDevice } from "./opaque-device.ts";

/** More than one block, the last one not full. */
const V = 3000;
const FREE: DrawOptions = { temperature: 1, topP: 1, topK: 0 };
const request = (row: number, u: number, more: Partial<DrawRequest> = {}): DrawRequest => {
  return { row, u, options: FREE, excluded: [], topLogprobs: 0, ...more };
};

function logitsOf(rows: number, spread: number): Float32Array {
  const random = new Random(3, `logits ${spread}`);
  return Float32Array.from({ length: rows * V }, () => spread * random.normal());
}

/** The device's draws. */
async function drawn(device: Device, logits: Float32Array, requests: readonly DrawRequest[]): Promise<Draw[]> {
  const tensor = tensorOf(device, "float32", [logits.length / V, V], logits);
  const draws = await device.kernels.draw(tensor, requests);
  tensor.dispose();
  return draws;
}

/** ln softmax of a row, in double precision, some logits replaced. */
function logSoftmax(row: Float32Array, temperature: number, replaced: ReadonlyMap<number, number> = new Map()) {
  const scaled = Array.from(row, (logit, token) => (replaced.get(token) ?? logit) / temperature);
  const largest = scaled.reduce((a, b) => Math.max(a, b));
  const logTotal = largest + Math.log(scaled.reduce((sum, value) => sum + Math.exp(value - largest), 0));
  return scaled.map((value) => value - logTotal);
}

/** Probabilities after top-k and top-p, by sorting everything. */
function probabilities(row: Float32Array, { temperature, topK, topP }: DrawOptions): number[] {
  const all = logSoftmax(row, temperature).map(Math.exp);
  const order = [...all.keys()].sort((a, b) => all[b]! - all[a]! || a - b).slice(0, topK === 0 ? V : topK);
  const mass = order.reduce((sum, token) => sum + all[token]!, 0);
  let held = 0;
  const kept = order.filter((token) => {
    const isKept = topP >= 1 || held < topP * mass;
    held += all[token]!;
    return isKept;
  });
  const left = kept.reduce((sum, token) => sum + all[token]!, 0);
  const result = new Array<number>(V).fill(0);
  for (const token of kept) result[token] = all[token]! / left;
  return result;
}

/** χ² and its degrees of freedom; tokens that are expected less than ten times are one class. */
function chiSquare(tokens: readonly number[], expected: readonly number[]): { statistic: number; freedom: number } {
  const counts = new Array<number>(V).fill(0);
  for (const token of tokens) counts[token]!++;
  let [statistic, classes, rareCount, rareExpected] = [0, 0, 0, 0];
  for (const [token, probability] of expected.entries()) {
    const mean = probability * tokens.length;
    if (mean === 0) expect(counts[token]).toBe(0);
    if (mean < 10) {
      rareCount += counts[token]!;
      rareExpected += mean;
      continue;
    }
    statistic += (counts[token]! - mean) ** 2 / mean;
    classes++;
  }
  if (rareExpected >= 10) {
    statistic += (rareCount - rareExpected) ** 2 / rareExpected;
    classes++;
  }
  return { statistic, freedom: classes - 1 };
}

describe("draws from a large vocabulary", () => {
  it.each(
    [0.7, 1, 1.3].flatMap((temperature) => [
      { temperature, topP: 1, topK: 0 },
      { temperature, topP: 0.9, topK: 0 },
      { temperature, topP: 1, topK: 40 },
      { temperature, topP: 0.8, topK: 40 },
    ]),
  )("have the distribution of the softmax, with $temperature, top-p $topP, top-k $topK", async (options) => {
    const row = logitsOf(1, 3);
    const random = new Random(7, "uniform");
    const requests = Array.from({ length: 4000 }, () => request(0, random.uniform(), { options }));
    const draws = await drawn(cpu, row, requests);
    const expected = probabilities(row, options);
    const { statistic, freedom } = chiSquare(
      draws.map(({ token }) => token),
      expected,
    );
    expect(freedom).toBeGreaterThan(5);
    // Mean and five standard deviations of χ².
    expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom));
    // A distribution that is slightly off is found out.
    const tempered = probabilities(row, { ...options, temperature: options.temperature * 1.25 });
    const off = chiSquare(
      draws.map(({ token }) => token),
      tempered.map((p, token) => (expected[token] === 0 ? 0 : p)),
    );
    expect(off.statistic).toBeGreaterThan(off.freedom + 5 * Math.sqrt(2 * off.freedom));
  });

  it("have the log-probability of the softmax, to 1e-6, on any device", async () => {
    const rows = 4;
    const logits = logitsOf(rows, 4);
    const temperatures = [0.7, 1, 1.3, 0];
    for (const device of [cpu, new OpaqueDevice(1)]) {
      for (const u of [0.02, 0.4, 0.9]) {
        // One row is left out, as where a sequence was cancelled; one has its log-probability at another temperature.
        const requests = [0, 2, 3].map((row) =>
          request(row, u, {
            options: { ...FREE, temperature: temperatures[row]! },
            topLogprobs: 3,
            logprobTemperature: row === 2 ? 1 : undefined,
          }),
        );
        for (const [i, { token, logprob, top }] of (await drawn(device, logits, requests)).entries()) {
          const { row } = requests[i]!;
          const own = logits.subarray(row * V, (row + 1) * V);
          const expected = logSoftmax(own, row === 0 ? 0.7 : 1);
          expect(Math.abs(logprob - expected[token]!)).toBeLessThan(1e-6);
          const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]! || a - b).slice(0, 3);
          expect(top!.map((one) => one.token)).toEqual(best);
          for (const one of top!) expect(Math.abs(one.logprob - expected[one.token]!)).toBeLessThan(1e-6);
          if (row === 3) expect(token).toBe(best[0]);
        }
      }
    }
  });

  it("are those of a loop over all tokens, whatever is excluded, biased or penalised", async () => {
    const logits = logitsOf(2, 3);
    logits[V + 1234] = 60;
    const none = { promptTokens: new Set<number>(), counts: new Map<number, number>() };
    const penalised = {
      ...{ repetitionPenalty: 1.3, frequencyPenalty: 0.5, presencePenalty: 0.2 },
      ...{ bias: new Map([[5, 4]]), promptTokens: new Set([7, 2999]), counts: new Map([[17, 2]]) },
    };
    const off = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
    const cases: Partial<DrawRequest>[] = [
      {},
      { excluded: [1234, 3] },
      { rules: penalised },
      { rules: { ...off, ...none, bias: new Map([[2500, 100]]) } },
      { rules: { ...off, ...none, bias: new Map([[1234, -100]]) }, excluded: [2999] },
      { excluded: [1234], options: { ...FREE, temperature: 0 } },
      { excluded: [1234], options: { ...FREE, minP: 0.2 } },
      { excluded: [1234], options: { ...FREE, topK: 5 } },
      { excluded: [1234], options: { ...FREE, topP: 0.3 } },
      { options: { ...FREE, topK: 700, topP: 0.9 } },
    ];
    const requests = cases.flatMap((more) =>
      [0, 1].flatMap((row) =>
        [0, 0.1, 0.5, 0.77, 1 - 2 ** -32].map((u) => request(row, u, { ...more, topLogprobs: 2 })),
      ),
    );
    const found = await drawn(cpu, logits, requests);
    const expected = drawTokens(logits, V, requests);
    for (const [i, draw] of found.entries()) {
      expect(draw.token).toBe(expected[i]!.token);
      expect(Math.abs(draw.logprob - expected[i]!.logprob)).toBeLessThan(1e-6);
      expect(draw.restricted?.kept).toEqual(expected[i]!.restricted?.kept);
      expect(draw.top!.map(({ token }) => token)).toEqual(expected[i]!.top!.map(({ token }) => token));
    }
    // What was barred is never drawn; what was pushed up always is.
    for (const [i, { token }] of found.entries()) {
      expect(requests[i]!.excluded).not.toContain(token);
      if (requests[i]!.u > 0 && requests[i]!.rules?.bias.has(2500)) expect(token).toBe(2500);
    }
  });

  it("have no log-probability where a logit is no number", async () => {
    const logits = logitsOf(2, 1);
    logits[2000] = Number.NaN;
    const [bad, good] = await drawn(cpu, logits, [request(0, 0.5), request(1, 0.5)]);
    expect(bad!.logprob).toBeNaN();
    expect(good!.logprob).toBeLessThan(0);
  });
});
