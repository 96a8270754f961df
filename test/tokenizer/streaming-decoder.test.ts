import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { buildCountdownCompact } from "../../src/tokenizer/build.ts";
import type { HuggingFaceTokenizer } from "../../src/tokenizer/huggingface.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { StreamingDecoder } from "../../src/tokenizer/streaming-decoder.ts";

const NAMES = ["byte-level", "metaspace", "characters", "countdown-compact"];
const tokenizers = new Map<string, HuggingFaceTokenizer>();
beforeAll(async () => {
  for (const name of NAMES) {
    const directory = fileURLToPath(new URL(`../golden/tokenizers/${name}`, import.meta.url));
    tokenizers.set(name, await loadTokenizer(directory));
  }
});

/** The pieces of `tokens`, the last one what `end` gives. */
function stream(tokenizer: HuggingFaceTokenizer, tokens: Iterable<number>, keepSpecial = false): string[] {
  const decoder = new StreamingDecoder(tokenizer, { keepSpecial });
  const pieces = Array.from(tokens, (token) => decoder.push(token));
  return [...pieces, decoder.end()];
}

describe("StreamingDecoder", () => {
  it("gives a character out with its last byte, and nothing before", () => {
    const tokenizer = tokenizers.get("byte-level")!;
    for (const character of ["😀", "方", "ï"]) {
      const tokens = tokenizer.encode(character);
      const pieces = stream(tokenizer, tokens);
      expect(pieces.slice(0, -2).join("")).toBe("");
      expect(pieces.slice(-2)).toEqual([character, ""]);
    }
    expect(tokenizer.encode("😀").length).toBeGreaterThan(2);
  });

  it.each(NAMES)("%s: the pieces joined are the decoded text, each of them whole characters", (name) => {
    const tokenizer = tokenizers.get(name)!;
    const random = new Random(7, "streams");
    const alphabet = [..."ab  \n[]+=19é方程😀👩‍👧,.", "<|im_end|>", "<think>", "Using the numbers", "▁", "</s>"];
    for (let i = 0; i < 60; i++) {
      const text = Array.from({ length: 1 + random.integer(60) }, () => random.choice(alphabet)).join("");
      const tokens = tokenizer.encode(text);
      for (const keepSpecial of [false, true]) {
        const pieces = stream(tokenizer, tokens, keepSpecial);
        expect(pieces.join(""), JSON.stringify(text)).toBe(tokenizer.decode(tokens, { keepSpecial }));
        for (const piece of pieces) {
          expect(piece, JSON.stringify(text)).not.toMatch(/\p{Surrogate}/u);
          expect(piece).not.toContain("\uFFFD");
        }
      }
    }
  });

  it.each(["byte-level", "metaspace"])("%s: random tokens, broken bytes among them, lose nothing", (name) => {
    const tokenizer = tokenizers.get(name)!;
    const random = new Random(3, "tokens");
    for (let i = 0; i < 100; i++) {
      const tokens = Array.from({ length: 1 + random.integer(120) }, () => random.integer(tokenizer.vocabSize + 5));
      expect(stream(tokenizer, tokens).join("")).toBe(tokenizer.decode(tokens));
    }
  });

  it("gives an incomplete last character out at the end, and then begins anew", () => {
    const tokenizer = tokenizers.get("byte-level")!;
    const tokens = tokenizer.encode("a😀");
    const decoder = new StreamingDecoder(tokenizer);
    expect(Array.from(tokens.subarray(0, -1), (token) => decoder.push(token)).join("")).toBe("a");
    expect(decoder.end()).toBe("\uFFFD");
    expect(decoder.end()).toBe("");
    expect(Array.from(tokens, (token) => decoder.push(token)).join("")).toBe("a😀");
  });

  it("keeps the spaces between words around special tokens, however many there are", () => {
    const tokenizer = tokenizers.get("metaspace")!;
    const end = tokenizer.encode("</s>")[0]!;
    const words = [...tokenizer.encode("numbers")];
    const tokens = [...words, ...Array<number>(100).fill(end), ...words];
    expect(stream(tokenizer, tokens).join("")).toBe("numbers numbers");
  });

  it("decodes a window, not the whole text again for each token", () => {
    const tokenizer = buildCountdownCompact();
    let decoded = 0;
    const counting = {
      decode: (tokens: ArrayLike<number>, options?: { keepSpecial?: boolean }) => {
        decoded += tokens.length;
        return tokenizer.decode(tokens, options);
      },
    };
    const decoder = new StreamingDecoder(counting);
    for (let i = 0; i < 4_000; i++) decoder.push(3 + (i % 100));
    expect(decoded).toBeLessThan(4_000 * 40);
  });
});
