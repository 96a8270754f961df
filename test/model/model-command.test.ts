import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelCommand } from "../../src/cli/model.ts";
import { parseTokenSequences } from "../../src/cli/model-score.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { AhaError, DataError } from "../../src/errors.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";

const goldenPath = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
interface Golden {
  readonly tolerance: number;
  readonly parameterCounts: Readonly<Record<string, number>>;
  readonly cases: readonly {
    readonly model: string;
    readonly temperature: number;
    readonly sequences: readonly { readonly tokens: number[]; readonly logprobs: number[] }[];
  }[];
}
const golden = JSON.parse(await readFile(goldenPath("model-logprobs.json"), "utf8")) as Golden;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-model-command-"));
});
afterAll(() => rm(scratch, { recursive: true }));

async function run(...args: string[]): Promise<string> {
  const output: string[] = [];
  const context = {
    out: (text: string) => void output.push(text),
    note: () => {},
    signal: new AbortController().signal,
    interactive: false,
  };
  expect(await modelCommand.run(args, context)).toBe(0);
  return output.join("");
}

describe("aha model init", () => {
  it("writes a model and tokenizer that load, the same for the same seed", async () => {
    const [one, two, three] = ["one", "two", "three"].map((name) => join(scratch, name));
    const init = ["init", "--preset", "tiny", "--tokenizer", "countdown-compact"];
    await run(...init, "--out", one!, "--seed", "4");
    await mkdir(two!);
    await run(...init, "--out", two!, "--seed", "4");
    await run(...init, "--out", three!, "--seed", "5", "--largest", "9");
    expect((await readdir(one!)).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const model = await loadModel(one!);
    expect(await loadModel(two!)).toEqual(model);
    expect((await loadTokenizer(one!)).vocabSize).toBe(model.config.vocabSize);
    expect((await loadModel(three!)).config).toMatchObject({ vocabSize: 31, eosTokenIds: [1], padTokenId: 0 });
  });

  it("takes a config.json, with special tokens of the tokenizer, and a tokenizer from a directory", async () => {
    const config = JSON.parse(await readFile(goldenPath("models/qwen3-untied/config.json"), "utf8")) as object;
    const file = join(scratch, "config.json");
    await writeFile(file, JSON.stringify({ ...config, vocab_size: 128 }));
    const out = join(scratch, "from-config");
    const tokenizer = goldenPath("tokenizers/characters");
    await run("init", "--config", file, "--tokenizer", tokenizer, "--out", out, "--scheme", "normal");
    expect((await loadModel(out)).config).toMatchObject({
      vocabSize: 128,
      headDim: 16,
      eosTokenIds: [2],
      bosTokenId: null,
    });
    const small = goldenPath("models/qwen3-untied/config.json");
    await expect(run("init", "--config", small, "--tokenizer", tokenizer, "--out", `${out}2`)).rejects.toThrow(
      /vocab_size is 53, but the tokenizer has 99/,
    );
  });

  it("makes a model of each family from its config alone, without a tokenizer", async () => {
    for (const name of ["llama-scaled", "qwen2-yarn", "qwen3-bias"]) {
      const out = join(scratch, `from-${name}`);
      const said = await run("init", "--config", goldenPath(`models/${name}/config.json`), "--out", out, "--seed", "3");
      expect(said).toContain("no tokenizer");
      const { config } = await loadModel(out);
      const { config: original } = await loadModel(goldenPath(`models/${name}`));
      expect({ ...config, generationDefaults: {} }).toEqual({ ...original, generationDefaults: {} });
    }
  });

  it("takes the config's directory with its tokenizer, generation config and initializer_range", async () => {
    const blueprint = join(scratch, "blueprint");
    await mkdir(blueprint);
    const text = await readFile(goldenPath("models/llama-tied/config.json"), "utf8");
    const config = { ...(JSON.parse(text) as object), vocab_size: 500, hidden_size: 60, initializer_range: 0.5 };
    await writeFile(join(blueprint, "config.json"), JSON.stringify(config));
    await writeFile(join(blueprint, "generation_config.json"), '{"eos_token_id": [1, 4], "top_p": 0.9}');
    await (await loadTokenizer(goldenPath("tokenizers/llama-like"))).save(diskFolder(blueprint));
    const out = join(scratch, "of-blueprint");
    await run("init", "--config", blueprint, "--out", out, "--scheme", "normal", "--dtype", "bf16");
    expect(await readdir(out)).toContain("tokenizer.json");
    const { config: made, values } = await loadModel(out);
    expect(made).toMatchObject({ eosTokenIds: [1, 4], bosTokenId: 2, generationDefaults: { top_p: 0.9 } });
    const weights = values.get("layers.0.gate")!;
    const variance = weights.reduce((sum, value) => sum + value ** 2, 0) / weights.length;
    expect(Math.sqrt(variance)).toBeCloseTo(0.5, 1);
    const info = JSON.parse(await run("info", out, "--json")) as Record<string, unknown>;
    expect(info).toMatchObject({ dtypes: ["BF16"], fileCount: 1, tokenizer: { hasChatTemplate: true } });
  });

  it.each<[string[], RegExp]>([
    [[], /takes a subcommand \(init, info, score, convert, merge, export, pull, push\)/],
    [["inot"], /Did you mean init/],
    [["init"], /either --preset NAME or --config FILE/],
    [["init", "--preset", "tiny", "--config", "x"], /either --preset NAME or --config FILE/],
    [["init", "--preset", "tiny", "--out", "x"], /--preset needs --tokenizer/],
    [["init", "--config", "x", "--out", "y", "--dtype", "int8"], /--dtype must be float32, bfloat16 or float16/],
    [["init", "--config", "x", "--out", "y", "--max-shard-size", "5 apples"], /a size like 5GB/],
    [["init", "--config", "x", "--out", "y", "--max-shard-size", "0"], /a size like 5GB/],
    [["init", "--config", "absent.json", "--out", "y"], /absent.json: it does not exist/],
    [["init", "--config", "x", "--out", "y", "--largest", "9"], /countdown-compact alone/],
    [["init", "--preset", "tiny", "--tokenizer", "characters"], /needs --out/],
    [["init", "--presets", "tiny"], /Did you mean --preset/],
    [["init", "--preset", "tiny", "--tokenizer", "charakters", "--out", "x"], /Did you mean --tokenizer characters/],
    [["init", "--preset", "tiny", "--tokenizer", "characters", "--out", "x", "--seed", "1.5"], /--seed/],
    [["init", "--preset", "tiny", "--tokenizer", "characters", "--out", "x", "--scheme", "zeros"], /scaled or normal/],
    [
      ["init", "--preset", "tiny", "--tokenizer", "characters", "--out", "x", "--largest", "9"],
      /countdown-compact alone/,
    ],
    [["info"], /expected DIR/],
    [["info", "a", "b"], /expected DIR/],
    [["convert", "a"], /needs --out/],
    [["score", "a"], /needs --tokens/],
    [["score", "a", "--tokens", "x", "--temperature", "0"], /--temperature/],
  ])("aha model %j is an error that says what to do", async (args, message) => {
    await expect(run(...args)).rejects.toThrow(AhaError);
    await expect(run(...args)).rejects.toThrow(message);
  });

  it("does not touch a directory that is not empty, and leaves nothing behind", async () => {
    const out = join(scratch, "taken");
    await mkdir(out);
    await writeFile(join(out, "mine.txt"), "keep");
    const before = await readdir(scratch);
    await expect(run("init", "--preset", "tiny", "--tokenizer", "characters", "--out", out)).rejects.toThrow(
      /not empty/,
    );
    expect(await readdir(out)).toEqual(["mine.txt"]);
    expect(await readdir(scratch)).toEqual(before);
  });
});

describe("aha model info", () => {
  it("describes a model to people and to programs", async () => {
    const directory = goldenPath("models/qwen3-tied");
    const info = JSON.parse(await run("info", directory, "--json")) as Record<string, unknown>;
    expect(info).toMatchObject({
      parameterCount: golden.parameterCounts["qwen3-tied"],
      dtypes: ["F32"],
      config: { architecture: "qwen3", headDim: 10 },
    });
    expect(await run("info", directory)).toMatch(/architecture +qwen3, 2 layers, width 24/);
  });
});

describe("aha model convert", () => {
  it("writes the same model in another format and in shards, tokenizer and all, and back", async () => {
    const [model, small, back] = ["convert-from", "convert-small", "convert-back"].map((name) => join(scratch, name));
    await run("init", "--preset", "tiny", "--tokenizer", "characters", "--out", model!);
    await run("convert", model!, "--out", small!, "--dtype", "bfloat16", "--max-shard-size", "100KB");
    expect((await readdir(small!)).filter((name) => name.startsWith("model-")).length).toBeGreaterThan(3);
    await run("convert", small!, "--out", back!);
    const [first, second, third] = [await loadModel(model!), await loadModel(small!), await loadModel(back!)];
    expect(third).toEqual(second);
    for (const [name, values] of first.values) {
      const rounded = second.values.get(name)!;
      // Eight bits of precision: half a unit in the last place is 2⁻⁹ of the value.
      expect(
        values.every((value, i) => Math.abs(rounded[i]! - value) <= 2 ** -8 * Math.abs(value)),
        name,
      ).toBe(true);
    }
    expect((await loadTokenizer(back!)).hasChatTemplate).toBe(true);
    await expect(run("convert", model!, "--out", small!)).rejects.toThrow(/not empty/);
  });
});

describe("bad checkpoints", () => {
  it.each<[string, string, RegExp]>([
    [
      "an unknown architecture",
      '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}',
      /expected model_type "llama" with .* or "qwen2" .*; found model_type "gpt2"/,
    ],
    ["a config that is not JSON", "{", /config\.json is not JSON/],
  ])("%s is an error for info and score", async (_, text, message) => {
    const directory = await mkdtemp(join(scratch, "bad-"));
    await writeFile(join(directory, "config.json"), text);
    const tokens = join(directory, "tokens.json");
    await writeFile(tokens, "[[1, 2]]");
    await expect(run("info", directory)).rejects.toThrow(message);
    await expect(run("score", directory, "--tokens", tokens)).rejects.toThrow(AhaError);
  });
});

describe("aha model score", () => {
  it.each(golden.cases)(
    "$model at temperature $temperature agrees with transformers",
    async ({ model, temperature, sequences }) => {
      const file = join(scratch, "tokens.json");
      await writeFile(file, JSON.stringify(sequences.map(({ tokens }) => tokens)));
      const args = ["score", goldenPath(`models/${model}`), "--tokens", file, "--temperature", String(temperature)];
      const rows = JSON.parse(await run(...args, "--json")) as number[][];
      expect(rows.map((row) => row.length)).toEqual(sequences.map(({ tokens }) => tokens.length - 1));
      for (const [i, { logprobs }] of sequences.entries()) {
        for (const [j, expected] of logprobs.entries()) {
          expect(Math.abs(rows[i]![j]! - expected), `sequence ${i}, token ${j + 1}`).toBeLessThan(golden.tolerance);
        }
      }
      expect(await run(...args)).toContain(`sequence 0: ${sequences[0]!.tokens.length - 1} tokens`);
    },
  );

  it("refuses tokens outside of the vocabulary and sequences beyond the context, by their place", async () => {
    const file = join(scratch, "bad.json");
    const score = () => run("score", goldenPath("models/qwen3-tied"), "--tokens", file, "--json");
    await writeFile(file, "[[1, 2], [3, 61]]");
    await expect(score()).rejects.toThrow(/sequence 1, token 1 is 61; the vocabulary ends at 60/);
    await writeFile(file, JSON.stringify([new Array(65).fill(1)]));
    await expect(score()).rejects.toThrow(/sequence 0 has 65 tokens; the model's context is 64/);
    await writeFile(file, "[]");
    expect(await score()).toBe("[]\n");
  });

  it.each<[string, RegExp]>([
    ["{", /is not JSON/],
    ["{}", /expected an array of arrays/],
    ["[5]", /sequence 0 is not an array/],
    ["[[1,2],[]]", /sequence 1 has 0 tokens; at least 2/],
    ["[[1]]", /sequence 0 has 1 tokens; at least 2/],
    ["[[1,-2]]", /sequence 0, token 1: expected a token id, .* not -2/],
    ["[[1,2.5]]", /not 2.5/],
    ['[[1,"2"]]', /not "2"/],
    ["[[1,4294967296]]", /not 4294967296/],
  ])("refuses %s as a token file", (text, message) => {
    expect(() => parseTokenSequences(text, "tokens.json")).toThrow(DataError);
    expect(() => parseTokenSequences(text, "tokens.json")).toThrow(message);
  });
});
