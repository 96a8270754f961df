import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { rotaryTables } from "../../src/model/decoder.ts";
import { hfConfigOf, parseModelConfig } from "../../src/model/hf-config.ts";
import { rotaryFrequencies } from "../../src/model/rope.ts";

interface RopeCase {
  readonly name: string;
  readonly config: { readonly head_dim: number; readonly rope_parameters: Readonly<Record<string, unknown>> };
  readonly frequencies: readonly number[];
  readonly attentionFactor: number;
}
const golden = JSON.parse(await readFile(new URL("../golden/rope.json", import.meta.url), "utf8")) as {
  cases: RopeCase[];
};

/** A Llama whose positions are those of `keys`. */
const llama = (keys: Readonly<Record<string, unknown>>) =>
  parseModelConfig(
    JSON.stringify({
      model_type: "llama",
      vocab_size: 8,
      hidden_size: 8,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      ...keys,
    }),
    "config.json",
  );

describe("rotaryFrequencies against transformers", () => {
  it.each(golden.cases)("$name: equal to a few units in the last place", ({ config, frequencies, attentionFactor }) => {
    const found = rotaryFrequencies(llama(config));
    expect(found.frequencies).toHaveLength(config.head_dim / 2);
    for (const [i, expected] of frequencies.entries()) {
      expect(Math.abs(found.frequencies[i]! / expected - 1), `pair ${i}`).toBeLessThan(2 ** -21);
    }
    expect(Math.abs(found.attentionFactor - attentionFactor)).toBeLessThan(1e-6);
  });

  it("nearly all of them are the same bits, since far positions multiply a difference", () => {
    const pairs = golden.cases.flatMap(({ config, frequencies }) => {
      const found = rotaryFrequencies(llama(config)).frequencies;
      return frequencies.map((expected, i) => found[i] === expected);
    });
    expect(pairs.filter(Boolean).length / pairs.length).toBeGreaterThan(0.9);
  });
});

describe("RoPE in config.json", () => {
  it.each(golden.cases)("$name: what is written says what was read, in both spellings", ({ config }) => {
    const read = llama(config);
    const { rope_parameters, rope_theta, rope_scaling, ...others } = hfConfigOf(read);
    expect(parseModelConfig(JSON.stringify({ ...others, rope_parameters }), "new")).toEqual(read);
    expect(parseModelConfig(JSON.stringify({ ...others, rope_theta, rope_scaling }), "old")).toEqual(read);
    expect(parseModelConfig(JSON.stringify(hfConfigOf(read)), "both")).toEqual(read);
  });

  it("takes the original context from beside rope_scaling, from in it, or from the context, in this order", () => {
    const rope_scaling = { rope_type: "yarn", factor: 2 };
    const inside = { ...rope_scaling, original_max_position_embeddings: 16 };
    const original = (keys: Readonly<Record<string, unknown>>) => llama(keys).ropeScaling;
    const context = { max_position_embeddings: 64 };
    expect(original({ ...context, rope_scaling })).toMatchObject({ originalContextTokens: 64 });
    expect(original({ ...context, rope_scaling: inside })).toMatchObject({ originalContextTokens: 16 });
    expect(original({ ...context, rope_scaling: inside, original_max_position_embeddings: 8 })).toMatchObject({
      originalContextTokens: 8,
    });
  });

  it("multiplies cosine and sine by YaRN's attention factor", () => {
    const scaled = llama({ rope_scaling: { type: "yarn", factor: 2, attention_factor: 1.5 } });
    expect(rotaryTables(scaled, 1).cos[0]).toBe(1.5);
    expect(rotaryTables(llama({}), 1).cos[0]).toBe(1);
  });
});
