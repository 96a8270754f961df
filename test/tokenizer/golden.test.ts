import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { DataError } from "../../src/errors.ts";
import { BUILT_TOKENIZERS, buildTokenizer } from "../../src/tokenizer/build.ts";
import type { HuggingFaceTokenizer } from "../../src/tokenizer/huggingface.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import type { Message } from "../../src/tokenizer/tokenizer.ts";

interface EncodingCase {
  readonly tokenizer: string;
  readonly text: string;
  readonly ids: number[];
  readonly idsWithSpecial: number[];
  readonly decoded: string;
  readonly decodedKeepSpecial: string;
  readonly offsets: [number, number][];
}
type Rendering = string | { readonly error: string };
interface ChatCase {
  readonly tokenizer: string;
  readonly messages: Message[];
  readonly variables?: Record<string, unknown>;
  readonly tools?: unknown[];
  readonly template?: string;
  readonly plain: Rendering;
  readonly generation: Rendering;
  readonly continued: Rendering;
}

const goldenPath = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
const golden = JSON.parse(await readFile(goldenPath("tokenizers.json"), "utf8")) as {
  encodings: EncodingCase[];
  chats: ChatCase[];
};
const NAMES = ["countdown-compact", "r1-compact", "characters", "byte-level", "metaspace", "qwen-like", "llama-like"];
const tokenizers = new Map<string, HuggingFaceTokenizer>();
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-tokenizer-"));
  for (const name of NAMES) tokenizers.set(name, await loadTokenizer(goldenPath(`tokenizers/${name}`)));
});
afterAll(() => rm(scratch, { recursive: true }));

/** Each offset widened to the whole run of offsets that overlap one another. */
function joinOverlapping(offsets: readonly (readonly [number, number])[]): [number, number][] {
  const joined: [number, number][] = [];
  for (const [start, end] of offsets) {
    const run = joined.at(-1);
    if (run !== undefined && start < run[1]) {
      run[1] = Math.max(run[1], end);
      joined.push(run);
    } else joined.push([start, end]);
  }
  return joined;
}

/** Offsets of a composed character without its marks, as Python gives them, widened to the marks that follow. */
function withMarks(text: string, offsets: readonly (readonly [number, number])[]): [number, number][] {
  return offsets.map(([start, end]) => [start, end + /^\p{M}*/u.exec(text.slice(end))![0].length]);
}

describe("built tokenizers", () => {
  it.each(BUILT_TOKENIZERS)("%s: build.ts writes the very files that Python read", async (name) => {
    const out = await mkdtemp(join(scratch, "built-"));
    await buildTokenizer(name).save(diskFolder(out));
    const files = (await readdir(out)).sort();
    expect(files).toEqual((await readdir(goldenPath(`tokenizers/${name}`))).sort());
    for (const file of files) {
      expect(await readFile(join(out, file), "utf8")).toBe(
        await readFile(join(goldenPath(`tokenizers/${name}`), file), "utf8"),
      );
    }
  });
});

describe.each(NAMES)("%s against transformers", (name) => {
  const cases = golden.encodings.filter(({ tokenizer }) => tokenizer === name);

  it("encodes to the same ids", () => {
    expect(cases.length).toBeGreaterThan(5);
    for (const { text, ids } of cases)
      expect([...tokenizers.get(name)!.encode(text)], JSON.stringify(text)).toEqual(ids);
  });

  it("adds the special tokens of a text where asked", () => {
    for (const { text, idsWithSpecial } of cases) {
      const tokens = tokenizers.get(name)!.encode(text, { addSpecial: true });
      expect([...tokens], JSON.stringify(text)).toEqual(idsWithSpecial);
    }
  });

  it("decodes to the same text, with and without special tokens", () => {
    for (const { text, ids, decoded, decodedKeepSpecial } of cases) {
      const tokenizer = tokenizers.get(name)!;
      expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
      expect(tokenizer.decode(ids, { keepSpecial: true }), JSON.stringify(text)).toBe(decodedKeepSpecial);
    }
  });

  it("gives every token the same characters, tokens that share a character all of theirs", () => {
    for (const { text, ids, offsets } of cases) {
      const { tokens, spans } = tokenizers.get(name)!.tokenSpans(text);
      expect([...tokens], JSON.stringify(text)).toEqual(ids);
      // A ▁ that SentencePiece inserted is no character of the text: ours is empty there, Python's is the next character.
      const inText = (_: unknown, i: number) => spans[i]![0] < spans[i]![1];
      if (name !== "metaspace") expect(spans.every(inText)).toBe(true);
      const composes = (name === "qwen-like" || name === "byte-level") && text.normalize("NFC") !== text;
      const expected = joinOverlapping(offsets.filter(inText));
      expect(spans.filter(inText), JSON.stringify(text)).toEqual(composes ? withMarks(text, expected) : expected);
    }
  });
});

describe("chat templates against transformers", () => {
  const outcome = (render: () => string): Rendering => {
    try {
      return render();
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
      return { error: "refused" };
    }
  };
  const expected = (rendering: Rendering): Rendering =>
    typeof rendering === "string" ? rendering : { error: "refused" };

  it.each(golden.chats)("$tokenizer renders what transformers renders (case %#)", (chat) => {
    const { tokenizer, messages, plain, generation, continued, tools, template, variables } = chat;
    const common = {
      ...(tools && { tools }),
      ...(template !== undefined && { template }),
      ...(variables && { variables }),
    };
    const render = (options = {}) =>
      outcome(() => tokenizers.get(tokenizer)!.applyChatTemplate(messages, { ...common, ...options }));
    expect(render()).toEqual(expected(plain));
    expect(render({ addGenerationPrompt: true })).toEqual(expected(generation));
    expect(render({ continueFinalMessage: true })).toEqual(expected(continued));
  });
});
