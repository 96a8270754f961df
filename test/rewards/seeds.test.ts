/**
 * The five samples of the seeds' notebook ("Reproduce DeepSeek R1 'Aha moment'", Mini-R1), with the scores that its
 * cells assert.
 */

import { describe, expect, test } from "vitest";
import { createReward } from "../../src/rewards/registry.ts";

const PROMPT = "Let me solve this step by step.\n<think>";

const samples = {
  correct_sample_1: `We need to find an equation using the numbers 19, 36, 55, and 7
exactly once, with basic arithmetic operations, that equals 65. One possible
combination is 55 + 36 - 19 + 7... </think>
<answer> 55 + 36 - 7 - 19 </answer>`,
  correct_sample_2: ` ... </think>
<answer> 55 + 36 - 7 - 19 </answer>`,
  wrong_format: `User: Using the numbers [19, 36, 55, 7], create an equation that equals 65.`,
  wrong_format_2: `To find the equation that equals 79 using the numbers 95, 78, 6, 88, I'll start by adding 88 and 95:
95 + 88 = 183
Now, let's subtract 104 from 183 to get 79:
183 - 104 = 79
<think> 183 - 104 = 79 </think><think> 183 - 104 = 79 </think><answer> 183 - 104 = 79 </answer>`,
  wrong_result: ` ... </think>
<answer> 55 + 36 - 7 - 18 </answer>`,
};

describe.each([
  ["format", [1, 1, 0, 0, 1]],
  ["equation", [1, 1, 0, 0, 0]],
] as const)("%s", (name, expected) => {
  test.each(Object.keys(samples).map((sample, i) => [sample, expected[i]] as const))(
    "%s scores %d",
    (sample, score) => {
      const columns = { nums: [19, 36, 55, 7], target: "65" };
      const completion = samples[sample as keyof typeof samples];
      expect(createReward(name).judge({ prompt: PROMPT, completion, columns }).score).toBe(score);
    },
  );
});
