import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelCommand } from "../../../src/cli/model.ts";
import { diskFile } from "../../../src/disk-folder.ts";
import { CheckpointError } from "../../../src/errors.ts";
import { type GgufMetadata, type GgufTensor, type GgufValue, writeGguf } from "../../../src/model/gguf/format.ts";
import { GgufFile } from "../../../src/model/gguf/gguf-file.ts";
import { modelDirectory } from "../../../src/model/gguf/model-directory.ts";
import { exportGguf, importGguf } from "../../../src/model/gguf/on-disk.ts";
import { loadModel } from "../../../src/model/on-disk.ts";
import { loadTokenizer } from "../../../src/tokenizer/on-disk.ts";
import { CHECKPOINTS, writeCheckpoint } from "../../llama-cpp/checkpoints.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-gguf-import-"));
});
afterAll(() => rm(scratch, { recursive: true }));

let count = 0;
const fresh = () => join(scratch, `${count++}`);

async function emptyDirectory(): Promise<string> {
  const directory = fresh();
  await mkdir(directory);
  return directory;
}

/** The exported file of a case, and the directory that it was made of. */
async function exported(name: string, format: "f32" | "f16" | "bf16" | "q8_0" = "f32") {
  const directory = fresh();
  await writeCheckpoint(directory, CHECKPOINTS[name]!, { dtype: format === "bf16" ? "bfloat16" : "float32" });
  const file = join(directory, "model.gguf");
  await exportGguf(directory, file, { name: "model", format });
  return { directory, file };
}

const TEXTS = [
  "Using the numbers [6, 6, 5], create an equation that equals 17.",
  "(5+6)+6=11+6=17 yes\nanswer: (5+6)+6",
  "<|im_start|>user\nhi there<|im_end|>",
  "naïve café, 12345 and 6789",
];

/** The one scaling whose factors no config.json can say. */
const BY_FACTORS = "llama, untied, biases everywhere, yarn with other bounds";
const CASES = Object.keys(CHECKPOINTS).filter((name) => name !== BY_FACTORS);

