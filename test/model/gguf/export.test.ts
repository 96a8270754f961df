import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelCommand } from "../../../src/cli/model.ts";
import { CheckpointError, ConfigError, RunInterrupted } from "../../../src/errors.ts";
import { newModelLayers } from "../../../src/model/families/registry.ts";
import { weightTensors } from "../../../src/model/gguf/tensors.ts";
import type { ModelConfig } from "../../../src/model/model-config.ts";
import { loadModel, openCheckpoint, saveModel } from "../../../src/model/on-disk.ts";
import { elementCount, parameterSpecs } from "../../../src/model/parameters.ts";
import { rotaryFrequencies } from "../../../src/model/rope.ts";
import { CHECKPOINTS, type CheckpointCase, writeCheckpoint } from "../../llama-cpp/checkpoints.ts";
import { numbersOf, type ReadGguf, readGguf } from "./reader.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-gguf-"));
});
afterAll(() => rm(scratch, { recursive: true }));

let directories = 0;
async function written(checkpoint: CheckpointCase, options?: Parameters<typeof writeCheckpoint>[2]): Promise<string> {
  const directory = join(scratch, `model-${directories++}`);
  await writeCheckpoint(directory, checkpoint, options);
  return directory;
}

async function run(...args: string[]): Promise<{ out: string; notes: string }> {
  const [out, notes]: [string[], string[]] = [[], []];
  const context = {
    out: (text: string) => void out.push(text),
    note: (text: string) => void notes.push(text),
    signal: new AbortController().signal,
    interactive: false,
  };
  expect(await modelCommand.run(["export", ...args], context)).toBe(0);
  return { out: out.join(""), notes: notes.join("") };
}

async function exported(checkpoint: CheckpointCase, ...args: string[]): Promise<ReadGguf> {
  const directory = await written(checkpoint);
  const file = join(directory, "out.gguf");
  await run(directory, "--gguf", "--out", file, ...args);
  return readGguf(file);
}

const metadataOf = (file: ReadGguf) => Object.fromEntries([...file.metadata].map(([key, { value }]) => [key, value]));
const named = (name: string) => CHECKPOINTS[name]!;
const QWEN3 = named("qwen3, tied");
const GEMMA3 = named("gemma3, tied, linear scaling").config;
/** 62 layers, by which llama.cpp knows the model of 27B. */
const GEMMA_62 = { ...newModelLayers("gemma3_text", { numLayers: 62, headDim: 24 }), slidingWindow: 9, numLayers: 62 };
const BLOCKS = named("llama, plain, rows of whole blocks");

/** Where llama.cpp finds the number at `row` of a projection that RoPE turns, by Meta's pairing of neighbours. */
function rowInFile(row: number, headDim: number): number {
  const [head, within] = [Math.floor(row / headDim), row % headDim];
  const [half, pair] = [Math.floor(within / (headDim / 2)), within % (headDim / 2)];
  return head * headDim + 2 * pair + half;
}

/** llama.cpp's names, written out. */
const NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
  "input_layernorm.weight": "attn_norm.weight",
  "post_attention_layernorm.weight": "ffn_norm.weight",
  "pre_feedforward_layernorm.weight": "ffn_norm.weight",
  "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** `normed`: what attention and MLP add has a norm of its own. */
function nameInFile(checkpointName: string, normed: boolean): string {
  const layer = /^model\.layers\.(\d+)\.(.+)$/.exec(checkpointName);
  if (layer === null) return NAMES[checkpointName]!;
  const part = layer[2]!;
  if (normed && part === "post_attention_layernorm.weight") return `blk.${layer[1]}.post_attention_norm.weight`;
  const whole = NAMES[part] ?? `${NAMES[part.replace(/\.(weight|bias)$/, "")]}.${part.split(".").at(-1)}`;
  return `blk.${layer[1]}.${whole}`;
}

