import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { drawTokens } from "../../src/compute/draw-token.ts";
import { adjusted } from "../../src/compute/logit-rules.ts";
import { drawToken } from "./draws.ts";

const golden = JSON.parse(await readFile(new URL("../golden/sampler.json", import.meta.url), "utf8"));

// biome-ignore lint/suspicious/noExplicitAny: the golden file's shape is its script's
it.each<[number, any]>(golden.cases.map((golden: unknown, i: number) => [i, golden]))(
  "biases, penalties and min-p do what transformers' processors do, case %i",
  (_, { logits, prompt, completion, bias, adjusted: expected, minP, kept, ...penalties }) => {
    const counts = new Map<number, number>();
    for (const token of completion) counts.set(token, (counts.get(token) ?? 0) + 1);
    const rules = { bias: new Map<number, number>(bias), promptTokens: new Set<number>(prompt), counts, ...penalties };
    const given = Float32Array.from(logits);
    const own = given.slice();
    for (const [token, logit] of adjusted((id) => given[id]!, rules)) own[token] = logit;
    expect([...given]).toEqual([...Float32Array.from(logits)]);
    for (const [token, value] of own.entries()) expect(value).toBeCloseTo(expected[token], 5);
    const free = { temperature: 1, topP: 1, topK: 0, minP };
    const { restricted } = drawToken(own, 0.5, free);
    expect([...restricted!.kept].sort((a, b) => a - b)).toEqual(kept);
    const drawn = Array.from({ length: 200 }, (_, i) => drawToken(own, i / 200, free).token);
    expect(drawn.filter((token) => !kept.includes(token))).toEqual([]);
    // The log-probability is that of the logits as they came, at the temperature that was asked for.
    const request = { row: 0, u: 0.3, options: free, excluded: [], topLogprobs: 2, rules, logprobTemperature: 2 };
    const [draw] = drawTokens(given, given.length, [request]);
    const total = given.reduce((sum, logit) => sum + Math.exp(logit / 2), 0);
    expect(draw!.logprob).toBeCloseTo(given[draw!.token]! / 2 - Math.log(total), 6);
    expect(draw!.top![0]!.logprob).toBeGreaterThanOrEqual(draw!.logprob);
  },
);
