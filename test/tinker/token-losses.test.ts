/**
 * The protocol's losses as numbers, against their formulas, which are written out here once more, token by token in double
 * precision, as PyTorch's clamp and minimum have them; and their slopes against finite differences.
 */

import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { type LossNumbers, lossOptionsOf, type Slopes, TOKEN_LOSSES } from "../../src/serve/tinker/token-losses.ts";

/** A datum in double precision. */
interface Case {
  readonly logprobs: readonly number[];
  readonly sampler: readonly number[];
  readonly advantages: readonly number[];
  readonly weights?: readonly number[];
  readonly mask?: readonly number[];
}

type Options = Readonly<Record<string, number>>;
const LOW = "clip_low_threshold";
const HIGH = "clip_high_threshold";

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const weightOf = ({ weights }: Case, i: number) => weights?.[i] ?? 1;
const clamp = (value: number, low: number, high: number) => (value < low ? low : value > high ? high : value);

/** The formulas. `frozen`: what a stopped gradient is taken at. */
const FORMULAS: Readonly<Record<string, (datum: Case, options: Options, frozen: Case) => number>> = {
  importance_sampling: (datum) =>
    -sum(datum.logprobs.map((lp, i) => weightOf(datum, i) * Math.exp(lp - datum.sampler[i]!) * datum.advantages[i]!)),
  ppo: (datum, options) =>
    -sum(
      datum.logprobs.map((lp, i) => {
        const [ratio, advantage] = [Math.exp(lp - datum.sampler[i]!), datum.advantages[i]!];
        const bounded = clamp(ratio, options[LOW]!, options[HIGH]!);
        return weightOf(datum, i) * Math.min(ratio * advantage, bounded * advantage);
      }),
    ),
  cispo: (datum, options, frozen) =>
    -sum(
      datum.logprobs.map((lp, i) => {
        const bounded = clamp(Math.exp(frozen.logprobs[i]! - datum.sampler[i]!), options[LOW]!, options[HIGH]!);
        return weightOf(datum, i) * bounded * datum.advantages[i]! * lp;
      }),
    ),
  dro: (datum, { beta }) =>
    -sum(
      datum.logprobs.map((lp, i) => {
        return weightOf(datum, i) * (lp * datum.advantages[i]! - (beta! / 2) * (lp - datum.sampler[i]!) ** 2);
      }),
    ),
  gspo: (datum, options) => {
    const counts = datum.logprobs.map((_, i) => (datum.mask ?? datum.advantages)[i] !== 0);
    const ratios = datum.logprobs.flatMap((lp, i) => (counts[i] ? [lp - datum.sampler[i]!] : []));
    if (ratios.length === 0) return 0;
    const ratio = Math.exp(sum(ratios) / ratios.length);
    const bounded = clamp(ratio, options[LOW]!, options[HIGH]!);
    return -sum(
      datum.advantages.map((advantage, i) =>
        counts[i] ? weightOf(datum, i) * Math.min(ratio * advantage, bounded * advantage) : 0,
      ),
    );
  },
};

function evaluate(name: string, { logprobs, sampler, advantages, weights, mask }: Case, given: Options = {}): Slopes {
  const loss = TOKEN_LOSSES[name]!;
  const numbers: LossNumbers = {
    samplerLogprobs: Float32Array.from(sampler),
    advantages: Float32Array.from(advantages),
    ...(weights && { weights: Float32Array.from(weights) }),
    ...(mask && { ratioMask: Float32Array.from(mask) }),
  };
  const options = lossOptionsOf(name, loss, new Map(Object.entries(given)));
  return loss.evaluate(Float32Array.from(logprobs), numbers, options);
}

/** The options with the protocol's defaults. */
const withDefaults = (given: Options): Options => ({ [LOW]: 0.8, [HIGH]: 1.2, ...given });

/** As float32 has it, as what clients send. */
const f32 = (values: readonly number[]) => values.map(Math.fround);

/** Of so many tokens, with ratios on both sides of the clips and advantages of both signs. */
function randomCase(random: Random, tokens: number): Case {
  const numbers = (make: () => number) => f32(Array.from({ length: tokens }, make));
  const sampler = numbers(() => -3 * random.uniform() - 0.05);
  return {
    sampler,
    logprobs: f32(sampler.map((q) => q + 0.8 * (random.uniform() - 0.5))),
    advantages: numbers(() => (random.uniform() < 0.2 ? 0 : 2 * random.uniform() - 1)),
    weights: numbers(() => (random.uniform() < 0.2 ? 0 : random.uniform())),
    mask: numbers(() => (random.uniform() < 0.3 ? 0 : 1)),
  };
}