describe("tensors", () => {
  it.each(Object.entries(CHECKPOINTS))("of %s: every one, with its name, shape and numbers", async (_, checkpoint) => {
    const directory = await written(checkpoint);
    const file = join(directory, "m.gguf");
    await run(directory, "--gguf", "--out", file, "--dtype", "f32");
    const { tensors } = await readGguf(file);
    const { config, values } = await loadModel(directory);
    const expected = parameterSpecs(config).map(({ checkpointName }) => nameInFile(checkpointName, config.postNorms));
    const scaled = tensors.has("rope_freqs.weight") ? ["rope_freqs.weight"] : [];
    expect([...tensors.keys()].sort()).toEqual([...expected, ...scaled].sort());
    expect(tensors.has("output.weight")).toBe(!config.tieWordEmbeddings);
    for (const { name, checkpointName, shape } of parameterSpecs(config)) {
      const tensor = tensors.get(nameInFile(checkpointName, config.postNorms))!;
      expect(tensor.dimensions).toEqual([...shape].reverse());
      const columns = shape.length === 2 ? shape[1]! : 1;
      const turned = ["llama", "mistral", "smollm3"].includes(config.architecture) && /[qk]_proj/.test(checkpointName);
      const stored = numbersOf(tensor);
      const wrong = values.get(name)!.findIndex((value, i) => {
        const row = Math.floor(i / columns);
        const shown = config.offsetNorms && /norm/.test(checkpointName) ? Math.fround(1 + value) : value;
        return stored[(turned ? rowInFile(row, config.headDim) : row) * columns + (i % columns)] !== shown;
      });
      expect(stored.length).toBe(elementCount(shape));
      expect(wrong, name).toBe(-1);
    }
  });

  it("are the same whatever is read at a time", async () => {
    for (const name of ["llama, untied, biases everywhere, yarn with other bounds", "qwen2, untied, biases"]) {
      const checkpoint = await openCheckpoint(await written(named(name)));
      const bytesOf = async (pieceElements?: number) => {
        const all: string[] = [];
        for (const tensor of weightTensors(checkpoint, "bf16", pieceElements)) {
          const pieces: Uint8Array[] = [];
          for await (const piece of tensor.pieces()) pieces.push(piece);
          if (pieceElements === 1 && tensor.name === "output.weight") expect(pieces.length).toBe(tensor.shape[0]);
          all.push(Buffer.concat(pieces).toString("base64"));
        }
        return all;
      };
      const whole = await bytesOf();
      expect(await bytesOf(1)).toEqual(whole);
      expect(await bytesOf(1000)).toEqual(whole);
      await checkpoint.close();
    }
  });

  it("of a model with Llama 3's scaling have the factors by which plain frequencies are divided", async () => {
    const { tensors, metadata } = await exported(named("llama, tied, llama3 scaling"));
    const { config } = named("llama, tied, llama3 scaling");
    const factors = numbersOf(tensors.get("rope_freqs.weight")!);
    const { frequencies } = rotaryFrequencies(config);
    expect(factors.length).toBe(config.headDim / 2);
    expect(factors[0]).toBe(1);
    expect(factors.at(-1)).toBe(8);
    for (const [i, frequency] of frequencies.entries()) {
      expect(config.ropeTheta ** ((-2 * i) / config.headDim) / factors[i]!).toBeCloseTo(frequency, 6);
    }
    expect([...metadata.keys()].filter((key) => key.includes("scaling"))).toEqual([]);
  });
});

