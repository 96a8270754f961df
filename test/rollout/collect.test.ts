import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { judgeCompletions, requirePromptsFit, sampleCompletions } from "../../src/rollout/collect.ts";
import { endOfSequence, stopTokens } from "../../src/tokenizer/stop-tokens.ts";
import { EOS, letterReward, lettersTask, lettersTokenizer, newEngine } from "../train/letters.ts";

const options = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 5, seed: 1, iteration: 0 };
const problems = (...ids: number[]) =>
  ids.map((promptId) => ({ promptId, problem: lettersTask.trainProblem(promptId) }));

describe("sampleCompletions", () => {
  it("returns whole groups in the order of the problems, text without the end token", async () => {
    const completions = await sampleCompletions(newEngine(), lettersTokenizer, problems(4, 2), 3, options);
    expect(completions.map(({ promptId, sample }) => [promptId, sample])).toEqual([
      [4, 0],
      [4, 1],
      [4, 2],
      [2, 0],
      [2, 1],
      [2, 2],
    ]);
    for (const { tokens, samplerLogprobs, text, finishReason } of completions) {
      expect(samplerLogprobs).toHaveLength(tokens.length);
      expect(tokens.at(-1) === EOS).toBe(finishReason === "stop");
      expect(text).toHaveLength(finishReason === "stop" ? tokens.length - 1 : 5);
    }
  });

  it("draws the same for a problem whatever else is in the batch", async () => {
    const alone = await sampleCompletions(newEngine(), lettersTokenizer, problems(2), 3, options);
    const together = await sampleCompletions(newEngine(), lettersTokenizer, problems(4, 2), 3, options);
    expect(together.slice(3)).toEqual(alone);
  });

  it("draws differently in another iteration", async () => {
    const first = await sampleCompletions(newEngine(), lettersTokenizer, problems(2), 8, options);
    const second = await sampleCompletions(newEngine(), lettersTokenizer, problems(2), 8, { ...options, iteration: 1 });
    expect(second.map(({ text }) => text)).not.toEqual(first.map(({ text }) => text));
  });
});

describe("stopTokens", () => {
  const engine = (eosTokenIds: number[]) => newEngine({ eosTokenIds });

  it("are the tokenizer's end of sequence and those of the model's files, each once", () => {
    expect(stopTokens(engine([]), lettersTokenizer)).toEqual([EOS]);
    expect(stopTokens(engine([2, EOS, 3]), lettersTokenizer)).toEqual([EOS, 2, 3]);
    expect(stopTokens(engine([2]), { ...lettersTokenizer, eosTokenId: null })).toEqual([2]);
  });

  it("end a completion, whichever of them comes first", async () => {
    const long = { ...options, maxCompletionTokens: 12 };
    const completions = await sampleCompletions(engine([2]), lettersTokenizer, problems(4, 2), 12, long);
    const lasts = completions.flatMap(({ tokens, finishReason }) => (finishReason === "stop" ? [tokens.at(-1)] : []));
    expect(new Set(lasts)).toEqual(new Set([EOS, 2]));
    for (const { tokens } of completions) expect(tokens.slice(0, -1).some((id) => id === EOS || id === 2)).toBe(false);
  });
});

describe("judgeCompletions", () => {
  it("adds weighted scores, passes over abstentions, and is null where all abstain", async () => {
    const completions = await sampleCompletions(newEngine(), lettersTokenizer, problems(0), 6, options);
    const fixed = (name: string, weight: number, score: (text: string) => number | null) => ({
      weight,
      reward: { name, judge: ({ completion }: { completion: string }) => ({ score: score(completion), reason: name }) },
    });
    const even = (text: string) => text.length % 2 === 0;
    const rewards = [fixed("half", 0.5, () => 2), fixed("even", 3, (text) => (even(text) ? 1 : null))];
    for (const rollout of await judgeCompletions(completions, lettersTask, rewards)) {
      expect(rollout.reward).toBe(even(rollout.text) ? 4 : 1);
      expect(rollout.rewards.half).toEqual({ score: 2, reason: "half" });
    }
    const silent = await judgeCompletions(completions, lettersTask, [fixed("silent", 1, () => null)]);
    expect(silent.map(({ reward }) => reward)).toEqual(Array(6).fill(null));
  });

  it("gives rewards the prompt, the text and the problem's columns, and keeps the task's verdict beside them", async () => {
    const [completion] = await sampleCompletions(newEngine(), lettersTokenizer, problems(1), 1, options);
    const [rollout] = await judgeCompletions([{ ...completion!, text: "b" }], lettersTask, [letterReward]);
    expect(rollout!.reward).toBe(1);
    expect(rollout!.verdict.solved).toBe(true);
  });
});

describe("what collecting refuses", () => {
  it("a tokenizer without an end token", () => {
    const endless = { ...lettersTokenizer, eosTokenId: null };
    expect(() => endOfSequence(endless)).toThrow(ConfigError);
    expect(() => stopTokens(newEngine(), endless)).toThrow(ConfigError);
  });

  it("an empty prompt, and one that leaves no room for a completion", () => {
    const check = (prompt: string) => {
      const problem = { ...lettersTask.trainProblem(0), prompt };
      requirePromptsFit(newEngine(), lettersTokenizer, [{ promptId: 3, problem }], 5);
    };
    expect(() => check("")).toThrow("The prompt of problem 1 (number 3 of the data) is empty");
    expect(() => check("1".repeat(16))).toThrow("shorten the prompt template");
    expect(() => check("1".repeat(11))).not.toThrow();
  });
});
