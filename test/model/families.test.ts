/** The configs of families whose layers differ: as published, as written back, and those that are refused. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { CheckpointError } from "../../src/errors.ts";
import { families, newModelLayers } from "../../src/model/families/registry.ts";
import { hfConfigOf, parseModelConfig, readModelConfig } from "../../src/model/hf-config.ts";
import { layerKind, type ModelConfig } from "../../src/model/model-config.ts";

const folder = fileURLToPath(new URL("../golden/families/", import.meta.url));

/** Keys of the published config.json files that decide about numbers. */
const PUBLISHED = {
  "Mistral-7B-v0.1": {
    ...{ architectures: ["MistralForCausalLM"], model_type: "mistral", hidden_act: "silu", hidden_size: 4096 },
    ...{ intermediate_size: 14336, max_position_embeddings: 32768, num_attention_heads: 32, num_hidden_layers: 32 },
    ...{ num_key_value_heads: 8, rms_norm_eps: 1e-5, rope_theta: 10000, sliding_window: 4096 },
    ...{ tie_word_embeddings: false, vocab_size: 32000, bos_token_id: 1, eos_token_id: 2 },
  },
  "Mistral-7B-Instruct-v0.3": {
    ...{ architectures: ["MistralForCausalLM"], model_type: "mistral", hidden_act: "silu", hidden_size: 4096 },
    ...{ intermediate_size: 14336, max_position_embeddings: 32768, num_attention_heads: 32, num_hidden_layers: 32 },
    ...{ num_key_value_heads: 8, rms_norm_eps: 1e-5, rope_theta: 1000000, sliding_window: null },
    ...{ tie_word_embeddings: false, vocab_size: 32768, attention_dropout: 0, bos_token_id: 1, eos_token_id: 2 },
  },
  "SmolLM3-3B": {
    ...{ architectures: ["SmolLM3ForCausalLM"], model_type: "smollm3", hidden_act: "silu", hidden_size: 2048 },
    ...{ intermediate_size: 11008, max_position_embeddings: 65536, num_attention_heads: 16, num_hidden_layers: 36 },
    ...{ num_key_value_heads: 4, rms_norm_eps: 1e-6, rope_theta: 5000000, rope_scaling: null, sliding_window: null },
    ...{ use_sliding_window: false, max_window_layers: 28, no_rope_layer_interval: 4, vocab_size: 128256 },
    ...{ layer_types: Array.from({ length: 36 }, () => "full_attention"), mlp_bias: false, eos_token_id: 128012 },
    no_rope_layers: Array.from({ length: 36 }, (_, layer) => (layer % 4 === 3 ? 0 : 1)),
  },
  "gemma-3-270m": {
    ...{ architectures: ["Gemma3ForCausalLM"], model_type: "gemma3_text", hidden_activation: "gelu_pytorch_tanh" },
    ...{
      hidden_size: 640,
      intermediate_size: 2048,
      max_position_embeddings: 32768,
      num_attention_heads: 4,
      head_dim: 256,
    },
    ...{ num_hidden_layers: 18, num_key_value_heads: 1, rms_norm_eps: 1e-6, rope_theta: 1000000 },
    ...{ rope_local_base_freq: 10000, rope_scaling: null, sliding_window: 512, query_pre_attn_scalar: 256 },
    ...{ attn_logit_softcapping: null, final_logit_softcapping: null, use_bidirectional_attention: false },
    ...{ _sliding_window_pattern: 6, bos_token_id: 2, eos_token_id: 1, pad_token_id: 0, vocab_size: 262144 },
    layer_types: Array.from({ length: 18 }, (_, layer) => (layer % 6 === 5 ? "full_attention" : "sliding_attention")),
  },
} as const;

type Name = keyof typeof PUBLISHED;
const parse = (name: Name, changes: Record<string, unknown> = {}): ModelConfig => {
  const merged = Object.entries({ ...PUBLISHED[name], ...changes }).filter(([, value]) => value !== undefined);
  return parseModelConfig(JSON.stringify(Object.fromEntries(merged)), "config.json");
};
const kinds = (config: ModelConfig) => Array.from({ length: config.numLayers }, (_, layer) => layerKind(config, layer));
const without = <T>(value: T, count: number): T[] => Array.from({ length: count }, () => value);