describe("number formats", () => {
  it("are the checkpoint's by default", async () => {
    const directory = await written(BLOCKS, { dtype: "bfloat16" });
    await run(directory, "--gguf");
    const file = await readGguf(join(directory, `${basename(directory)}.gguf`));
    expect(file.metadata.get("general.file_type")?.value).toBe(32);
    const { values } = await loadModel(directory);
    for (const [name, type] of [
      ["token_embd.weight", 30],
      ["output_norm.weight", 0],
    ] as const) {
      expect(file.tensors.get(name)!.type).toBe(type);
    }
    expect(Float32Array.from(numbersOf(file.tensors.get("token_embd.weight")!))).toEqual(values.get("embed"));
  });

  it("apply to matrices; rows that are no whole number of blocks are f16 in q8_0", async () => {
    for (const [checkpoint, dtype, matrix, type] of [
      [BLOCKS, "f16", 1, 1],
      [BLOCKS, "q8_0", 8, 7],
      [QWEN3, "q8_0", 1, 7],
    ] as const) {
      const directory = await written(checkpoint);
      const { notes } = await run(directory, "--gguf", "--dtype", dtype);
      expect(notes.includes("matrices are f16")).toBe(dtype === "q8_0" && matrix === 1);
      const { tensors, metadata } = await readGguf(join(directory, `${basename(directory)}-${dtype}.gguf`));
      for (const { name, dimensions, type } of tensors.values()) {
        const expected = dimensions.length === 1 ? 0 : dimensions[0] === 144 && dtype === "q8_0" ? 1 : matrix;
        expect(type, name).toBe(expected);
      }
      expect(metadata.get("general.file_type")?.value).toBe(type);
      expect(metadata.has("general.quantization_version")).toBe(dtype === "q8_0");
    }
  });

  it("that cannot hold a weight are refused by its name", async () => {
    const directory = await written(BLOCKS);
    const { config, values } = await loadModel(directory);
    values.get("layers.1.up")![7] = 70_000;
    await saveModel(directory, config, values);
    await expect(run(directory, "--gguf", "--dtype", "f16")).rejects.toThrow(
      /element 7 of model.layers.1.mlp.up_proj.weight is 70000, which f16 cannot hold. Export with --dtype bf16 or f32/,
    );
    values.get("layers.1.up")![7] = Number.NaN;
    await saveModel(directory, config, values);
    await expect(run(directory, "--gguf")).rejects.toThrow(/is NaN, which f32 cannot hold. The weights are damaged/);
    expect((await readdir(directory)).filter((name) => !/\.json$|\.jinja$|\.safetensors$/.test(name))).toEqual([]);
  });
});

