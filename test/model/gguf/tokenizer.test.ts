import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFile, diskFolder } from "../../../src/disk-folder.ts";
import { CheckpointError } from "../../../src/errors.ts";
import { GgufFile } from "../../../src/model/gguf/gguf-file.ts";
import { exportGguf, importGguf } from "../../../src/model/gguf/on-disk.ts";
import { preTokenizerName } from "../../../src/model/gguf/pre-tokenizers.ts";
import { tokenIdMetadata, tokenizerMetadata } from "../../../src/model/gguf/tokenizer.ts";
import type { ModelConfig } from "../../../src/model/model-config.ts";
import { buildCountdownCompact } from "../../../src/tokenizer/build.ts";
import { readTokenizerFiles, type TokenizerFiles } from "../../../src/tokenizer/tokenizer-files.ts";
import { CHECKPOINTS } from "../../llama-cpp/checkpoints.ts";

const golden = (name: string) =>
  readTokenizerFiles(diskFolder(fileURLToPath(new URL(`../../golden/tokenizers/${name}`, import.meta.url))));
const MODEL: ModelConfig = { ...CHECKPOINTS["qwen3, tied"]!.config, vocabSize: 396 };

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-gguf-tokenizer-"));
});
afterAll(() => rm(scratch, { recursive: true }));

/** Values alone. */
function keysOf(files: TokenizerFiles, model: Partial<ModelConfig> = {}): Record<string, unknown> {
  const { metadata } = tokenizerMetadata(files, { ...MODEL, ...model }, "DIR");
  return Object.fromEntries([...metadata].map(([key, value]) => [key, "values" in value ? value.values : value.value]));
}

interface Parsed {
  normalizer: unknown;
  pre_tokenizer: unknown;
  decoder: unknown;
  added_tokens: { id: number; content: string; lstrip?: boolean }[];
  model: { type: string; vocab: Record<string, number>; merges: unknown[]; [key: string]: unknown };
}
function changed(files: TokenizerFiles, change: (tokenizer: Parsed) => void, config: object = {}): TokenizerFiles {
  const tokenizer = JSON.parse(files["tokenizer.json"]) as Parsed;
  change(tokenizer);
  const tokenizerConfig = { ...(JSON.parse(files["tokenizer_config.json"] ?? "{}") as object), ...config };
  return {
    ...files,
    "tokenizer.json": JSON.stringify(tokenizer),
    "tokenizer_config.json": JSON.stringify(tokenizerConfig),
  };
}