describe("published configs", () => {
  it("of Mistral: a window in every layer in the first version, none later", () => {
    const first = parse("Mistral-7B-v0.1");
    expect(first).toMatchObject({ slidingWindow: 4096, headDim: 128, qkNorm: false, ropeTheta: 10_000 });
    expect(kinds(first)).toEqual(without({ slides: true, rope: "global" }, 32));
    expect(parse("Mistral-7B-Instruct-v0.3")).toMatchObject({ slidingWindow: null, layers: [], ropeTheta: 1e6 });
    // transformers' default, unlike null.
    expect(parse("Mistral-7B-v0.1", { sliding_window: undefined }).slidingWindow).toBe(4096);
    expect(parse("Mistral-7B-v0.1", { head_dim: 160 }).headDim).toBe(160);
  });

  it("of SmolLM3: every fourth layer without RoPE, by the list, the interval, or neither", () => {
    const expected = Array.from({ length: 36 }, (_, layer) => ({
      slides: false,
      rope: layer % 4 === 3 ? "none" : "global",
    }));
    for (const changes of [
      {},
      { no_rope_layers: undefined },
      { no_rope_layers: undefined, no_rope_layer_interval: undefined, layer_types: undefined },
    ]) {
      expect(kinds(parse("SmolLM3-3B", changes))).toEqual(expected);
    }
    const third = kinds(parse("SmolLM3-3B", { no_rope_layers: null, no_rope_layer_interval: 3 }));
    expect(third.map(({ rope }) => rope).slice(0, 6)).toEqual(["global", "global", "none", "global", "global", "none"]);
    expect(parse("SmolLM3-3B")).toMatchObject({ tieWordEmbeddings: true, headDim: 128, ropeTheta: 5e6 });
    expect(parse("SmolLM3-3B", { rope_theta: undefined }).ropeTheta).toBe(2e6);
  });

  it("of Gemma 3: five of six layers local, by the list, the pattern, or neither", () => {
    const local = { slides: true, rope: "local" };
    const expected = Array.from({ length: 18 }, (_, layer) =>
      layer % 6 === 5 ? { slides: false, rope: "global" } : local,
    );
    for (const changes of [{}, { layer_types: undefined, sliding_window_pattern: 6 }, { layer_types: undefined }]) {
      expect(kinds(parse("gemma-3-270m", changes))).toEqual(expected);
    }
    expect(parse("gemma-3-270m")).toMatchObject({
      ...{ activation: "gelu_tanh", offsetNorms: true, postNorms: true, scalesEmbedding: true, qkNorm: true },
      ...{ tieWordEmbeddings: true, slidingWindow: 512, queryPreAttnScalar: null, ropeTheta: 1e6 },
      localRope: { ropeTheta: 10_000, ropeScaling: null },
    });
    expect(parse("gemma-3-270m", { query_pre_attn_scalar: 168 }).queryPreAttnScalar).toBe(168);
  });

  it("of Gemma 3 with RoPE by layer type, as transformers 5 writes them", () => {
    const config = parse("gemma-3-270m", {
      ...{ rope_theta: undefined, rope_local_base_freq: undefined, rope_scaling: undefined },
      rope_parameters: {
        full_attention: { rope_type: "linear", factor: 8, rope_theta: 5e5 },
        sliding_attention: { rope_type: "default", rope_theta: 123 },
      },
    });
    expect(config).toMatchObject({
      ...{ ropeTheta: 5e5, ropeScaling: { type: "linear", factor: 8 } },
      localRope: { ropeTheta: 123, ropeScaling: null },
    });
  });
});

describe("what is written", () => {
  it.each(["mistral-window", "mistral-wide", "smollm3-bias", "smollm3-window", "gemma3", "gemma3-odd", "qwen3-window"])(
    "of %s says what was read, in transformers' words",
    async (name) => {
      const config = await readModelConfig(diskFolder(join(folder, name)));
      const written = hfConfigOf(config);
      expect(parseModelConfig(JSON.stringify(written), "written")).toEqual({ ...config, generationDefaults: {} });
      const original = JSON.parse(await readFile(join(folder, name, "config.json"), "utf8")) as Record<string, unknown>;
      // Null and absent are one to these families; the number format is the writer's choice.
      const others = ["rope_theta", "rope_scaling", "rope_parameters", "dtype", "torch_dtype"];
      for (const [key, value] of Object.entries(original)) {
        if (!(key in written) || others.includes(key)) continue;
        expect(written[key] ?? null, key).toEqual(value ?? null);
      }
    },
  );

  it("of a new model of each family says that model", () => {
    for (const { name } of families.all) {
      const shape = { numLayers: 7, headDim: 32 };
      const base = parse("Mistral-7B-Instruct-v0.3");
      const { qkNorm, attentionBias, attentionOutputBias, mlpBias, ...others } = families.get(name).switches({
        attention_bias: false,
        mlp_bias: false,
      });
      const config = {
        ...{ ...base, architecture: name, ...shape, qkNorm, attentionBias, attentionOutputBias, mlpBias, ...others },
        ...newModelLayers(name, shape),
      };
      expect(parseModelConfig(JSON.stringify(hfConfigOf(config)), name)).toEqual(config);
    }
  });

  it("is refused where the family has no words for it", () => {
    const gemma = parse("gemma-3-270m");
    const wrong: readonly [ModelConfig, RegExp][] = [
      [{ ...gemma, layers: [] }, /slidingWindow/],
      [{ ...gemma, localRope: null }, /localRope/],
      [{ ...gemma, postNorms: false }, /postNorms/],
      [
        { ...parse("Mistral-7B-v0.1"), layers: [{ slides: false, rope: "none" }] },
        /a mistral cannot say this model's layers/,
      ],
      [{ ...parse("Mistral-7B-v0.1"), queryPreAttnScalar: 3 }, /queryPreAttnScalar/],
      [{ ...parse("Mistral-7B-v0.1"), architecture: "llama" }, /slidingWindow/],
    ];
    for (const [config, message] of wrong) expect(() => hfConfigOf(config)).toThrow(message);
  });
});

