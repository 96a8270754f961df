import { describe, expect, it } from "vitest";
import { judgedPart } from "../../src/rewards/judged-part.ts";

describe("what of a completion is judged", () => {
  const completion = "a try</think>\n<answer>yes</answer>\n";

  it("is all of it, as it stands", () => {
    expect(judgedPart({ prompt: "why?\n<think>", completion }, "completion")).toEqual({
      prompt: "why?\n<think>",
      completion,
    });
  });

  it("or what follows the last </think>, to the prompt without the thinking that it opens", () => {
    expect(judgedPart({ prompt: "why?\n<think>", completion }, "summary")).toEqual({
      prompt: "why?\n",
      completion: "<answer>yes</answer>",
    });
    const twice = judgedPart({ prompt: "<think> is a tag", completion: "</think>one</think>two" }, "summary");
    expect(twice).toEqual({ prompt: "<think> is a tag", completion: "two" });
  });

  it("is nothing where there is no summary", () => {
    expect(judgedPart({ prompt: "why?", completion: "a try" }, "summary")).toBeUndefined();
  });
});