describe("importing what was exported", () => {
  it.each(CASES)("%s: the same config, weights and tokens", async (name) => {
    const { directory, file } = await exported(name);
    const back = await emptyDirectory();
    await importGguf(file, back);
    const [before, after] = [await loadModel(directory), await loadModel(back)];
    const { attentionFactor: factorBefore, ...scalingBefore } = { attentionFactor: 1, ...before.config.ropeScaling };
    const { attentionFactor: factorAfter, ...scalingAfter } = { attentionFactor: 1, ...after.config.ropeScaling };
    expect(factorAfter).toBeCloseTo(factorBefore, 6);
    expect(scalingAfter).toEqual(scalingBefore);
    // llama.cpp wants a first token: without one of its own the file has the last.
    const bosTokenId = before.config.bosTokenId ?? after.config.bosTokenId;
    // Tokens that llama.cpp stops at by their text are stop tokens of the imported model too.
    const { eosTokenIds, ...config } = after.config;
    expect(eosTokenIds).toEqual(expect.arrayContaining([...before.config.eosTokenIds]));
    expect({ ...config, ropeScaling: null }).toEqual({
      ...{ ...before.config, eosTokenIds: undefined },
      ...{ bosTokenId, ropeScaling: null },
      // llama.cpp has one name for both.
      architecture: before.config.architecture === "mistral" ? "llama" : before.config.architecture,
    });
    for (const [parameter, values] of before.values) {
      const isShifted = before.config.offsetNorms && parameter.endsWith("Norm");
      // 1 + w was rounded to f32, as it is in the decoder: that is what has to be the same.
      const seen = (weights: Float32Array) => (isShifted ? weights.map((w) => 1 + w) : weights);
      expect(seen(after.values.get(parameter)!)).toEqual(seen(values));
    }
    if (CHECKPOINTS[name]!.tokenizer === "none") {
      await expect(loadTokenizer(back)).rejects.toThrow(/no tokenizer.json/);
      return;
    }
    const [own, read] = [await loadTokenizer(directory), await loadTokenizer(back)];
    for (const text of TEXTS) {
      expect(read.encode(text)).toEqual(own.encode(text));
      expect(read.encode(text, { addSpecial: true })).toEqual(own.encode(text, { addSpecial: true }));
      expect(read.decode(read.encode(text))).toBe(own.decode(own.encode(text)));
    }
    expect(read.eosTokenId).toBe(own.eosTokenId);
    expect(read.hasChatTemplate).toBe(own.hasChatTemplate);
    if (own.hasChatTemplate) {
      const messages = [{ role: "user", content: "hi" }] as const;
      expect(read.applyChatTemplate(messages, {})).toBe(own.applyChatTemplate(messages, {}));
    }
  });

  it("of bfloat16 weights: their numbers", async () => {
    const { directory, file } = await exported("qwen3, tied", "bf16");
    const back = await emptyDirectory();
    await importGguf(file, back);
    expect((await loadModel(back)).values).toEqual((await loadModel(directory)).values);
  });

  it("of q8_0: what the blocks stand for, and again the same file", async () => {
    const { file } = await exported("llama, plain, rows of whole blocks", "q8_0");
    const back = await emptyDirectory();
    const { formats } = await importGguf(file, back);
    expect(formats).toEqual(["Q8_0"]);
    const again = join(back, "again.gguf");
    await exportGguf(back, again, { name: "model", format: "q8_0" });
    const [first, second] = [await GgufFile.open(...diskFile(file)), await GgufFile.open(...diskFile(again))];
    for (const [name, { shape }] of first.tensors) {
      const numbers = async (of: GgufFile) => {
        const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
        await of.readElements(name, 0, values);
        return values;
      };
      expect(await numbers(second)).toEqual(await numbers(first));
    }
    await Promise.all([first.close(), second.close()]);
  });

  it("refuses factors of RoPE that no config.json can say", async () => {
    const { file } = await exported(BY_FACTORS);
    await expect(importGguf(file, await emptyDirectory())).rejects.toThrow(/rope_freqs\.weight.*Hugging Face layout/);
  });
});

describe("SentencePiece's BPE", () => {
  it("gives the tokens and texts that SentencePiece gives", async () => {
    const golden = new URL("../../golden/gguf/", import.meta.url);
    const { texts, ids, decoded } = JSON.parse(await readFile(new URL("sentencepiece.json", golden), "utf8")) as {
      texts: string[];
      ids: number[][];
      decoded: string[];
    };
    const directory = await emptyDirectory();
    await importGguf(fileURLToPath(new URL("sentencepiece.gguf", golden)), directory);
    const tokenizer = await loadTokenizer(directory);
    for (const [i, text] of texts.entries()) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids[i]]);
      expect([...tokenizer.encode(text, { addSpecial: true })]).toEqual([1, ...ids[i]!]);
      expect(tokenizer.decode(ids[i]!, { keepSpecial: true })).toBe(decoded[i]);
    }
  });
});

/** A small file with these changes to its metadata. */
async function changed(changes: Readonly<Record<string, GgufValue | undefined>>): Promise<string> {
  const { file } = await exported("llama, plain, rows of whole blocks");
  const opened = await GgufFile.open(...diskFile(file));
  const metadata = new Map<string, GgufValue>();
  for (const [key, value] of opened.metadata) metadata.set(key, typed(value));
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  }
  const tensors = [...opened.tensors.values()].map(
    ({ name, shape }): GgufTensor => ({
      name,
      shape,
      format: "f32",
      pieces: async function* () {
        const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
        await opened.readElements(name, 0, values);
        yield new Uint8Array(values.buffer);
      },
    }),
  );
  const path = `${fresh()}.gguf`;
  await writeGguf(...diskFile(path), metadata as GgufMetadata, tensors);
  await opened.close();
  return path;
}