describe("a byte-level tokenizer", () => {
  it("is written with its tokens, their types, its merges and llama.cpp's name for its pattern", async () => {
    const files = await golden("byte-level");
    const { model, added_tokens } = JSON.parse(files["tokenizer.json"]) as Parsed;
    const keys = keysOf(files);
    expect(keys).toMatchObject({
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "qwen2",
      "tokenizer.ggml.bos_token_id": 2,
      "tokenizer.ggml.eos_token_id": 2,
      "tokenizer.ggml.padding_token_id": 0,
      "tokenizer.ggml.add_bos_token": false,
      "tokenizer.ggml.add_eos_token": false,
      "tokenizer.chat_template": files["chat_template.jinja"],
    });
    const tokens = keys["tokenizer.ggml.tokens"] as string[];
    const types = keys["tokenizer.ggml.token_type"] as number[];
    expect([tokens.length, types.length]).toEqual([396, 396]);
    for (const [text, id] of Object.entries(model.vocab)) expect(tokens[id]).toBe(text);
    for (const { id, content } of added_tokens) expect(tokens[id]).toBe(content);
    expect(tokens.slice(391)).toEqual(["<think>", "</think>", "[PAD393]", "[PAD394]", "[PAD395]"]);
    expect([...types.slice(0, 4), ...types.slice(390)]).toEqual([3, 3, 3, 1, 1, 4, 4, 5, 5, 5]);
    expect(keys["tokenizer.ggml.merges"]).toEqual(model.merges.map((merge) => (merge as string[]).join(" ")));
  });

  it("of Llama 3's kind has its own pattern and a first token; of Qwen3's, thoughts that are printed", async () => {
    const keys = keysOf(await golden("llama-like"), { vocabSize: 398, eosTokenIds: [4, 1] });
    expect(keys).toMatchObject({
      "tokenizer.ggml.pre": "llama-bpe",
      "tokenizer.ggml.bos_token_id": 0,
      "tokenizer.ggml.eos_token_id": 4,
      "tokenizer.ggml.add_bos_token": true,
      "tokenizer.ggml.add_eos_token": false,
      "tokenizer.chat_template": expect.stringContaining("bos_token") as string,
    });
    // <|end_of_text|> ends a text by its name.
    expect(keys).not.toHaveProperty(["tokenizer.ggml.eot_token_id"]);
    const qwen = keysOf(await golden("qwen-like"));
    expect(qwen).toMatchObject({ "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.add_bos_token": false });
    const think = (qwen["tokenizer.ggml.tokens"] as string[]).indexOf("<think>");
    expect((qwen["tokenizer.ggml.token_type"] as number[])[think]).toBe(4);
  });

  it("gives stop tokens that llama.cpp does not know by their text the keys that are free", async () => {
    const files = await golden("byte-level");
    const keys = keysOf(files, { eosTokenIds: [2, 0, 70, 71] });
    expect(keys).toMatchObject({ "tokenizer.ggml.eot_token_id": 70, "tokenizer.ggml.eom_token_id": 71 });
    const { notes } = tokenizerMetadata(files, { ...MODEL, eosTokenIds: [2, 70, 71, 72, 73] }, "DIR");
    expect(notes).toEqual(["llama.cpp will not stop at the stop tokens 72, 73"]);
  });

  it("keeps a token named __proto__, and templates under names", async () => {
    const files = await golden("byte-level");
    const text = files["tokenizer.json"].replace('"<|im_start|>": 1,', '"<|im_start|>": 1,"__proto__": 394,');
    expect((keysOf({ ...files, "tokenizer.json": text })["tokenizer.ggml.tokens"] as string[])[394]).toBe("__proto__");
    const chat_template = [
      { name: "default", template: "D" },
      { name: "tool_use", template: "T" },
    ];
    const { "chat_template.jinja": _, ...rest } = changed(files, () => {}, { chat_template });
    expect(keysOf(rest)).toMatchObject({
      "tokenizer.chat_template": "D",
      "tokenizer.chat_template.tool_use": "T",
      "tokenizer.chat_templates": ["tool_use"],
    });
  });

  it("that lacks bytes is written with a note", async () => {
    const files = changed(await golden("byte-level"), ({ model }) => {
      delete model.vocab.Ā;
    });
    const { notes } = tokenizerMetadata(files, MODEL, "DIR");
    expect(notes).toEqual(["the tokenizer has no token for 1 of the 256 bytes; llama.cpp drops such bytes"]);
  });

  const refusals: [string, (tokenizer: Parsed) => void, RegExp][] = [
    [
      "a pattern that llama.cpp does not have",
      (t) => Object.assign(t, { pre_tokenizer: { type: "ByteLevel", add_prefix_space: true, use_regex: true } }),
      /no pre-tokenizer that does what pre_tokenizer \{"type":"ByteLevel"/,
    ],
    ["merging where its pattern has none", (t) => Object.assign(t.model, { ignore_merges: true }), /no pre-tokenizer/],
    ["lower case", (t) => Object.assign(t, { normalizer: { type: "Lowercase" } }), /normalizer \{"type":"Lowercase"\}/],
    ["an added token that takes spaces", (t) => Object.assign(t.added_tokens[3]!, { lstrip: true }), /"<think>" has/],
    ["two ids of one text", (t) => Object.assign(t.added_tokens[3]!, { content: "e" }), /two ids have the text "e"/],
    [
      "byte fallback without tokens for bytes",
      (t) => Object.assign(t.model, { byte_fallback: true }),
      /it falls back to bytes and has tokens for 0 of the 256/,
    ],
    [
      "another model",
      (t) => Object.assign(t.model, { type: "Unigram" }),
      /it is SentencePiece's Unigram, only BPE is written/,
    ],
    [
      "ids beyond the model's",
      (t) => Object.assign(t.model.vocab, { zzz: 396 }),
      /"zzz" has id 396, the model has 396/,
    ],
  ];
  it.each(refusals)("is refused for %s", async (_, change, message) => {
    const files = changed(await golden("byte-level"), change);
    expect(() => keysOf(files)).toThrow(CheckpointError);
    expect(() => keysOf(files)).toThrow(message);
    expect(() => keysOf(files)).toThrow(/^The tokenizer in DIR cannot be written to GGUF: .*--tokenizer ids/);
  });

  it("is refused without a token that ends a sequence: llama.cpp would take token 11", async () => {
    const files = changed(await golden("byte-level"), () => {}, { eos_token: null });
    expect(() => keysOf(files, { eosTokenIds: [] })).toThrow(/names a token that ends a sequence/);
    expect(keysOf(files, { eosTokenIds: [5] })["tokenizer.ggml.eos_token_id"]).toBe(5);
  });
});

describe("Aha's own tokenizers", () => {
  it("are written as the fewest tokens that make up a text", async () => {
    const keys = keysOf(await golden("countdown-compact"), { vocabSize: 123 });
    expect(keys).toMatchObject({
      "tokenizer.ggml.model": "t5",
      "tokenizer.ggml.eos_token_id": 1,
      "tokenizer.ggml.unknown_token_id": 2,
      "tokenizer.ggml.padding_token_id": 0,
      "tokenizer.ggml.add_bos_token": false,
      "tokenizer.ggml.add_eos_token": false,
      "tokenizer.ggml.add_space_prefix": false,
      "tokenizer.ggml.remove_extra_whitespaces": false,
    });
    const tokens = keys["tokenizer.ggml.tokens"] as string[];
    expect([tokens[0], tokens[3], tokens[102], tokens[103], tokens[106], tokens[121], tokens.length]).toEqual([
      "<pad>",
      "0",
      "99",
      "Using▁the▁numbers▁[",
      ".\n",
      "[PAD121]",
      123,
    ]);
    expect((keys["tokenizer.ggml.token_type"] as number[]).slice(0, 4)).toEqual([3, 3, 3, 1]);
    expect(new Set(keys["tokenizer.ggml.scores"] as number[])).toEqual(new Set([-1 / 1024]));
    expect(keysOf(await golden("characters"))["tokenizer.ggml.model"]).toBe("t5");
  });

  it("are known by their pattern, with other integers and more phrases too", async () => {
    const tokenizer = buildCountdownCompact({ largest: 30, extraPhrases: ["wait, ", "so"] });
    await tokenizer.save(diskFolder(scratch));
    const files = await readTokenizerFiles(diskFolder(scratch));
    expect(keysOf(files)["tokenizer.ggml.model"]).toBe("t5");
    const other = changed(files, (parsed) => {
      const pattern = (parsed.pre_tokenizer as { pattern: { Regex: string } }).pattern;
      pattern.Regex = pattern.Regex.replace("so|", "");
    });
    expect(() => keysOf(other)).toThrow(/neither byte-level BPE nor one of Aha's own/);
  });
});

describe("SentencePiece's BPE", () => {
  it("is refused where its merges are not those that scores say", async () => {
    // Trained by tokenizers itself, which lists one cut of each token.
    const files = await golden("metaspace");
    expect(() => keysOf(files, { vocabSize: 420 })).toThrow(/its merges lack \[.*SentencePiece would merge them/);
  });

  it("is written with a score for each token, and read back with the same tokens", async () => {
    const source = fileURLToPath(new URL("../../golden/gguf/sentencepiece.gguf", import.meta.url));
    const directory = await mkdtemp(join(scratch, "spm-"));
    await importGguf(source, directory);
    const file = join(directory, "again.gguf");
    const { tokenizer, notes } = await exportGguf(directory, file, { name: "again" });
    expect([tokenizer, notes]).toEqual(["SentencePiece BPE", []]);
    const [first, second] = [await GgufFile.open(...diskFile(source)), await GgufFile.open(...diskFile(file))];
    for (const key of ["tokens", "token_type", "model"]) {
      const name = `tokenizer.ggml.${key}`;
      expect(second.metadata.get(name), key).toEqual(first.metadata.get(name));
    }
    expect(second.metadata.get("tokenizer.ggml.add_space_prefix")).toBe(true);
    await Promise.all([first.close(), second.close()]);
    const back = await mkdtemp(join(scratch, "spm-"));
    await importGguf(file, back);
    const parsed = async (from: string) => JSON.parse(await readFile(join(from, "tokenizer.json"), "utf8")) as Parsed;
    expect(await parsed(back)).toEqual(await parsed(directory));
  });

  it.each<[string, (tokenizer: Parsed) => void, boolean, number]>([
    ["Gemma's", (t) => Object.assign(t, { normalizer: REPLACE, pre_tokenizer: SPLIT }), false, 0],
    ["Metaspace everywhere", (t) => Object.assign(t, { normalizer: null, pre_tokenizer: METASPACE }), true, 0],
    [
      "Metaspace before the first",
      (t) => Object.assign(t, { normalizer: null, pre_tokenizer: { ...METASPACE, prepend_scheme: "first" } }),
      true,
      1,
    ],
  ])("has a space before texts or not: %s", async (_, change, prefixed, noted) => {
    const directory = await mkdtemp(join(scratch, "spm-"));
    await importGguf(fileURLToPath(new URL("../../golden/gguf/sentencepiece.gguf", import.meta.url)), directory);
    const files = changed(await readTokenizerFiles(diskFolder(directory)), change);
    const vocabSize = Object.keys((JSON.parse(files["tokenizer.json"]) as Parsed).model.vocab).length;
    const { metadata, notes } = tokenizerMetadata(files, { ...MODEL, vocabSize }, "DIR");
    expect(metadata.get("tokenizer.ggml.add_space_prefix")).toEqual({ type: "bool", value: prefixed });
    expect(notes).toHaveLength(noted);
    const other = changed(files, (t) => Object.assign(t, { normalizer: { type: "NFKC" } }));
    expect(() => tokenizerMetadata(other, { ...MODEL, vocabSize }, "DIR")).toThrow(/does not treat spaces as Senten/);
  });
});

const REPLACE = { type: "Replace", pattern: { String: " " }, content: "▁" };
const SPLIT = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };
const METASPACE = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false };

describe("other tokenizers", () => {
  it("are refused by name, and their models run on token ids", async () => {
    expect(() => tokenizerMetadata({ "tokenizer.json": "{}" }, MODEL, "DIR")).toThrow(/DIR: tokenizer.json is not/);
    const { metadata, notes } = tokenIdMetadata({ ...MODEL, vocabSize: 4, eosTokenIds: [2, 3], bosTokenId: 1 });
    expect(Object.fromEntries(metadata)).toMatchObject({
      "tokenizer.ggml.tokens": { values: ["[0]", "[1]", "[2]", "[3]"] },
      "tokenizer.ggml.token_type": { values: [4, 4, 4, 4] },
      "tokenizer.ggml.bos_token_id": { value: 1 },
      "tokenizer.ggml.eos_token_id": { value: 2 },
      "tokenizer.ggml.eot_token_id": { value: 3 },
    });
    expect(notes).toEqual([]);
    expect(tokenIdMetadata({ ...MODEL, vocabSize: 4, eosTokenIds: [], padTokenId: null }).notes).toEqual([
      "config.json names no stop token; llama.cpp needs one and takes 3",
    ]);
  });
});

describe("preTokenizerName", () => {
  it("knows the patterns of GPT-2 and SmolLM", () => {
    const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
    expect(preTokenizerName(byteLevel, false)).toBe("gpt-2");
    const digits = { type: "Digits", individual_digits: true };
    expect(preTokenizerName({ type: "Sequence", pretokenizers: [digits, byteLevel] }, false)).toBe("smollm");
    expect(preTokenizerName({ type: "Sequence", pretokenizers: [byteLevel] }, false)).toBeUndefined();
    expect(preTokenizerName(null, false)).toBeUndefined();
  });
});
