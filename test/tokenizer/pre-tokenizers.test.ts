/** Pre-tokenizers, normalizers and added tokens against Python's `tokenizers` (test/golden/make_pre_tokenizer_golden.py). */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/errors.ts";
import { HuggingFaceTokenizer } from "../../src/tokenizer/huggingface.ts";
import { createNormalizer } from "../../src/tokenizer/normalizers.ts";
import { createPreTokenizer } from "../../src/tokenizer/pre-tokenizers.ts";

type Cases<T> = readonly (readonly [text: string, expected: T])[];
const golden = JSON.parse(readFileSync(new URL("../golden/pre-tokenizers.json", import.meta.url), "utf8")) as {
  pre_tokenizers: { config: object; cases: Cases<string[]> }[];
  normalizers: { config: object; cases: Cases<string> }[];
  added: { tokenizer: object; cases: Cases<number[]> }[];
};

describe("pre-tokenizers", () => {
  it.each(golden.pre_tokenizers.map((one) => [JSON.stringify(one.config), one] as const))("%s", (_, one) => {
    const cut = createPreTokenizer(one.config);
    for (const [text, expected] of one.cases) {
      const pieces = cut({ text, isFirst: true }).map((piece) => piece.text);
      expect(pieces, JSON.stringify(text)).toEqual(expected);
    }
  });

  it("refuse by name a kind that is not here", () => {
    expect(() => createPreTokenizer({ type: "UnicodeScripts" })).toThrow(/pre_tokenizer "UnicodeScripts"/);
    expect(() => createPreTokenizer({ type: "Punctuation", behavior: "scattered" })).toThrow(/behavior/);
  });
});

describe("normalizers", () => {
  it.each(golden.normalizers.map((one) => [JSON.stringify(one.config), one] as const))("%s", (_, one) => {
    const normalize = createNormalizer(one.config)!;
    for (const [text, expected] of one.cases) expect(normalize(text), JSON.stringify(text)).toBe(expected);
  });
});

describe("added tokens", () => {
  it.each(golden.added)("are found where Python finds them (normalizer %#)", ({ tokenizer, cases }) => {
    const own = new HuggingFaceTokenizer({ "tokenizer.json": JSON.stringify(tokenizer) }, "golden");
    for (const [text, ids] of cases) expect([...own.encode(text)], JSON.stringify(text)).toEqual(ids);
  });
});

describe("tokens that stand only beside tokenizer.json", () => {
  const base = (golden.added[0]!.tokenizer as { added_tokens: object[]; model: { vocab: Record<string, number> } })!;
  const plain = { ...base, added_tokens: [] };
  const size = Object.keys(base.model.vocab).length;
  const load = (files: Record<string, object>) =>
    new HuggingFaceTokenizer(
      Object.fromEntries(
        Object.entries({ "tokenizer.json": plain, ...files }).map(([name, value]) => [name, JSON.stringify(value)]),
      ) as never,
      "files",
    );

  it("added_tokens.json: with the next ids, in the order of theirs; not special", () => {
    const tokenizer = load({ "added_tokens.json": { "<two>": 901, "<one>": 900 } });
    expect([...tokenizer.encode("<one><two>")]).toEqual([size, size + 1]);
    expect(tokenizer.decode([size])).toBe("<one>");
    expect(tokenizer.vocabSize).toBe(size + 2);
  });

  it("added_tokens_decoder: before added_tokens.json, with its properties", () => {
    const tokenizer = load({
      "tokenizer_config.json": {
        added_tokens_decoder: { [size]: { content: "<sp>", special: true, lstrip: true } },
      },
      "added_tokens.json": { "<never>": size },
    });
    const [space] = tokenizer.encode("  <sp>");
    expect(space).toBe(size);
    expect(tokenizer.decode([size])).toBe("");
    expect(tokenizer.encode("<never>").length).toBeGreaterThan(1);
  });

  it("extra_special_tokens, a list or by name, and additional_special_tokens: special", () => {
    for (const config of [
      { extra_special_tokens: ["<e>"] },
      { extra_special_tokens: { image_token: "<e>" } },
      { additional_special_tokens: [{ content: "<e>" }] },
      { image_token: "<e>" },
    ]) {
      const tokenizer = load({ "tokenizer_config.json": config });
      expect([...tokenizer.encode("<e>")], JSON.stringify(config)).toEqual([size]);
      expect(tokenizer.decode([size])).toBe("");
    }
  });

  it("a named token of the vocabulary is whole and special; one that is nowhere is refused", () => {
    const tokenizer = load({ "tokenizer_config.json": { unk_token: "<unk>" } });
    expect([...tokenizer.encode("a<unk>")].at(-1)).toBe(0);
    expect(() => load({ "tokenizer_config.json": { eos_token: "<none>" } })).toThrow(CheckpointError);
  });
});
