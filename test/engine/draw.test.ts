import { describe, expect, it } from "vitest";
import { drawToken } from "../../src/engine/local/draw.ts";
import { Random } from "../../src/random.ts";

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
