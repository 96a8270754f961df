import { describe, expect, it } from "vitest";
import { DrawPrograms, drawsWhole } from "../../src/compute/draw-program.ts";
import { type DrawRequest, drawTokens } from "../../src/compute/draw-token.ts";
import { tensorOf } from "../../src/compute/host-memory.ts";
import { Random } from "../../src/random.ts";
import { device } from "../graph/evaluate.ts";

const request = (row: number, u: number, temperature = 1): DrawRequest => {
  return { row, u, options: { temperature, topP: 1, topK: 0 }, excluded: [], topLogprobs: 0 };
};

/** Draws of the program and of the host from the same logits. */
async function both(rows: number, vocabSize: number, logits: Float32Array, requests: readonly DrawRequest[]) {
  const tensor = tensorOf(device, "float32", [rows, vocabSize], logits);
  const found = await new DrawPrograms(device).draw(tensor, requests);
  tensor.dispose();
  return { found, expected: drawTokens(logits, vocabSize, requests) };
}

describe("draws by a program", () => {
  it.each([7, 128, 129, 1000])("are the host's, from a vocabulary of %i", async (vocabSize) => {
    const random = new Random(3, `draws ${vocabSize}`);
    const rows = 4;
    const logits = Float32Array.from({ length: rows * vocabSize }, () => 3 * random.normal());
    const requests = Array.from({ length: 60 }, (_, i) =>
      request((7 * i) % rows, (i + 0.37) / 60, [1, 0.3, 2, 0][i % 4]),
    );
    const { found, expected } = await both(rows, vocabSize, logits, requests);
    expect(found.map(({ token }) => token)).toEqual(expected.map(({ token }) => token));
    for (const [i, { logprob }] of expected.entries()) expect(found[i]!.logprob).toBeCloseTo(logprob, 4);
  });

  it("never end at a token without weight, however close to 1 the random number is", async () => {
    const vocabSize = 300;
    const logits = new Float32Array(vocabSize).fill(-200);
    logits.set([0, 1, 0.5], 140);
    const almost = 1 - 2 ** -24;
    const requests = [0, 2 ** -30, 0.5, almost].map((u) => request(0, u));
    const { found } = await both(1, vocabSize, logits, requests);
    expect(found.map(({ token }) => token)).toEqual([140, 140, 141, 142]);
  });

  it("take the lowest of equal tokens where they are greedy", async () => {
    const logits = Float32Array.of(1, 5, 2, 5, 5);
    const { found } = await both(1, 5, logits, [request(0, 0.9, 0)]);
    expect(found[0]!.token).toBe(1);
  });

  it("have no log-probability where logits are not finite", async () => {
    const { found } = await both(1, 3, Float32Array.of(0, Number.NaN, 1), [request(0, 0.5)]);
    expect(found[0]!.logprob).toBeNaN();
  });

  it("are for whole distributions alone", () => {
    const one = request(0, 0.5);
    expect(drawsWhole(one)).toBe(true);
    for (const options of [{ topK: 3 }, { topP: 0.9 }, { minP: 0.1 }]) {
      expect(drawsWhole({ ...one, options: { ...one.options, ...options } })).toBe(false);
    }
    expect(drawsWhole({ ...one, excluded: [1] })).toBe(false);
    expect(drawsWhole({ ...one, topLogprobs: 1 })).toBe(false);
    expect(drawsWhole({ ...one, logprobTemperature: 2 })).toBe(false);
  });
});