describe("metadata", () => {
  it("say everything that llama.cpp builds the model from", async () => {
    const { metadata } = await exported(QWEN3);
    const all = Object.fromEntries([...metadata].map(([key, { type, value }]) => [key, `${type} ${String(value)}`]));
    const keys = Object.entries(all).filter(([key]) => !key.startsWith("tokenizer."));
    expect(Object.fromEntries(keys)).toEqual({
      "general.architecture": "string qwen3",
      "general.type": "string model",
      "general.name": expect.stringMatching(/^string model-\d+$/) as string,
      "general.size_label": "string 117K",
      "general.file_type": "u32 0",
      "qwen3.vocab_size": "u32 411",
      "qwen3.context_length": "u32 160",
      "qwen3.embedding_length": "u32 52",
      "qwen3.block_count": "u32 3",
      "qwen3.feed_forward_length": "u32 76",
      "qwen3.attention.head_count": "u32 6",
      "qwen3.attention.head_count_kv": "u32 2",
      "qwen3.attention.key_length": "u32 24",
      "qwen3.attention.value_length": "u32 24",
      "qwen3.attention.layer_norm_rms_epsilon": `f32 ${Math.fround(3e-5)}`,
      "qwen3.rope.dimension_count": "u32 24",
      "qwen3.rope.freq_base": "f32 43210",
    });
  });

  it("say how positions are scaled", async () => {
    const scalingOf = async (config: ModelConfig) => {
      const all = metadataOf(await exported({ config, tokenizer: "none" }));
      return Object.fromEntries(Object.entries(all).filter(([key]) => key.includes("scaling")));
    };
    const yarn = named("qwen2, tied, yarn, no tokenizer").config;
    expect(await scalingOf(named("qwen3, untied, linear scaling, one kv head").config)).toEqual({
      "qwen3.rope.scaling.type": "linear",
      "qwen3.rope.scaling.factor": 2.5,
    });
    expect(await scalingOf(yarn)).toEqual({
      "qwen2.rope.scaling.type": "yarn",
      "qwen2.rope.scaling.factor": 4,
      "qwen2.rope.scaling.original_context_length": 40,
      "qwen2.rope.scaling.attn_factor": Math.fround(1.2 / (0.1 * Math.log(4) + 1)),
    });
  });

  it("say how layers differ, where llama.cpp does not know it", async () => {
    const layersOf = async (config: ModelConfig) => {
      const all = metadataOf(await exported({ config, tokenizer: "none" }));
      return Object.fromEntries(Object.entries(all).filter(([key]) => /sliding|swa|freq_base|context/.test(key)));
    };
    expect(await layersOf(GEMMA3)).toEqual({
      "gemma3.context_length": 160,
      "gemma3.rope.freq_base": 43210,
      "gemma3.attention.sliding_window": 9,
    });
    expect(await layersOf(named("gemma3, every third layer full, another local RoPE").config)).toEqual({
      "gemma3.context_length": 160,
      "gemma3.rope.freq_base": 43210,
      "gemma3.rope.freq_base_swa": 750,
      "gemma3.attention.sliding_window": 9,
      "gemma3.attention.sliding_window_pattern": 3,
    });
    expect(await layersOf(named("smollm3, tied").config)).toEqual({
      "smollm3.context_length": 160,
      "smollm3.rope.freq_base": 43210,
    });
  });

  it("promise no more of a sliding window that llama.cpp does not have than where it hides nothing", async () => {
    const layers = Array.from({ length: 3 }, () => ({ slides: true, rope: "global" }) as const);
    const windowed = { ...named("mistral, heads of their own size").config, slidingWindow: 50, layers };
    const directory = await written({ config: windowed, tokenizer: "none" });
    const file = join(directory, "m.gguf");
    const { out, notes } = await run(directory, "--gguf", "--out", file);
    expect(out + notes).toMatch(/llama has no sliding window: the file's context is the window's 50 tokens/);
    expect(metadataOf(await readGguf(file))["llama.context_length"]).toBe(50);
  });

  it("repeat the model card and the sampling defaults", async () => {
    const directory = await written({
      ...BLOCKS,
      config: {
        ...BLOCKS.config,
        generationDefaults: { do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.95, max_new_tokens: 5 },
      },
    });
    const head =
      "license: other\nlicense_name: qwen\nbase_model: Qwen/Qwen2.5-0.5B\ntags: [r1, countdown]\nlanguage: en";
    await writeFile(join(directory, "README.md"), `---\n${head}\n---\n# A model\n`);
    const file = join(directory, "m.gguf");
    await run(directory, "--gguf", "--out", file);
    expect(metadataOf(await readGguf(file))).toMatchObject({
      "general.license": "other",
      "general.license.name": "qwen",
      "general.base_model.count": 1,
      "general.base_model.0.name": "Qwen2.5-0.5B",
      "general.base_model.0.organization": "Qwen",
      "general.base_model.0.repo_url": "https://huggingface.co/Qwen/Qwen2.5-0.5B",
      "general.tags": ["r1", "countdown"],
      "general.languages": ["en"],
      "general.sampling.temp": Math.fround(0.6),
      "general.sampling.top_k": 20,
      "general.sampling.top_p": Math.fround(0.95),
    });
    await writeFile(join(directory, "README.md"), "---\nlicense: [unclosed\n---\n");
    await run(directory, "--gguf", "--out", file);
    expect((await readGguf(file)).metadata.has("general.license")).toBe(false);
  });
});

