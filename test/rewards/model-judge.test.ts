import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readVerdict } from "../../src/rewards/grader/verdict.ts";
import { createReward } from "../../src/rewards/on-node.ts";
import type { BatchReward } from "../../src/rewards/reward.ts";
import { type Asked, chatReply, type FakeEndpoint, fakeEndpoint, type Reply } from "../endpoint/server.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function open(
  reply: (asked: Asked, index: number) => Reply,
  options = {},
): Promise<{ server: FakeEndpoint; judge: BatchReward }> {
  const server = await fakeEndpoint(reply);
  closing.push(server.close);
  return { server, judge: judgeAt(server.baseUrl, options) };
}

function judgeAt(baseUrl: string, options = {}): BatchReward {
  const given = { baseUrl, model: "m", attempts: 1, cacheDirectory: false, ...options };
  return createReward("judge", given) as BatchReward;
}

const input = (completion: string, columns = {}) => ({ prompt: "Say hello.", completion, columns });

describe("judge", () => {
  it("scores the summary between the judge's worst and best, with its words as the reason", async () => {
    const { server, judge } = await open(() => chatReply("Friendly.\nSCORE: 8"));
    expect(await judge.judgeBatch([input("<think>secret plan</think>\nHello!")])).toEqual([
      { score: 0.8, reason: "8: Friendly." },
    ]);
    const [system, user] = server.asked[0]!.body.messages;
    expect(system!.content).toContain("how helpful the answer is");
    expect(user!.content).toContain("Hello!");
    expect(user!.content).toContain("Say hello.");
    expect(user!.content).not.toContain("secret plan");
  });

  it("takes rubric, range, form and part from its options, and columns into the rubric", async () => {
    const options = {
      rubric: "Is it {answer}? {nothing}",
      minScore: -1,
      maxScore: 1,
      verdict: "json",
      part: "completion",
    };
    const { server, judge } = await open(() => chatReply('{"reason": "so so", "score": 0}'), options);
    expect(await judge.judgeBatch([input("<think>plan</think>Hi", { answer: "{b}", b: "x" })])).toEqual([
      { score: 0.5, reason: "0: so so" },
    ]);
    const { messages } = server.asked[0]!.body;
    expect(messages[0]!.content).toContain("Is it {b}? {nothing}");
    expect(messages[1]!.content).toContain("plan");
  });

  it("abstains from what has no verdict, and judges the others", async () => {
    const { judge } = await open(({ body }) =>
      chatReply(body.messages[1]!.content.includes("good") ? "SCORE: 10" : "Nice."),
    );
    const results = await judge.judgeBatch([input("good"), input("bad"), input("good \ud800")]);
    expect(results.map(({ score }) => score)).toEqual([1, null, 1]);
    expect(results[1]!.reason).toBe("the judge gave no verdict: its last line is not SCORE: and a number");
  });

  it("that is down abstains with the reason, and is not asked for each completion of the batch", async () => {
    const { server, judge } = await open(() => ({ status: 503, body: "starting" }), { concurrency: 2 });
    const results = await judge.judgeBatch(Array.from({ length: 20 }, (_, i) => input(`text ${i}`)));
    expect(results.every(({ score }) => score === null)).toBe(true);
    expect(results[0]!.reason).toMatch(/the judge cannot be asked: .*503/);
    expect(results[19]!.reason).toMatch(/the judge was lost while this batch was judged: .*503/);
    expect(server.asked.length).toBeLessThanOrEqual(3);
  });

  it("gives the same scores again from its cache, and goes on with the tokens that it had spent", async () => {
    const cacheDirectory = mkdtempSync(join(tmpdir(), "aha-judge-"));
    closing.push(() => rmSync(cacheDirectory, { recursive: true, force: true }));
    const options = { cacheDirectory, maxTokens: 30, concurrency: 1 };
    const { server, judge } = await open((_, index) => chatReply(`SCORE: ${index}`), options);
    const inputs = ["a", "b", "c"].map((text) => input(text));
    const first = await judge.judgeBatch(inputs);
    expect(first.map(({ score }) => score)).toEqual([0, 0.1, null]);
    expect(first[2]!.reason).toMatch(/limit of 30 tokens is used up/);
    const resumed = judgeAt(server.baseUrl, options);
    await resumed.open!(judge.state!());
    expect(await resumed.judgeBatch(inputs)).toEqual(first);
    expect(server.asked).toHaveLength(2);
    await expect(resumed.open!("{}")).rejects.toThrow(/state in the checkpoint/);
  });

  it("refuses options that make no sense", () => {
    expect(() => createReward("judge")).toThrow(/baseUrl: is missing.*model: is missing/);
    expect(() => judgeAt("nowhere")).toThrow(/baseUrl: expected an http or https address/);
    expect(() => judgeAt("http://x/v1", { minScore: 5, maxScore: 5 })).toThrow(/must be below maxScore/);
    expect(() => judgeAt("http://x/v1", { maxCost: 5 })).toThrow(/without prices/);
    expect(() => judgeAt("http://x/v1", { apiKey: "sk" })).toThrow(/apiKey: unknown key; known here: baseUrl/);
  });
});

describe("a verdict", () => {
  const marker = { minScore: 0, maxScore: 10, verdict: "marker" } as const;
  const json = { ...marker, verdict: "json" } as const;
  it.each([
    ["Good.\n**SCORE: 7.5**", marker, 7.5],
    ["<think>SCORE: 1</think>\nscore: 3", marker, 3],
    ['```json\n{"score": 4}\n```', json, 4],
  ])("is read from %j", (answer, form, value) => {
    expect(readVerdict(answer, form)).toMatchObject({ value });
  });

  it.each([
    ["", marker],
    ["SCORE: 9\nOn second thought.", marker],
    ["SCORE: 11", marker],
    ["SCORE: -1", marker],
    ["SCORE: 8/10", marker],
    ["SCORE: eight", marker],
    ["SCORE: 1e1", marker],
    ["8", marker],
    ["SCORE: 8", json],
    ['{"score": "8"}', json],
    ['{"score": null}', json],
    ['{"score": 1e400}', json],
    ["[8]", json],
    ["null", json],
  ])("is not read from %j", (answer, form) => {
    expect(readVerdict(answer, form)).toHaveProperty("fault");
  });
});
