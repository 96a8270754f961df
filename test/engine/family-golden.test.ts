/** The families whose layers differ from each other, beside transformers. */

import { describe, expect, it } from "vitest";
import {
  ADAPTED_FAMILIES,
  expectAdapter,
  expectGradients,
  expectSampling,
  expectScores,
  FAMILY_CASES,
  loadCase,
  versions,
} from "./golden-families.ts";

describe.each(FAMILY_CASES)(`$model, like transformers ${versions.transformers}`, (one) => {
  it("has as many parameters and the same log-probabilities, wherever a text is cut into prompt and completion", async () => {
    const { values } = await loadCase(one);
    expect([...values.values()].reduce((sum, { length }) => sum + length, 0)).toBe(one.parameterCount);
    await expectScores(one);
  });

  it("has the same loss and gradient of every tensor", async () => {
    await expectGradients(one);
  });

  it("samples over its cache with the log-probabilities that it scores, in a list and in pieces", async () => {
    await expectSampling(one);
  });
});

describe.each(ADAPTED_FAMILIES)("an adapter on %s", (model) => {
  it("is the merged model, in scoring and in sampling, over a base in f32 and in 4 bits; and it learns", async () => {
    await expectAdapter(model);
  });
});
