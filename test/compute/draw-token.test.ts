import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { drawToken, mostProbable } from "./draws.ts";

const FREE = { temperature: 1, topP: 1, topK: 0 };
/** Probabilities 0.1, 0.4, 0.2, 0.3 at temperature 1. */
const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], (p) => Math.log(p) + 5);

describe("drawToken", () => {
  it("inverts the cumulative distribution in the order of token ids", () => {
    const draws = [0, 0.099, 0.101, 0.499, 0.501, 0.699, 0.701, 0.9999].map((u) => drawToken(logits, u, FREE).token);
    expect(draws).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  it("gives each token its log-probability under the temperature", () => {
    for (const temperature of [0.5, 1, 3]) {
      const powers = [0.1, 0.4, 0.2, 0.3].map((p) => p ** (1 / temperature));
      const mass = powers.reduce((a, b) => a + b, 0);
      for (const u of [0.05, 0.3, 0.6, 0.9]) {
        const { token, logprob } = drawToken(logits, u, { ...FREE, temperature });
        expect(logprob).toBeCloseTo(Math.log(powers[token]! / mass), 6);
      }
    }
  });

  it("leaves out what top-k and top-p leave out, and keeps log-probabilities of the whole vocabulary", () => {
    // Of 1 and 3 (0.4 and 0.3): the first four sevenths of u draw 1.
    expect([0, 0.57, 0.572, 0.99].map((u) => drawToken(logits, u, { ...FREE, topK: 2 }).token)).toEqual([1, 1, 3, 3]);
    expect([0, 0.99].map((u) => drawToken(logits, u, { ...FREE, topP: 0.39 }).token)).toEqual([1, 1]);
    expect([0.57, 0.572].map((u) => drawToken(logits, u, { ...FREE, topP: 0.41 }).token)).toEqual([1, 3]);
    expect(drawToken(logits, 0.99, { ...FREE, topK: 2 }).logprob).toBeCloseTo(Math.log(0.3), 6);
    // top-p of what top-k left: 0.4 of 0.7 reaches a half.
    expect(drawToken(logits, 0.99, { ...FREE, topK: 2, topP: 0.5 }).token).toBe(1);
  });

  it("tells what top-k and top-p left, and the log-probability among these", () => {
    const { restricted, logprob } = drawToken(logits, 0.99, { ...FREE, topK: 3, topP: 0.75 });
    expect(restricted!.kept).toEqual(Int32Array.of(1, 3));
    expect(restricted!.logprob).toBeCloseTo(Math.log(0.3 / 0.7), 6);
    expect(logprob).toBeCloseTo(Math.log(0.3), 6);
    expect(drawToken(logits, 0.99, FREE).restricted).toBeUndefined();
    // Excluded tokens are left out first.
    const barred = drawToken(logits, 0.99, { ...FREE, topK: 2 }, [1]);
    expect(barred.restricted!.kept).toEqual(Int32Array.of(3, 2));
    expect(barred.restricted!.logprob).toBeCloseTo(Math.log(barred.token === 3 ? 0.6 : 0.4), 6);
  });

  it("is greedy at temperature 0, with the log-probability at temperature 1; the lowest of equals wins", () => {
    const greedy = drawToken(logits, 0.999, { ...FREE, temperature: 0 });
    expect(greedy.token).toBe(1);
    expect(greedy.logprob).toBeCloseTo(Math.log(0.4), 6);
    expect(drawToken(Float32Array.of(1, 3, 3, 2), 0.9, { ...FREE, temperature: 0 }).token).toBe(1);
    expect(drawToken(Float32Array.of(1, 3, 3, 2), 0.9, { ...FREE, topK: 1 }).token).toBe(1);
  });

  it("never draws an excluded token, in any mode, and says its probability among all", () => {
    const random = new Random(1, "draw");
    for (const options of [FREE, { ...FREE, temperature: 0 }, { ...FREE, topK: 1 }, { ...FREE, topP: 0.1 }]) {
      for (let i = 0; i < 50; i++) {
        const { token, logprob } = drawToken(logits, random.uniform(), options, [1, 3]);
        expect([0, 2]).toContain(token);
        expect(logprob).toBeCloseTo(Math.log(token === 0 ? 0.1 : 0.2), 6);
      }
    }
  });

  it("never draws an excluded token beside which all others vanish", () => {
    const peaked = Float32Array.of(1000, 0, 2, 1);
    for (const temperature of [0, 0.01, 1]) {
      expect(drawToken(peaked, 0.5, { ...FREE, temperature }, [0]).token).toBe(2);
    }
  });

  it("draws the certain token whatever the uniform number", () => {
    const certain = Float32Array.of(-1e4, 0, -1e4);
    for (const u of [0, 0.5, 1 - 2 ** -32]) expect(drawToken(certain, u, FREE)).toEqual({ token: 1, logprob: 0 });
    expect(drawToken(logits, 1 - 2 ** -32, FREE).token).toBe(3);
  });
});

/** The tokens that top-k and then top-p leave, by sorting everything. */
function leftBy(logits: Float32Array, topK: number, topP: number): Set<number> {
  const largest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp(logit - largest));
  const order = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b);
  const candidates = topK > 0 ? order.slice(0, topK) : order;
  const mass = candidates.reduce((sum, token) => sum + weights[token]!, 0);
  let held = 0;
  return new Set(
    candidates.filter((token) => {
      const kept = held < topP * mass;
      held += weights[token]!;
      return kept;
    }),
  );
}

describe("top-k and top-p of a large vocabulary", () => {
  it.each([
    ["flat", 0.01],
    ["usual", 2],
    ["peaked", 6],
  ])("leave the tokens that sorting all of it leaves, with %s logits", (_, spread) => {
    const random = new Random(2, "vocabulary");
    const vocabulary = Float32Array.from({ length: 800 }, () => Math.fround(spread * random.normal()));
    // Equals at the border are taken by id.
    for (let i = 0; i < 400; i += 3) vocabulary[i] = vocabulary[i + 1]!;
    for (const [topK, topP] of [
      [0, 0.9],
      [0, 0.999999],
      [0, 1e-9],
      [40, 1],
      [40, 0.6],
      [700, 0.5],
      [5000, 1],
    ] as const) {
      const allowed = leftBy(vocabulary, topK, topP);
      const drawn = new Set<number>();
      for (let i = 0; i < 100; i++) drawn.add(drawToken(vocabulary, i / 100, { ...FREE, topK, topP }).token);
      const ends = [0, 1 - 2 ** -32].map((u) => drawToken(vocabulary, u, { ...FREE, topK, topP }).token);
      expect([...drawn].filter((token) => !allowed.has(token))).toEqual([]);
      expect(ends).toEqual([Math.min(...allowed), Math.max(...allowed)]);
    }
  });
});

describe("mostProbable", () => {
  it("lists the most probable tokens, equals by id, with their log-probabilities", () => {
    const row = Float32Array.of(1, 3, 3, 2, -5);
    const total = Math.log([1, 3, 3, 2, -5].reduce((sum, logit) => sum + Math.exp(logit / 0.5), 0));
    const expected = [1, 2, 3].map((token) => ({ token, logprob: row[token]! / 0.5 - total }));
    mostProbable(row, 3, 0.5).forEach(({ token, logprob }, i) => {
      expect(token).toBe(expected[i]!.token);
      expect(logprob).toBeCloseTo(expected[i]!.logprob, 6);
    });
    expect(mostProbable(row, 0, 1)).toEqual([]);
    expect(mostProbable(row, 9, 0).map(({ token }) => token)).toEqual([1, 2, 3, 0, 4]);
  });
});
