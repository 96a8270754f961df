import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { LogitAdjuster } from "../../src/engine/local/adjust-logits.ts";
import { drawToken } from "../../src/engine/local/draw.ts";

const golden = JSON.parse(await readFile(new URL("../golden/sampler.json", import.meta.url), "utf8"));

// biome-ignore lint/suspicious/noExplicitAny: the golden file's shape is its script's
it.each<[number, any]>(golden.cases.map((golden: unknown, i: number) => [i, golden]))(
  "biases, penalties and min-p do what transformers' processors do, case %i",
  (_, { logits, prompt, completion, bias, adjusted, minP, kept, ...penalties }) => {
    const adjuster = new LogitAdjuster(Int32Array.from(prompt), { bias: new Map(bias), ...penalties });
    for (const token of completion) adjuster.add(token);
    const given = Float32Array.from(logits);
    const own = adjuster.adjusted(given);
    expect([...given]).toEqual([...Float32Array.from(logits)]);
    for (const [token, value] of own.entries()) expect(value).toBeCloseTo(adjusted[token], 5);
    const free = { temperature: 1, topP: 1, topK: 0, minP };
    const { restricted } = drawToken(own, 0.5, free);
    expect([...restricted!.kept].sort((a, b) => a - b)).toEqual(kept);
    const drawn = Array.from({ length: 200 }, (_, i) => drawToken(own, i / 200, free).token);
    expect(drawn.filter((token) => !kept.includes(token))).toEqual([]);
  },
);
