import { describe, expect, it } from "vitest";
import * as errors from "../src/errors.ts";

describe("error classes", () => {
  it("that a user can cause are AhaErrors; defects are not", () => {
    const classes = Object.entries(errors).filter(([, value]) => value.prototype instanceof Error);
    const own = classes.filter(([, value]) => value === errors.AhaError || value.prototype instanceof errors.AhaError);
    const defects = classes.filter((entry) => !own.includes(entry)).map(([name]) => name);
    expect(defects.sort()).toEqual(["GraphError", "RuntimeFailure"]);
    expect(own.length).toBeGreaterThan(6);
  });

  it("carry their class's name and the message", () => {
    for (const [name, value] of Object.entries(errors)) {
      if (!(value.prototype instanceof Error)) continue;
      const error =
        value === errors.EndpointError
          ? new errors.EndpointError("busy", "what came")
          : new (value as typeof errors.AhaError)("what came");
      expect([error.name, error.message, `${error}`]).toEqual([name, "what came", `${name}: what came`]);
    }
  });
});

describe("nearestName", () => {
  const names = ["learningRate", "groupSize", "klCoef", "temperature", "seed"];

  it.each([
    ["learning_rate", "learningRate"],
    ["LearningRate", "learningRate"],
    ["groupsize", "groupSize"],
    ["temprature", "temperature"],
    ["sede", "seed"],
    ["klCoeff", "klCoef"],
  ])("of %s is %s", (word, expected) => {
    expect(errors.nearestName(word, names)).toBe(expected);
  });

  it.each(["beta", "banana", "", "x".repeat(40)])("is undefined for %j, which is near nothing", (word) => {
    expect(errors.nearestName(word, names)).toBeUndefined();
  });

  it("is the first of equally near names, and undefined where there are none", () => {
    expect(errors.nearestName("bat", ["cat", "rat"])).toBe("cat");
    expect(errors.nearestName("bat", [])).toBeUndefined();
  });
});