const OPTIONS: readonly (readonly [name: string, given: Options])[] = [
  ["importance_sampling", {}],
  ["ppo", {}],
  ["ppo", { [LOW]: 0.95, [HIGH]: 1.01 }],
  ["cispo", {}],
  ["cispo", { [LOW]: 0, [HIGH]: 1.1 }],
  ["cispo", { [LOW]: 0.9, [HIGH]: 4 }],
  ["dro", { beta: 0.05 }],
  ["dro", { beta: 2 }],
  ["dro", { beta: 0 }],
  ["gspo", {}],
  ["gspo", { [LOW]: 0.99, [HIGH]: 1.005 }],
];

describe("a loss of the protocol", () => {
  it.each(OPTIONS)("%s %j is its formula, and its slopes are finite differences of it", (name, given) => {
    const random = new Random(1, `losses ${name} ${JSON.stringify(given)}`);
    const options = withDefaults(given);
    const formula = FORMULAS[name]!;
    for (let round = 0; round < 40; round++) {
      const { weights, mask, ...rest } = randomCase(random, 1 + random.integer(9));
      const datum: Case = { ...rest, ...(round % 3 > 0 && weights && { weights }), ...(round % 2 && mask && { mask }) };
      const { loss, slopes } = evaluate(name, datum, given);
      expect(Math.abs(loss - formula(datum, options, datum)), `round ${round}`).toBeLessThan(1e-6);
      datum.logprobs.forEach((_, i) => {
        const h = 1e-6;
        const moved = (by: number) =>
          formula({ ...datum, logprobs: datum.logprobs.map((lp, j) => (j === i ? lp + by : lp)) }, options, datum);
        // No ratio of these cases is within h of a clip, where there is no slope.
        expect(Math.abs(slopes[i]! - (moved(h) - moved(-h)) / (2 * h)), `round ${round}, token ${i}`).toBeLessThan(
          1e-5,
        );
      });
    }
  });

  it("counts a token whose weight is 0 for nothing, whatever else it has", () => {
    for (const [name, given] of OPTIONS) {
      const datum = { logprobs: [-0.5, -1], sampler: [-0.4, -1.2], advantages: [1, -1], weights: [1, 0], mask: [1, 0] };
      const alone = { logprobs: [-0.5], sampler: [-0.4], advantages: [1], weights: [1], mask: [1] };
      const [both, one] = [evaluate(name, datum, given), evaluate(name, alone, given)];
      expect(both.loss, name).toBe(one.loss);
      expect([...both.slopes], name).toEqual([one.slopes[0], 0]);
      const overflowing = { ...datum, logprobs: [-0.5, 0], sampler: [-0.4, -1000] };
      expect(evaluate(name, overflowing, given), name).toEqual(both);
    }
  });

  it("is 0 with slopes 0 where every mask is 0, and of no tokens", () => {
    for (const [name, given] of OPTIONS) {
      const zero = { logprobs: [-1, 0], sampler: [-2, -800], advantages: [1, -1], weights: [0, 0], mask: [0, 0] };
      for (const datum of [zero, { logprobs: [], sampler: [], advantages: [] }]) {
        const { loss, slopes } = evaluate(name, datum, given);
        expect(Math.abs(loss), name).toBe(0);
        expect([...slopes].map(Math.abs), name).toEqual(datum.logprobs.map(() => 0));
      }
    }
  });
});

/** One token of this ratio, its sampler’s log-probability being 0. */
const ofRatio = (ratio: number, advantage: number, mask?: number): Case => ({
  ...{ logprobs: [Math.log(ratio)], sampler: [0], advantages: [advantage] },
  ...(mask !== undefined && { mask: [mask] }),
});