describe("refused by the key's name", () => {
  it.each<[Name, Record<string, unknown>, RegExp]>([
    ["Mistral-7B-v0.1", { sliding_window: 0 }, /sliding_window is 0/],
    ["Mistral-7B-v0.1", { sliding_window: -4 }, /sliding_window is -4/],
    ["Mistral-7B-v0.1", { sliding_window: 0.5 }, /sliding_window/],
    ["Mistral-7B-v0.1", { layer_types: without("full_attention", 32) }, /layer_types has "full_attention"/],
    ["Mistral-7B-v0.1", { layer_types: ["sliding_attention"] }, /1 entries for num_hidden_layers = 32/],
    ["SmolLM3-3B", { no_rope_layers: [1, 1, 0] }, /no_rope_layers has 3 entries/],
    ["SmolLM3-3B", { no_rope_layers: without(2, 36) }, /no_rope_layers/],
    ["SmolLM3-3B", { no_rope_layers: null, no_rope_layer_interval: 0 }, /no_rope_layer_interval/],
    ["SmolLM3-3B", { layer_types: without("sliding_attention", 36) }, /use_sliding_window and sliding_window/],
    ["SmolLM3-3B", { layer_types: without("chunked_attention", 36) }, /"chunked_attention"; supported are/],
    ["gemma-3-270m", { hidden_activation: "gelu" }, /hidden_activation = "gelu".*only "gelu_pytorch_tanh"/],
    ["gemma-3-270m", { sliding_window: null }, /sliding_window is missing/],
    ["gemma-3-270m", { final_logit_softcapping: 30 }, /final_logit_softcapping = 30 is not supported; only null/],
    ["gemma-3-270m", { attn_logit_softcapping: 50 }, /attn_logit_softcapping = 50/],
    ["gemma-3-270m", { use_bidirectional_attention: true }, /use_bidirectional_attention = true/],
    ["gemma-3-270m", { query_pre_attn_scalar: 0 }, /query_pre_attn_scalar/],
    ["gemma-3-270m", { sliding_window_pattern: 0 }, /sliding_window_pattern/],
    [
      "gemma-3-270m",
      { rope_parameters: { rope_type: "default", rope_theta: 1e4 } },
      /rope_parameters has the key "rope/,
    ],
    ["gemma-3-270m", { rope_local_base_freq: -1 }, /rope_local_base_freq/],
    ["gemma-3-270m", { model_type: "gemma3", architectures: ["Gemma3ForConditionalGeneration"] }, /"gemma3_text" with/],
    ["gemma-3-270m", { model_type: "gemma2", architectures: ["Gemma2ForCausalLM"] }, /"gemma3_text" with/],
  ])("%s with %j", (name, changes, message) => {
    expect(() => parse(name, changes)).toThrow(CheckpointError);
    expect(() => parse(name, changes)).toThrow(message);
  });

  it("a window without a size in Qwen's config, and one in a family without windows", () => {
    const qwen = { ...PUBLISHED["Mistral-7B-v0.1"], model_type: "qwen3", architectures: ["Qwen3ForCausalLM"] };
    const read = (config: object) => parseModelConfig(JSON.stringify(config), "config.json");
    const types = [...without("full_attention", 31), "sliding_attention"];
    expect(
      read({ ...qwen, use_sliding_window: true, max_window_layers: 30 }).layers.filter((l) => l.slides),
    ).toHaveLength(2);
    expect(() => read({ ...qwen, layer_types: types })).toThrow(/use_sliding_window is not true/);
    expect(read({ ...qwen, layer_types: types, use_sliding_window: true }).layers.at(-1)!.slides).toBe(true);
    const llama = { ...PUBLISHED["Mistral-7B-v0.1"], model_type: "llama", architectures: ["LlamaForCausalLM"] };
    expect(() => read({ ...llama, use_sliding_window: true })).toThrow(/use_sliding_window.*mistral, qwen2/s);
    expect(() => read({ ...llama, layer_types: types })).toThrow(/a llama has only "full_attention"/);
  });
});
