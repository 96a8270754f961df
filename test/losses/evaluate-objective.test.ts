import { describe, expect, it } from "vitest";
import { evaluated, golden, relativeGap, stepOf, titledCases } from "./trl-steps.ts";

const { lossRelative, gradientRelative } = golden.tolerance;

describe(`a step as TRL ${golden.versions.trl} computes it`, () => {
  it.each(titledCases)("%s", (_, c) => {
    const step = stepOf(c);
    expect(relativeGap([step.advantages.advantages], [c.advantages])).toBeLessThan(lossRelative);
    if (c.correction) {
      const ratios = step.rows.map(({ correction }) => correction!);
      expect(relativeGap(ratios, c.correction)).toBeLessThan(lossRelative);
    }
    const value = evaluated(c);
    expect(Math.abs(value.loss / c.loss - 1)).toBeLessThan(lossRelative);
    const slopes = value.rows.map((row) => row.slopes);
    expect(relativeGap(slopes, c.gradient)).toBeLessThan(gradientRelative);
    expect(value.entropyWeights === undefined).toBe(c.entropyGradient === undefined);
    if (c.entropyGradient) {
      const negative = value.entropyWeights!.map((row) => row.map((weight) => -weight));
      expect(relativeGap(negative, c.entropyGradient)).toBeLessThan(gradientRelative);
    }
  });
});