describe("beyond the clips", () => {
  it.each(["ppo", "gspo"])(
    "%s has no slope where the advantage asks for more of it, and its own slope elsewhere",
    (name) => {
      const at = (ratio: number, advantage: number) => {
        const { loss, slopes } = evaluate(name, ofRatio(ratio, advantage), { [LOW]: 0.5, [HIGH]: 2 });
        return [loss, slopes[0]!];
      };
      const close = ([loss, slope]: number[], expected: readonly number[]) => {
        expect(loss).toBeCloseTo(expected[0]!, 5);
        expect(slope).toBeCloseTo(expected[1]!, 5);
      };
      close(at(1.9, 3), [-5.7, -5.7]);
      close(at(2.1, 3), [-6, 0]);
      close(at(2.1, -3), [6.3, 6.3]);
      close(at(0.51, -3), [1.53, 1.53]);
      close(at(0.49, -3), [1.5, 0]);
      close(at(0.49, 3), [-1.47, -1.47]);
      // At the clip itself, where a ratio of 1 is exact: PyTorch gives the unclipped term its slope, too.
      expect(evaluate(name, ofRatio(1, 3), { [LOW]: 0.5, [HIGH]: 1 })).toEqual({
        loss: -3,
        slopes: Float32Array.of(-3),
      });
      expect(evaluate(name, ofRatio(1, -3), { [LOW]: 1, [HIGH]: 2 })).toEqual({ loss: 3, slopes: Float32Array.of(3) });
    },
  );

  it("cispo keeps a slope on both sides, of the bounded ratio, for advantages of both signs", () => {
    const slope = (ratio: number, advantage: number) =>
      evaluate("cispo", ofRatio(ratio, advantage), { [LOW]: 0.5, [HIGH]: 2 }).slopes[0]!;
    for (const advantage of [3, -3]) {
      expect(slope(1e-8, advantage)).toBe(-0.5 * advantage);
      expect(slope(0.49, advantage)).toBe(-0.5 * advantage);
      expect(slope(1, advantage)).toBe(-advantage);
      expect(slope(1.5, advantage)).toBeCloseTo(-1.5 * advantage, 5);
      expect(slope(2.1, advantage)).toBe(-2 * advantage);
    }
  });
});

describe("a ratio that overflows", () => {
  const overflowing = (advantage: number, mask?: number): Case => ({
    ...{ logprobs: [0], sampler: [-1000], advantages: [advantage] },
    ...(mask !== undefined && { mask: [mask] }),
  });

  it("is bounded by ppo, gspo and cispo where the advantage is positive, and does not matter to dro", () => {
    for (const name of ["ppo", "gspo"]) {
      const { loss, slopes } = evaluate(name, overflowing(2));
      expect(loss, name).toBeCloseTo(-2.4, 6);
      expect([...slopes].map(Math.abs), name).toEqual([0]);
    }
    for (const advantage of [2, -2]) {
      expect(evaluate("cispo", overflowing(advantage)).slopes[0]).toBeCloseTo(-1.2 * advantage, 6);
    }
    const { loss, slopes } = evaluate("dro", overflowing(2), { beta: 0.1 });
    expect([loss, slopes[0]]).toEqual([0.5 * 0.1 * 1e6, 98]);
  });

  it("is not bounded where the formula has no bound: infinite, never NaN", () => {
    expect(evaluate("importance_sampling", overflowing(2)).loss).toBe(-Infinity);
    for (const name of ["ppo", "gspo"]) expect(evaluate(name, overflowing(-2)).loss, name).toBe(Infinity);
  });

  it("counts for nothing where the advantage is 0, in gspo's mask too", () => {
    for (const name of ["importance_sampling", "ppo", "cispo", "gspo"]) {
      const { loss, slopes } = evaluate(name, overflowing(0, 1));
      expect(Math.abs(loss), name).toBe(0);
      expect([...slopes].map(Math.abs), name).toEqual([0]);
    }
  });
});

describe("a configuration", () => {
  it.each<[string, string, Options | Readonly<Record<string, string>>, RegExp]>([
    ["a key of another loss", "ppo", { beta: 1 }, /has no beta.*clip_low_threshold, clip_high_threshold/],
    ["a key where there are none", "importance_sampling", { [LOW]: 1 }, /known: none/],
    ["a missing one", "dro", {}, /needs beta/],
    ["a negative one", "cispo", { [LOW]: -0.1 }, /at least 0/],
    ["a text", "gspo", { [HIGH]: "wide" }, /number/],
    ["no number", "dro", { beta: Number.NaN }, /number/],
    ["bounds the wrong way round", "gspo", { [LOW]: 1.5 }, /clip_low_threshold \(1\.5\) is above/],
  ])("%s is refused", (_, name, given, message) => {
    expect(() => lossOptionsOf(name, TOKEN_LOSSES[name]!, new Map(Object.entries<number | string>(given)))).toThrow(
      message,
    );
  });

  it("has the protocol's thresholds where nothing is said, and takes each alone", () => {
    for (const name of ["ppo", "cispo", "gspo"]) {
      const of = (given: Options) => lossOptionsOf(name, TOKEN_LOSSES[name]!, new Map(Object.entries(given)));
      expect(of({})).toEqual({ [LOW]: 0.8, [HIGH]: 1.2 });
      expect(of({ [LOW]: 0.1 })).toEqual({ [LOW]: 0.1, [HIGH]: 1.2 });
      expect(of({ [HIGH]: 9 })).toEqual({ [LOW]: 0.8, [HIGH]: 9 });
    }
  });
});
