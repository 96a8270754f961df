import { describe, expect, it } from "vitest";
import {
  type CorrectionBounds,
  correctionRatios,
  type SamplerCorrection,
} from "../../src/losses/sampler-correction.ts";
import { entropyThreshold, quantile, sequenceDrift } from "../../src/losses/token-masks.ts";

describe("quantile", () => {
  it("interpolates between neighbours, in any order of values", () => {
    expect(quantile([3, 1, 2, 4], 0.5)).toBe(2.5);
    expect(quantile([4, 3, 2, 1], 0)).toBe(1);
    expect(quantile([1, 2, 3, 4], 1)).toBe(4);
    expect(quantile([7], 0.3)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it("falls on a value where the rank is whole, in single precision too", () => {
    // 0.8 · 10 is not 8 in double precision once 0.8 was rounded to single; torch.quantile has 8.
    const values = Array.from({ length: 11 }, (_, i) => i / 8);
    expect(quantile(values, 1 - 0.2)).toBe(1);
  });
});

describe("entropyThreshold", () => {
  it("keeps the share that is asked for, at 0 the highest alone, at 1 all", () => {
    const entropies = [0.5, 2, 1, 0.25, 1.5];
    const kept = (share: number) => entropies.filter((entropy) => entropy >= entropyThreshold(entropies, share));
    expect(kept(0)).toEqual([2]);
    expect(kept(0.5)).toEqual([2, 1, 1.5]);
    expect(kept(1)).toEqual(entropies);
    expect(entropyThreshold([], 0.2)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("sequenceDrift", () => {
  it("is the mean fall of log-probability since sampling", () => {
    expect(sequenceDrift([-3, -1], [-1, -1])).toBe(1);
    expect(sequenceDrift([], [])).toBe(0);
  });
});

describe("correctionRatios", () => {
  const old = [-1, -2, -3];
  const sampler = [-1 - Math.LN2, -2 + Math.LN2, -3];
  const ratios = (mode: SamplerCorrection, bounds?: CorrectionBounds, mask?: readonly number[]) =>
    [...correctionRatios(mode, old, sampler, bounds, mask)].map((ratio) => Math.round(ratio * 1e9) / 1e9);

  it("is 1 without correction, else π_old/π_sampler, cut or zero outside the bounds", () => {
    expect(ratios("none")).toEqual([1, 1, 1]);
    expect(ratios("token_truncate")).toEqual([2, 0.5, 1]);
    expect(ratios("token_truncate", { max: 1.5, min: 0.75 })).toEqual([1.5, 0.75, 1]);
    expect(ratios("token_mask", { max: 1.5 })).toEqual([0, 0.5, 1]);
    expect(ratios("token_mask", { max: null, min: 0.75 })).toEqual([2, 0, 1]);
  });

  it("multiplies the tokens of a sequence, masked ones left out", () => {
    expect(ratios("sequence_truncate")).toEqual([1, 1, 1]);
    expect(ratios("sequence_truncate", { max: 1.5 }, [1, 0, 1])).toEqual([1.5, 1.5, 1.5]);
    expect(ratios("sequence_mask", { max: 1.5 }, [1, 0, 1])).toEqual([0, 0, 0]);
  });

  it("takes a token that the sampler could not score for right", () => {
    expect([...correctionRatios("token_mask", [-1], [Number.NaN], { max: 2 })]).toEqual([1]);
  });
});
