/** What a tokenizer knows of single tokens: their bytes, and how few of them a text may have. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { longestToken } from "../../src/tokenizer/fewest-tokens.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { tokenBytesBy } from "../../src/tokenizer/token-bytes.ts";

const GOLDEN = join(import.meta.dirname, "../golden/tokenizers");
const NAMES = ["byte-level", "characters", "llama-like", "metaspace", "qwen-like", "countdown-compact", "r1-compact"];
const TEXTS = [
  "Hello world, 2 + 2 = 4.",
  " two  spaces",
  "tab\tand\nline\n\n",
  "Zoë naïve 漢字 🦜🧑‍🚀 ½",
  "a".repeat(300),
];

const text = (bytes: Uint8Array[]) => new TextDecoder().decode(Buffer.concat(bytes));

describe.each(NAMES)("the tokenizer %s", (name) => {
  it("has tokens whose bytes, one after another, are the text", async () => {
    const tokenizer = await loadTokenizer(join(GOLDEN, name));
    for (const given of TEXTS) {
      const tokens = tokenizer.encode(given);
      const joined = text(Array.from(tokens, (token) => tokenizer.tokenBytes(token)));
      const decoded = tokenizer.decode(tokens, { keepSpecial: true });
      // SentencePiece puts a space before a text, which its decoder takes away again.
      expect(name === "metaspace" ? joined.slice(1) : joined).toBe(decoded);
    }
    expect(tokenizer.tokenBytes(999_999)).toEqual(new Uint8Array(0));
  });

  it("knows for certain only what is so", async () => {
    const tokenizer = await loadTokenizer(join(GOLDEN, name));
    const random = new Random(3, "fewest tokens");
    const texts = Array.from({ length: 60 }, () =>
      Array.from({ length: 1 + random.integer(30) }, () => random.choice([...TEXTS, "  ", "\n", "e\u0301"])).join(""),
    );
    for (const given of texts) {
      const count = tokenizer.encode(given).length;
      expect(tokenizer.hasMoreTokens(given, count), given).toBe(false);
    }
    expect(tokenizer.hasMoreTokens("xyz".repeat(100_000), 1000)).toBe(true);
    expect(tokenizer.hasMoreTokens(" ".repeat(1_000_000), 1)).toBe(false);
  });
});

describe("bytes of a token", () => {
  it("are those of a part of a character", async () => {
    const tokenizer = await loadTokenizer(join(GOLDEN, "byte-level"));
    const tokens = [...tokenizer.encode("🦜")];
    expect(tokens.length).toBeGreaterThan(1);
    expect(Buffer.concat(tokens.map((token) => tokenizer.tokenBytes(token))).toString()).toBe("🦜");
  });

  it("have SentencePiece's space", async () => {
    const tokenizer = await loadTokenizer(join(GOLDEN, "metaspace"));
    const [first] = tokenizer.encode("the");
    expect(text([tokenizer.tokenBytes(first!)])).toMatch(/^ /);
  });

  it.each([
    [null, "a", "a"],
    [{ type: "WordPiece", prefix: "##" }, "##ing", "ing"],
    [{ type: "WordPiece", prefix: "##" }, "go", " go"],
    [{ type: "BPEDecoder", suffix: "</w>" }, "go</w>", "go "],
    [{ type: "Metaspace", replacement: "▁" }, "▁go", " go"],
    [{ type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] }, "<0x41>", "A"],
  ])("by the decoder %j: %s is %j", (decoder, spelling, expected) => {
    expect(text([tokenBytesBy(decoder)!(spelling)])).toBe(expected);
  });

  it("are not guessed where a decoder is not known", () => {
    expect(tokenBytesBy({ type: "CTC" })).toBeUndefined();
    expect(tokenBytesBy({ type: "Replace", pattern: { Regex: "x+" }, content: "" })).toBeUndefined();
    expect(tokenBytesBy("ByteLevel")).toBeUndefined();
  });
});

describe("the longest token", () => {
  const bpe = { model: { type: "BPE" } };
  it.each([
    ["of BPE", bpe, 5],
    ["where characters are composed", { ...bpe, normalizer: { type: "NFC" } }, 20],
    [
      "where a space is spelled",
      { ...bpe, normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" } },
      5,
    ],
  ])("bounds a text %s", (_, json, expected) => {
    expect(longestToken(json, ["a", "▁abcde", undefined, "   \n\n\n   "])).toBe(expected);
  });

  it.each([
    ["an unknown word is one token", { model: { type: "WordPiece" } }],
    ["unknown characters are fused", { model: { type: "BPE", fuse_unk: true } }],
    ["accents are stripped", { ...bpe, normalizer: { type: "StripAccents" } }],
    [
      "text is replaced",
      {
        ...bpe,
        normalizer: { type: "Sequence", normalizers: [{ type: "Replace", pattern: { String: "ab" }, content: "" }] },
      },
    ],
    [
      "text is dropped",
      { ...bpe, pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Split", behavior: "Removed" }] } },
    ],
  ])("does not where %s", (_, json) => {
    expect(longestToken(json, ["abc"])).toBeUndefined();
  });
});
