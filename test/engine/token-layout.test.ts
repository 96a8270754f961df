import { describe, expect, it } from "vitest";
import type { MicroBatch } from "../../src/engine/local/micro-batches.ts";
import { chunkedLayout, paddedLayout } from "../../src/engine/local/token-layout.ts";

const batch = (completionLength: number, count: number): MicroBatch => ({
  promptLength: 2,
  completionLength,
  promptRows: [0],
  sequences: Array.from({ length: count }, (_, datum) => ({ datum, promptRow: 0 })),
});

describe("the padded layout", () => {
  it("gives every completion position a place", () => {
    expect(paddedLayout(batch(5, 3))).toEqual({ dims: [15], starts: [0, 5, 10] });
  });
});

describe("the layout in chunks", () => {
  const lengths = [5, 2, 4];
  const numbers = (values: BigInt64Array) => Array.from(values, Number);

  it("holds the tokens of each sequence one after another, and no padding between", () => {
    const { dims, starts, chunks } = chunkedLayout(batch(5, 3), lengths, 4);
    expect([dims, starts]).toEqual([
      [3, 4],
      [0, 5, 7],
    ]);
    expect(numbers(chunks!.rows).slice(0, 11)).toEqual([0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13]);
  });

  it.each([1, 2, 3, 4, 5, 11, 12, 100])(
    "of at most %i tokens: fewest chunks, each position back at its token",
    (chunk) => {
      const { dims, chunks } = chunkedLayout(batch(5, 3), lengths, chunk);
      const [count, size] = dims as [number, number];
      expect(size).toBeLessThanOrEqual(chunk);
      expect(count).toBe(Math.ceil(12 / chunk));
      const rows = numbers(chunks!.rows);
      expect(rows).toHaveLength(count * size);
      numbers(chunks!.places).forEach((place, position) => {
        const isToken = position % 5 < lengths[Math.floor(position / 5)]!;
        if (isToken) expect(rows[place]).toBe(position);
        // A place behind all tokens, which exists.
        else expect(place).toBe(11);
      });
      expect(11).toBeLessThan(rows.length);
    },
  );

  it("has no place too many where there is no padding", () => {
    const { dims, chunks } = chunkedLayout(batch(3, 4), [3, 3, 3, 3], 6);
    expect(dims).toEqual([2, 6]);
    expect(numbers(chunks!.places)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });
});
