import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { CheckpointError } from "../../src/errors.ts";
import { hfConfigOf, parseModelConfig, readModelConfig } from "../../src/model/hf-config.ts";
import { PLAIN_DECODER } from "../../src/model/model-config.ts";

/** What Qwen/Qwen3-0.6B has on the Hub (transformers 4 style). */
const QWEN3 = {
  architectures: ["Qwen3ForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 151643,
  eos_token_id: 151645,
  head_dim: 128,
  hidden_act: "silu",
  hidden_size: 1024,
  initializer_range: 0.02,
  intermediate_size: 3072,
  max_position_embeddings: 40960,
  max_window_layers: 28,
  model_type: "qwen3",
  num_attention_heads: 16,
  num_hidden_layers: 28,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000,
  sliding_window: null,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  transformers_version: "4.51.0",
  use_cache: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

const parse = (changes: Record<string, unknown> = {}) => {
  const merged = Object.entries({ ...QWEN3, ...changes }).filter(([, value]) => value !== undefined);
  return parseModelConfig(JSON.stringify(Object.fromEntries(merged)), "config.json");
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-config-"));
});
afterAll(() => rm(scratch, { recursive: true }));

describe("parseModelConfig", () => {
  it("reads Qwen3-0.6B", () => {
    expect(parse()).toEqual({
      ...PLAIN_DECODER,
      architecture: "qwen3",
      vocabSize: 151936,
      hiddenSize: 1024,
      intermediateSize: 3072,
      numLayers: 28,
      numHeads: 16,
      numKvHeads: 8,
      headDim: 128,
      maxContextTokens: 40960,
      rmsNormEpsilon: 1e-6,
      ropeTheta: 1e6,
      ropeScaling: null,
      tieWordEmbeddings: true,
      attentionBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      qkNorm: true,
      bosTokenId: 151643,
      eosTokenIds: [151645],
      padTokenId: null,
      generationDefaults: {},
    });
  });

  it("reads RoPE in both spellings", () => {
    const fresh = { rope_theta: undefined, rope_scaling: undefined };
    expect(parse({ ...fresh, rope_parameters: { rope_type: "default", rope_theta: 5e5 } }).ropeTheta).toBe(5e5);
    expect(parse({ rope_theta: 777, rope_scaling: { type: "default" } }).ropeTheta).toBe(777);
    expect(parse({ rope_theta: 777, rope_parameters: { rope_theta: 777 } }).ropeTheta).toBe(777);
    expect(parse(fresh).ropeTheta).toBe(10_000);
  });

  it("has transformers' defaults where keys are absent, head_dim 128 of Qwen3 among them", () => {
    const absent = {
      head_dim: undefined,
      num_attention_heads: 64,
      num_key_value_heads: undefined,
      tie_word_embeddings: undefined,
      rms_norm_eps: undefined,
    };
    expect(parse({ ...absent, hidden_act: undefined, max_position_embeddings: undefined })).toMatchObject({
      headDim: 128,
      numKvHeads: 32,
      tieWordEmbeddings: false,
      rmsNormEpsilon: 1e-6,
      maxContextTokens: 32_768,
    });
  });

  it("takes stop tokens as a number, a list or none", () => {
    expect(parse({ eos_token_id: [7, 9] }).eosTokenIds).toEqual([7, 9]);
    expect(parse({ eos_token_id: null }).eosTokenIds).toEqual([]);
  });

  it("takes −1 for no token", () => {
    const none = parse({ pad_token_id: -1, bos_token_id: -1, eos_token_id: [-1, 9] });
    expect([none.padTokenId, none.bosTokenId, none.eosTokenIds]).toEqual([null, null, [9]]);
    expect(parse({ eos_token_id: -1 }).eosTokenIds).toEqual([]);
    expect(() => parse({ pad_token_id: -2 })).toThrow(/pad_token_id/);
  });

  it.each([
    ["another architecture", { model_type: "gpt2", architectures: ["GPT2LMHeadModel"] }, /model_type.*gpt2/],
    ["a misspelt one", { model_type: "qwen-3" }, /Did you mean "qwen3"/],
    ["another head on the same trunk", { architectures: ["Qwen3ForSequenceClassification"] }, /SequenceClassification/],
    ["another activation", { hidden_act: "gelu" }, /hidden_act = "gelu"/],
    ["attention dropout", { attention_dropout: 0.1 }, /attention_dropout = 0.1/],
    ["a bias in an MLP that has none", { mlp_bias: true }, /mlp_bias = true is not supported by Qwen3ForCausalLM/],
    ["quantised weights", { quantization_config: { bits: 4 } }, /quantization_config/],
    [
      "RoPE that follows the length",
      { rope_scaling: { type: "dynamic", factor: 2 } },
      /rope_scaling of type "dynamic"/,
    ],
    ["a misspelt RoPE", { rope_parameters: { rope_type: "lama3" } }, /type "lama3" .* Did you mean "llama3"/],
    ["a scaling without its factor", { rope_scaling: { type: "linear" } }, /type linear needs a factor/],
    ["YaRN without its factor", { rope_parameters: { rope_type: "yarn" } }, /type yarn needs a factor/],
    ["a factor of 0", { rope_scaling: { type: "linear", factor: 0 } }, /rope_scaling.factor/],
    [
      "a key that the scaling does not have",
      { rope_scaling: { type: "linear", factor: 2, long_factor: [1] } },
      /has the key "long_factor", which the type linear does not have/,
    ],
    [
      "Llama 3's bounds in the wrong order",
      { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
      /high_freq_factor \(4\) must be above low_freq_factor \(4\)/,
    ],
    [
      "two spellings that differ",
      { rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_theta: 1e6 } },
      /rope_scaling and rope_parameters ask for different positions/,
    ],
    ["partial RoPE", { rope_parameters: { rope_theta: 1e6, partial_rotary_factor: 0.5 } }, /partial_rotary_factor/],
    ["RoPE by layer type", { rope_parameters: { full_attention: {} } }, /by layer type/],
    ["two thetas", { rope_parameters: { rope_theta: 5 } }, /rope_theta is 1000000, but .* is 5/],
    ["too few layer types", { layer_types: ["full_attention"] }, /1 entries for num_hidden_layers = 28/],
    ["heads that do not divide", { num_key_value_heads: 3 }, /16\) is not a multiple of num_key_value_heads \(3/],
    ["an odd head", { head_dim: 15 }, /head_dim is 15/],
    ["a stop token outside of the vocabulary", { eos_token_id: 151936 }, /eos_token_id is 151936, outside/],
    ["a missing size", { hidden_size: undefined }, /hidden_size/],
    ["a size of another type", { hidden_size: "1024" }, /hidden_size/],
    ["a size of a billion layers", { num_hidden_layers: 1e9 }, /num_hidden_layers/],
    ["no layers", { num_hidden_layers: 0 }, /num_hidden_layers/],
    ["an epsilon of 0", { rms_norm_eps: 0 }, /rms_norm_eps/],
  ])("refuses %s", (_, changes, message) => {
    expect(() => parse(changes)).toThrow(CheckpointError);
    expect(() => parse(changes)).toThrow(message);
  });

  it("allows a sliding window that no layer uses", () => {
    expect(() => parse({ use_sliding_window: true, sliding_window: 4096, max_window_layers: 28 })).not.toThrow();
    expect(() => parse({ use_sliding_window: false, sliding_window: 4096, max_window_layers: 0 })).not.toThrow();
  });

  it.each(["", "{", "[]", "null", "3"])("refuses %j as a whole file", (text) => {
    expect(() => parseModelConfig(text, "config.json")).toThrow(CheckpointError);
  });
});

describe("readModelConfig and hfConfigOf", () => {
  it.each(["qwen3-tied", "qwen3-untied"])(
    "what is written of %s says what was read, in transformers' words",
    async (name) => {
      const directory = fileURLToPath(new URL(`../golden/models/${name}`, import.meta.url));
      const config = await readModelConfig(diskFolder(directory));
      const written = hfConfigOf(config);
      expect(parseModelConfig(JSON.stringify(written), "written")).toEqual({ ...config, generationDefaults: {} });
      const original = JSON.parse(await readFile(join(directory, "config.json"), "utf8")) as Record<string, unknown>;
      for (const key of Object.keys(written).filter((key) => key in original)) {
        expect(written[key], key).toEqual(original[key]);
      }
    },
  );

  it("adds the stop tokens of generation_config.json", async () => {
    await writeFile(join(scratch, "config.json"), JSON.stringify(QWEN3));
    await writeFile(join(scratch, "generation_config.json"), '{"eos_token_id": [151645, 151643], "top_k": 20}');
    expect((await readModelConfig(diskFolder(scratch))).eosTokenIds).toEqual([151645, 151643]);
    await writeFile(join(scratch, "generation_config.json"), '{"eos_token_id": 999999}');
    await expect(readModelConfig(diskFolder(scratch))).rejects.toThrow(
      /generation_config.json: eos_token_id is 999999/,
    );
  });

  it("says so where there is no config.json, and where it is too large to be one", async () => {
    await expect(readModelConfig(diskFolder(join(scratch, "absent")))).rejects.toThrow(/absent has no config\.json/);
    const large = await mkdtemp(join(scratch, "large-"));
    await writeFile(join(large, "config.json"), " ".repeat(5 * 2 ** 20));
    await expect(readModelConfig(diskFolder(large))).rejects.toThrow(CheckpointError);
  });
});