describe("what llama.cpp does not have", () => {
  const { config } = QWEN3;
  const qwen2 = named("qwen2, untied, biases").config;
  const yarn = named("llama, untied, biases everywhere, yarn with other bounds").config.ropeScaling;
  const llama3 = named("llama, tied, llama3 scaling").config.ropeScaling;
  const cases: [string, ModelConfig, RegExp][] = [
    [
      "biases on Qwen3's output projection",
      { ...config, attentionBias: true, attentionOutputBias: true },
      /attention_bias, and llama.cpp's qwen3 has no such biases/,
    ],
    ["Llama 3's scaling elsewhere", { ...config, ropeScaling: llama3 }, /scaling is llama3, which llama.cpp's qwen3/],
    ["YaRN's other bounds elsewhere", { ...qwen2, ropeScaling: yarn }, /yarn with other bounds .* llama.cpp's qwen2/],
    ["a scalar of Gemma's own", { ...GEMMA3, queryPreAttnScalar: 11 }, /query_pre_attn_scalar is 11, not 24/],
    ["the usual scalar in Gemma's 27B", { ...GEMMA3, ...GEMMA_62 }, /query_pre_attn_scalar is 24, not 13/],
    [
      "layers of Gemma in another order",
      { ...GEMMA3, layers: [...GEMMA3.layers].reverse() },
      /layer_types are not periodic.*gemma3/,
    ],
    [
      "local layers of Gemma with scaled RoPE",
      { ...GEMMA3, localRope: { ropeTheta: 10_000, ropeScaling: { type: "linear", factor: 2 } } },
      /local layers have RoPE scaled by linear/,
    ],
    [
      "SmolLM3 with RoPE everywhere",
      { ...named("smollm3, tied").config, layers: [] },
      /no_rope_layers are not every fourth/,
    ],
    ["Qwen2's heads of another width", { ...qwen2, headDim: 16 }, /6 heads of 16 for a width of 48/],
  ];
  it.each(cases)("is refused by name: %s", async (_, refused, message) => {
    const directory = await written({ config: refused, tokenizer: "none" });
    const before = await readdir(directory);
    await expect(run(directory, "--gguf")).rejects.toThrow(message);
    await expect(run(directory, "--gguf")).rejects.toThrow(CheckpointError);
    expect(await readdir(directory)).toEqual(before);
  });
});

describe("aha model export", () => {
  it("replaces an older export and leaves every other file alone", async () => {
    const directory = await written(BLOCKS);
    const file = join(scratch, "out.gguf");
    await run(directory, "--gguf", "--out", file, "--dtype", "f16");
    const first = await readFile(file);
    const { out } = await run(directory, "--gguf", "--out", file, "--dtype", "f16", "--json");
    expect((await readFile(file)).equals(first)).toBe(true);
    expect(JSON.parse(out)).toMatchObject({ file, format: "f16", tensorCount: 30, tokenizer: "byte-level BPE" });
    const weights = join(directory, "model.safetensors");
    await expect(run(directory, "--gguf", "--out", weights)).rejects.toThrow(/is there and is no GGUF file/);
    await expect(run(directory, "--gguf", "--out", directory)).rejects.toThrow(/is not a file/);
    await expect(run(directory, "--gguf", "--out", join(scratch, "no", "m.gguf"))).rejects.toThrow(/is no directory/);
  });

  it("takes the directory of a run, and names the file after it", async () => {
    const runDirectory = join(scratch, "my-run");
    await mkdir(runDirectory);
    await writeFile(join(runDirectory, "recipe.yaml"), "");
    await writeCheckpoint(join(runDirectory, "model"), BLOCKS);
    await run(runDirectory, "--gguf", "--dtype", "q8_0");
    const { metadata } = await readGguf(join(runDirectory, "model", "my-run-q8_0.gguf"));
    expect(metadata.get("general.name")?.value).toBe("my-run");
  });

  it("says what is wrong with its arguments", async () => {
    const directory = await written(BLOCKS);
    const refused = (...args: string[]) => expect(run(directory, ...args)).rejects;
    await refused().toThrow(/needs --gguf/);
    await refused("--gguf", "--dtype", "bf61").toThrow(
      /--dtype must be one of f32, f16, bf16, q8_0.*Did you mean bf16/,
    );
    await refused("--gguf", "--tokenizer", "none").toThrow(/--tokenizer must be one of auto, ids/);
    await refused("--gguf", "--dtyp", "f16").toThrow(ConfigError);
    await expect(run(join(scratch, "nowhere"), "--gguf")).rejects.toThrow(/neither a model directory/);
  });

  it("leaves nothing behind where it is stopped", async () => {
    const directory = await written(BLOCKS);
    const before = await readdir(directory);
    const context = { out: () => {}, note: () => {}, signal: AbortSignal.abort(), interactive: false };
    await expect(modelCommand.run(["export", directory, "--gguf"], context)).rejects.toThrow(RunInterrupted);
    expect(await readdir(directory)).toEqual(before);
  });

  it("writes nothing where the weights are damaged", async () => {
    const directory = await written(BLOCKS);
    await truncate(join(directory, "model.safetensors"), 5000);
    const before = await readdir(directory);
    await expect(run(directory, "--gguf")).rejects.toThrow(CheckpointError);
    expect(await readdir(directory)).toEqual(before);
  });
});