function typed(value: unknown): GgufValue {
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "boolean") return { type: "bool", value };
  if (typeof value === "number") return { type: Number.isInteger(value) ? "uint32" : "float32", value };
  const values = value as readonly (string | number)[];
  return typeof values[0] === "number"
    ? { type: "int32", values: values as readonly number[] }
    : { type: "string", values: values as readonly string[] };
}

const text = (value: string): GgufValue => ({ type: "string", value });
const number = (value: number): GgufValue => ({ type: "uint32", value });

describe("a model that Aha does not have is refused by its key:", () => {
  it.each([
    ["general.architecture", text("mamba"), /general\.architecture = mamba is none that Aha computes \(llama/],
    ["general.architecture", undefined, /general\.architecture is missing/],
    ["llama.expert_count", number(8), /llama\.expert_count = 8 is not supported/],
    ["llama.attention.sliding_window", number(512), /llama\.attention\.sliding_window = 512 is not supported/],
    ["llama.embedding_length", undefined, /llama\.embedding_length is missing/],
    ["llama.block_count", text("three"), /llama\.block_count = three is no whole number/],
    ["llama.rope.dimension_count", number(8), /rope\.dimension_count = 8 must be the width of a head, 16/],
    ["llama.rope.scaling.type", text("longrope"), /rope\.scaling\.type = longrope is none that Aha computes/],
    ["llama.attention.head_count_kv", number(3), /head_count_kv = 3 must divide 4 heads/],
    ["tokenizer.ggml.eos_token_id", number(4000), /eos_token_id = 4000 is no id of a vocabulary/],
    ["tokenizer.ggml.model", text("rwkv"), /tokenizer\.ggml\.model = "rwkv", is not read; read are gpt2 and llama/],
    ["tokenizer.ggml.pre", text("unheard-of"), /tokenizer\.ggml\.pre = "unheard-of", is none that Aha knows \(qwen2/],
    ["tokenizer.ggml.merges", undefined, /tokenizer\.ggml\.merges is missing/],
    ["tokenizer.chat_template.../x", text("x"), /"\.\.\/x" cannot name a chat template's file/],
    ["split.count", number(3), /one part of a model in several files; join them first/],
    [
      "llama.feed_forward_length",
      number(100),
      /blk\.0\.ffn_gate\.weight: expected shape \[100, 64\], found \[96, 64\]/,
    ],
  ])("%s", async (key, value, message) => {
    const file = await changed({ [key]: value });
    const out = await emptyDirectory();
    await expect(importGguf(file, out)).rejects.toThrow(message);
    await expect(importGguf(file, out)).rejects.toThrow(CheckpointError);
  });
});

/** The parts of a header: texts, and numbers as [bytes, value]. */
type Header = readonly (string | readonly [4 | 8, number | bigint])[];

async function handmade(...parts: Header): Promise<string> {
  const bytes = parts.map((part) => {
    if (typeof part === "string") return Buffer.from(part);
    const buffer = Buffer.alloc(part[0]);
    if (part[0] === 4) buffer.writeUInt32LE(Number(part[1]));
    else buffer.writeBigUInt64LE(BigInt(part[1]));
    return buffer;
  });
  const path = `${fresh()}.gguf`;
  await writeFile(path, Buffer.concat(bytes));
  return path;
}

const string = (value: string) => [[8, value.length] as const, value] as const;
const HUGE = 2n ** 63n;

describe("a file that is damaged or hostile", () => {
  it.each([
    ["is empty", [], /does not begin with GGUF/],
    ["is something else", ["PK\u0003\u0004 and more than twenty-four bytes of it"], /does not begin with GGUF/],
    ["is of version 1", ["GGUF", [4, 1], [8, 0], [8, 0]], /GGUF version 1 is not read, only 2 and 3/],
    ["is big-endian", ["GGUF", [4, 0x03000000], [8, 0], [8, 0]], /big-endian/],
    [
      "claims too many tensors",
      ["GGUF", [4, 3], [8, 2 ** 40], [8, 0]],
      /number of tensors is 1099511627776, but the rest/,
    ],
    [
      "claims too many keys",
      ["GGUF", [4, 3], [8, 0], [8, HUGE]],
      /number of keys is 9223372036854775808, which no file/,
    ],
    [
      "claims a long string",
      ["GGUF", [4, 3], [8, 0], [8, 1], [8, 2 ** 30], "general.name", [4, 8]],
      /length of the name of key 0 is 1073741824, but the rest of the file has room for/,
    ],
    [
      "claims a long array",
      ["GGUF", [4, 3], [8, 0], [8, 1], ...string("scores"), [4, 9], [4, 6], [8, 2 ** 32]],
      /length of scores is 4294967296, but the rest of the file has room for 0/,
    ],
    [
      "has arrays in arrays in arrays",
      ["GGUF", [4, 3], [8, 0], [8, 1], ...string("deep"), [4, 9], [4, 9], [8, 1], [4, 9], [8, 1], [4, 9], [8, 0]],
      /deep has arrays within each other/,
    ],
    [
      "has a type that there is not",
      ["GGUF", [4, 3], [8, 0], [8, 1], ...string("odd"), [4, 77], [8, 0]],
      /the value of odd has the type 77/,
    ],
    [
      "has a key twice",
      ["GGUF", [4, 3], [8, 0], [8, 2], ...string("k"), [4, 4], [4, 1], ...string("k"), [4, 4], [4, 1]],
      /the key "k" is there twice/,
    ],
    [
      "has a tensor beyond its end",
      ["GGUF", [4, 3], [8, 1], [8, 0], ...string("w"), [4, 1], [8, 64], [4, 0], [8, 0], "        "],
      /the tensor "w" reaches from byte 64 to 320, but the file ends at/,
    ],
    [
      "has a tensor of an impossible shape",
      ["GGUF", [4, 3], [8, 1], [8, 0], ...string("w"), [4, 2], [8, 2 ** 50], [8, 2 ** 50], [4, 0], [8, 0]],
      /the tensor "w" has the shape/,
    ],
    [
      "has a tensor of a format that is not read",
      ["GGUF", [4, 3], [8, 1], [8, 0], ...string("w"), [4, 1], [8, 256], [4, 20], [8, 0]],
      /the tensor "w" is in the format IQ4_NL, which is not read. Read are F32, F16, Q4_0/,
    ],
    [
      "has rows that are no whole blocks",
      ["GGUF", [4, 3], [8, 1], [8, 0], ...string("w"), [4, 1], [8, 33], [4, 2], [8, 0]],
      /rows of 33 numbers, which are no whole number of the 32 that a block of Q4_0 has/,
    ],
    [
      "has a tensor between two places",
      ["GGUF", [4, 3], [8, 1], [8, 0], ...string("w"), [4, 1], [8, 1], [4, 0], [8, 7], "x".repeat(99)],
      /begins at byte 7 of the data, no multiple of 32/,
    ],
    [
      "has a tensor over another",
      [
        ...["GGUF", [4, 3], [8, 2], [8, 0], ...string("v"), [4, 1], [8, 32], [4, 0], [8, 0]],
        ...[...string("w"), [4, 1], [8, 1], [4, 0], [8, 32], "x".repeat(300)],
      ] as Header,
      /the tensor "w" lies over the tensor "v"/,
    ],
    [
      "has a name that is no text",
      ["GGUF", [4, 3], [8, 0], [8, 1], [8, 4], [4, 0xfffefdfc], [4, 4], [4, 0]],
      /the name of key 0 \(byte 32\) is no UTF-8 text/,
    ],
  ] as [string, Header, RegExp][])("that %s is refused", async (_, parts, message) => {
    const path = await handmade(...parts);
    await expect(GgufFile.open(...diskFile(path))).rejects.toThrow(message);
    await expect(GgufFile.open(...diskFile(path))).rejects.toThrow(CheckpointError);
  });

  it("that is cut off anywhere is refused, and leaves nothing", async () => {
    const { file } = await exported("qwen3, tied");
    const { length } = await readFile(file);
    for (const share of [0.001, 0.02, 0.2, 0.5, 0.9, 0.9999]) {
      const path = `${fresh()}.gguf`;
      await copyFile(file, path);
      await truncate(path, Math.floor(length * share));
      await expect(importGguf(path, await emptyDirectory())).rejects.toThrow(CheckpointError);
    }
  });

  it("with any byte of its header changed is read or refused, and does nothing else", async () => {
    const { file } = await exported("qwen3, untied, linear scaling, one kv head");
    const bytes = await readFile(file);
    const path = `${fresh()}.gguf`;
    const handle = await open(path, "w");
    await handle.write(bytes);
    for (let at = 0; at < 3000; at += 7) {
      await handle.write(Buffer.from([bytes[at]! ^ 0x41]), 0, 1, at);
      const opened = await GgufFile.open(...diskFile(path)).catch((error: unknown) => error);
      if (opened instanceof GgufFile) await opened.close();
      else expect(opened).toBeInstanceOf(CheckpointError);
      await handle.write(Buffer.from([bytes[at]!]), 0, 1, at);
    }
    await handle.close();
  });

  it("that is not there is named", async () => {
    await expect(GgufFile.open(...diskFile(join(scratch, "none.gguf")))).rejects.toThrow(
      /none\.gguf: it does not exist/,
    );
  });
});

describe("a GGUF file in place of a model directory", () => {
  const cache = process.env.XDG_CACHE_HOME;
  beforeAll(() => {
    process.env.XDG_CACHE_HOME = join(scratch, "cache");
  });
  afterAll(() => {
    if (cache === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = cache;
  });

  it("is imported into the cache once, and again where it has changed", async () => {
    const { directory, file } = await exported("qwen3, tied");
    const first = await modelDirectory(file);
    const { mtimeMs } = await stat(join(first, "model.safetensors"));
    expect(await modelDirectory(file)).toBe(first);
    expect((await stat(join(first, "model.safetensors"))).mtimeMs).toBe(mtimeMs);
    expect((await loadModel(first)).values).toEqual((await loadModel(directory)).values);
    await utimes(file, new Date(0), new Date(0));
    expect(await modelDirectory(file)).not.toBe(first);
  });

  it("that is damaged leaves nothing in the cache", async () => {
    const { file } = await exported("qwen3, tied");
    await truncate(file, 5000);
    const before = (await readdir(join(scratch, "cache", "aha", "gguf"))).length;
    await expect(modelDirectory(file)).rejects.toThrow(CheckpointError);
    expect((await readdir(join(scratch, "cache", "aha", "gguf"))).length).toBe(before);
  });

  it("is what commands take", async () => {
    const { file } = await exported("qwen2, untied, biases");
    const out: string[] = [];
    const context = {
      out: (line: string) => void out.push(line),
      note: () => {},
      signal: new AbortController().signal,
      interactive: false,
    };
    expect(await modelCommand.run(["info", file], context)).toBe(0);
    expect(out.join("")).toContain("qwen2");
  });

  it("leaves a directory as it is", async () => {
    expect(await modelDirectory("some/model")).toBe("some/model");
  });
});

describe("aha model convert FILE.gguf", () => {
  async function run(...args: string[]) {
    const out: string[] = [];
    const context = {
      out: (line: string) => void out.push(line),
      note: (line: string) => void out.push(line),
      signal: new AbortController().signal,
      interactive: false,
    };
    await modelCommand.run(["convert", ...args], context);
    return out.join("");
  }

  it("writes a model directory", async () => {
    const { directory, file } = await exported("qwen2, untied, biases");
    const out = fresh();
    expect(await run(file, "--out", out)).toContain("the qwen2 of");
    expect((await loadModel(out)).values).toEqual((await loadModel(directory)).values);
  });

  it("leaves nothing where the file is none", async () => {
    const out = fresh();
    await expect(run(await handmade("GGUF"), "--out", out)).rejects.toThrow(CheckpointError);
    await expect(readFile(join(out, "config.json"))).rejects.toThrow();
  });
});
