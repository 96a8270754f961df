import { describe, expect, it } from "vitest";
import { hashString, philox, Random, uniformAt } from "../src/random.ts";

const hex = (words: readonly number[]) => words.map((word) => word.toString(16).padStart(8, "0")).join(" ");

describe("philox", () => {
  // The known answers of Random123 1.14 (kat_vectors, philox4x32 10).
  it.each([
    [[0, 0], [0, 0, 0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [[2 ** 32 - 1, -1], [-1, -1, -1, -1], "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [[0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ] as const)("of key %j and counter %j is the authors' known answer", ([key0, key1], counter, expected) => {
    expect(hex(philox(key0, key1, counter))).toBe(expected);
  });

  it("takes missing counter words as 0 and the others modulo 2^32", () => {
    expect(philox(1, 2, [3])).toEqual(philox(1, 2, [3, 0, 0, 0]));
    expect(philox(1, 2, [3 + 2 ** 32, -1])).toEqual(philox(1, 2, [3, 2 ** 32 - 1]));
  });
});

describe("hashString", () => {
  // The known answers of the FNV-1a authors (Fowler, Noll, Vo).
  it.each([
    ["", "811c9dc5"],
    ["a", "e40c292c"],
    ["foobar", "bf9cf968"],
  ])("of %j is FNV-1a's known answer", (text, expected) => {
    expect(hex([hashString(text)])).toBe(expected);
  });
});

describe("uniformAt", () => {
  it("is a function of seed, stream and every counter word", () => {
    const draw = uniformAt(1, 2, [3, 4, 5, 6]);
    expect(uniformAt(1, 2, [3, 4, 5, 6])).toBe(draw);
    const others = [
      uniformAt(0, 2, [3, 4, 5, 6]),
      uniformAt(1, 0, [3, 4, 5, 6]),
      uniformAt(1, 2, [0, 4, 5, 6]),
      uniformAt(1, 2, [3, 0, 5, 6]),
      uniformAt(1, 2, [3, 4, 0, 6]),
      uniformAt(1, 2, [3, 4, 5, 0]),
    ];
    expect(new Set([draw, ...others]).size).toBe(7);
  });
});

describe("Random", () => {
  it("draws the same numbers for the same seed and stream, others for others", () => {
    const draws = (random: Random) => Array.from({ length: 5 }, () => random.uniform());
    expect(draws(new Random(1, "a"))).toEqual(draws(new Random(1, "a")));
    expect(draws(new Random(1, "a"))).toEqual(draws(new Random(1, hashString("a"))));
    expect(draws(new Random(1, "a"))).not.toEqual(draws(new Random(1, "b")));
    expect(draws(new Random(1, "a"))).not.toEqual(draws(new Random(2, "a")));
  });

  it("goes on where it was left, also beyond 2^32 draws", () => {
    for (const start of [0, 2 ** 32 - 1]) {
      const whole = new Random(5, "resume", start);
      const first = whole.uniform();
      whole.normal();
      const resumed = new Random(5, "resume", whole.position);
      expect(whole.position).toBe(start + 3);
      expect(resumed.uniform()).toBe(whole.uniform());
      expect(resumed.uniform()).not.toBe(first);
    }
  });

  it("draws uniform numbers in [0, 1): mean 1/2, variance 1/12, no serial correlation", () => {
    const random = new Random(7, "moments");
    const count = 20_000;
    const draws = Array.from({ length: count }, () => random.uniform());
    expect(draws.every((u) => u >= 0 && u < 1)).toBe(true);
    const mean = draws.reduce((a, b) => a + b, 0) / count;
    const moment = (lag: number) =>
      draws.reduce((sum, u, i) => sum + (u - mean) * ((draws[i + lag] ?? mean) - mean), 0);
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / count));
    expect(moment(0) / count).toBeCloseTo(1 / 12, 2);
    expect(Math.abs(moment(1) / moment(0))).toBeLessThan(4 / Math.sqrt(count));
  });

  it("draws normal numbers: mean 0, variance 1, 4.55 % beyond two deviations", () => {
    const random = new Random(8, "normal");
    const draws = Array.from({ length: 20_000 }, () => random.normal());
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(draws.reduce((a, b) => a + b * b, 0) / draws.length).toBeCloseTo(1, 1);
    expect(draws.filter((x) => Math.abs(x) > 2).length / draws.length).toBeCloseTo(0.0455, 2);
    expect(draws.every(Number.isFinite)).toBe(true);
  });

  it("draws each integer below the bound equally often, and each element of a list", () => {
    const random = new Random(9, "integer");
    const counts = new Array(7).fill(0);
    for (let i = 0; i < 14_000; i++) counts[random.integer(7)]++;
    // χ² with 6 degrees of freedom: 22.5 is exceeded once in a thousand seeds.
    expect(counts.reduce((sum, n) => sum + (n - 2000) ** 2 / 2000, 0)).toBeLessThan(22.5);
    expect(new Set(Array.from({ length: 100 }, () => random.choice(["a", "b", "c"])))).toEqual(
      new Set(["a", "b", "c"]),
    );
    expect(random.integer(1)).toBe(0);
  });

  it("shuffles in place into every order equally often", () => {
    const counts = new Map<string, number>();
    const random = new Random(10, "shuffle");
    for (let i = 0; i < 6000; i++) {
      const items = [1, 2, 3];
      expect(random.shuffle(items)).toBe(items);
      counts.set(items.join(""), (counts.get(items.join("")) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // χ² with 5 degrees of freedom: 20.5 is exceeded once in a thousand seeds.
    expect([...counts.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(20.5);
    expect(random.shuffle([])).toEqual([]);
  });
});
