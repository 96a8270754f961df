import { copyFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFile } from "../../src/disk-folder.ts";
import { CheckpointError } from "../../src/errors.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { inspectModel, loadModel, saveModel, saveModelFrom } from "../../src/model/on-disk.ts";
import { elementCount, parameterSpecs } from "../../src/model/parameters.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { SafetensorsFile, type TensorData, writeSafetensors } from "../../src/model/safetensors.ts";

const golden = (name: string) => fileURLToPath(new URL(`../golden/models/${name}`, import.meta.url));
const config: ModelConfig = {
  ...presetConfig("tiny", { vocabSize: 31, eosTokenId: 1, padTokenId: 0 }),
  hiddenSize: 12,
  intermediateSize: 20,
  numLayers: 2,
  headDim: 6,
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-checkpoint-"));
});
afterAll(() => rm(scratch, { recursive: true }));

const fresh = () => mkdtemp(join(scratch, "model-"));

/** The tensors of a saved model, as the file has them. */
async function tensorsOf(directory: string): Promise<TensorData[]> {
  const file = await SafetensorsFile.open(...diskFile(join(directory, "model.safetensors")));
  const tensors: TensorData[] = [];
  for (const { name, shape } of file.entries.values()) {
    const data = new Float32Array(elementCount(shape));
    await file.readInto(name, data);
    tensors.push({ name, shape, data });
  }
  await file.close();
  return tensors;
}

async function savedModel(changes: Partial<ModelConfig> = {}): Promise<string> {
  const directory = await fresh();
  const changed = { ...config, ...changes };
  await saveModel(directory, changed, initializeParameters(changed, { seed: 5 }));
  return directory;
}

/** Gives tensors of a file another dtype of as many bits, their bytes left as they are. */
async function changeDtypes(path: string, dtypeOf: (name: string) => string | undefined): Promise<void> {
  const bytes = await readFile(path);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, end)) as Record<string, { dtype?: string }>;
  for (const [name, entry] of Object.entries(header)) {
    const dtype = dtypeOf(name);
    if (dtype !== undefined) entry.dtype = dtype;
  }
  const json = JSON.stringify(header).padEnd(end - 8, " ");
  await writeFile(path, Buffer.concat([bytes.subarray(0, 8), Buffer.from(json), bytes.subarray(end)]));
}

describe("loadModel and saveModel", () => {
  it("fills fused parameters with the checkpoint's matrices one after another, in the allocator's memory", async () => {
    const asked: number[] = [];
    const allocate = (elements: number) => {
      asked.push(elements);
      return new Float32Array(elements).fill(Number.NaN);
    };
    const { config: read, values } = await loadModel(golden("qwen3-untied"), { allocate });
    const stored = new Map((await tensorsOf(golden("qwen3-untied"))).map(({ name, data }) => [name, data]));
    const specs = parameterSpecs(read);
    expect(asked).toEqual(specs.map(({ shape }) => elementCount(shape)));
    const attention = "model.layers.1.self_attn";
    for (const part of ["q", "k", "v"]) {
      expect([...values.get(`layers.1.${part}`)!]).toEqual([...stored.get(`${attention}.${part}_proj.weight`)!]);
    }
    expect([...values.get("layers.2.up")!]).toEqual([...stored.get("model.layers.2.mlp.up_proj.weight")!]);
    for (const { name } of specs) expect(values.get(name)!.every(Number.isFinite), name).toBe(true);
  });

  it.each(["qwen3-tied", "qwen3-untied", "qwen2"])(
    "saves %s with the very tensors that transformers wrote",
    async (name) => {
      const directory = await fresh();
      const { config: read, values } = await loadModel(golden(name));
      await saveModel(directory, read, values);
      expect((await readdir(directory)).sort()).toEqual(["config.json", "generation_config.json", "model.safetensors"]);
      const byName = (tensors: TensorData[]) =>
        new Map(tensors.map(({ name, shape, data }) => [name, { shape, data }]));
      expect(byName(await tensorsOf(directory))).toEqual(byName(await tensorsOf(golden(name))));
      expect(await loadModel(directory)).toEqual({ config: read, values });
    },
  );

  it("reads a checkpoint in shards", async () => {
    const directory = await savedModel();
    const whole = await loadModel(directory);
    const tensors = await tensorsOf(directory);
    await rm(join(directory, "model.safetensors"));
    const weight_map: Record<string, string> = {};
    for (const [i, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      await writeSafetensors(...diskFile(join(directory, file)), part);
      for (const { name } of part) weight_map[name] = file;
    }
    const index = join(directory, "model.safetensors.index.json");
    await writeFile(index, JSON.stringify({ metadata: {}, weight_map }));
    expect(await loadModel(directory)).toEqual(whole);
    await writeFile(index, JSON.stringify({ weight_map: { ...weight_map, x: "../../secret.safetensors" } }));
    await expect(loadModel(directory)).rejects.toThrow(/secret\.safetensors", which is no safetensors file beside it/);
    await writeFile(index, "{}");
    await expect(loadModel(directory)).rejects.toThrow(/no weight_map/);
  });

  it("writes shards above a size, an index that transformers reads, and no file of an earlier form", async () => {
    const directory = await savedModel();
    const whole = await loadModel(directory);
    await saveModel(directory, whole.config, whole.values, { maxShardBytes: 3_000 });
    const names = (await readdir(directory)).filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBeGreaterThan(2);
    expect(names.sort()[0]).toBe(`model-00001-of-${String(names.length).padStart(5, "0")}.safetensors`);
    const index = JSON.parse(await readFile(join(directory, "model.safetensors.index.json"), "utf8")) as {
      metadata: Record<string, number>;
      weight_map: Record<string, string>;
    };
    const specs = parameterSpecs(whole.config);
    const elements = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(index.metadata).toEqual({ total_parameters: elements, total_size: 4 * elements });
    expect(Object.keys(index.weight_map)).toEqual(specs.map(({ checkpointName }) => checkpointName));
    expect([...new Set(Object.values(index.weight_map))].sort()).toEqual(names);
    for (const name of names) {
      const file = await SafetensorsFile.open(...diskFile(join(directory, name)));
      const sizes = [...file.entries.values()].map(({ sizeBytes }) => sizeBytes);
      // Only a tensor that is larger by itself may pass the limit.
      if (sizes.length > 1) expect(sizes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(3_000);
      await file.close();
    }
    expect(await loadModel(directory)).toEqual(whole);
    await saveModel(directory, whole.config, whole.values);
    expect((await readdir(directory)).sort()).toEqual(["config.json", "generation_config.json", "model.safetensors"]);
    expect(await loadModel(directory)).toEqual(whole);
  });

  it("writes bfloat16: a bfloat16 checkpoint's very bits, and half of the bytes", async () => {
    const directory = await fresh();
    const whole = await loadModel(golden("llama-scaled"));
    await saveModel(directory, whole.config, whole.values, { dtype: "bfloat16" });
    const config = JSON.parse(await readFile(join(directory, "config.json"), "utf8")) as Record<string, unknown>;
    expect([config.dtype, config.torch_dtype]).toEqual(["bfloat16", "bfloat16"]);
    expect((await inspectModel(directory)).dtypes).toEqual(["BF16"]);
    expect((await inspectModel(directory)).storedBytes).toBe((await inspectModel(golden("llama-scaled"))).storedBytes);
    expect(await loadModel(directory)).toEqual(whole);
  });

  it("keeps what generation_config.json says beside special tokens", async () => {
    const directory = await savedModel();
    const file = join(directory, "generation_config.json");
    await writeFile(file, '{"eos_token_id": [1, 4], "temperature": 0.6, "top_p": 0.95, "transformers_version": "4.1"}');
    const whole = await loadModel(directory);
    expect(whole.config.generationDefaults).toEqual({ temperature: 0.6, top_p: 0.95 });
    const out = await fresh();
    await saveModel(out, whole.config, whole.values);
    expect(JSON.parse(await readFile(join(out, "generation_config.json"), "utf8"))).toEqual({
      bos_token_id: null,
      eos_token_id: [1, 4],
      pad_token_id: 0,
      temperature: 0.6,
      top_p: 0.95,
    });
    expect(await loadModel(out)).toEqual(whole);
  });

  it("asks for one parameter after another where weights are not all in memory", async () => {
    const directory = await fresh();
    const values = initializeParameters(config, { seed: 2 });
    let held = 0;
    await saveModelFrom(directory, config, async ({ name }) => {
      expect(held++).toBe(parameterSpecs(config).findIndex((parameter) => parameter.name === name));
      return values.get(name)!;
    });
    expect((await loadModel(directory)).values).toEqual(values);
  });

  it("leaves no file behind where the weights cannot be had", async () => {
    const directory = await fresh();
    const fail = saveModelFrom(directory, config, ({ name, shape }) => {
      if (name === "layers.1.k") throw new CheckpointError("gone");
      return new Float32Array(elementCount(shape));
    });
    await expect(fail).rejects.toThrow("gone");
    await expect(saveModelFrom(directory, config, () => new Float32Array(3))).rejects.toThrow(
      /does not have 3 elements/,
    );
    expect(await readdir(directory)).toEqual([]);
  });

  it("names a shard that is missing or cut short, and a tensor that is not where the index says", async () => {
    const sharded = async () => {
      const directory = await fresh();
      await cp(golden("llama-linear"), directory, { recursive: true });
      return directory;
    };
    const shard = "model-00003-of-00009.safetensors";
    const missing = await sharded();
    await rm(join(missing, shard));
    await expect(loadModel(missing)).rejects.toThrow(/lacks 1 of the 9 weight files .*model-00003-of-00009/);
    const short = await sharded();
    const bytes = await readFile(join(short, shard));
    await writeFile(join(short, shard), bytes.subarray(0, bytes.length - 2));
    await expect(loadModel(short)).rejects.toThrow(/model-00003-of-00009\.safetensors is not a sound safetensors file/);
    const wrong = await sharded();
    const indexPath = join(wrong, "model.safetensors.index.json");
    const index = JSON.parse(await readFile(indexPath, "utf8")) as { weight_map: Record<string, string> };
    index.weight_map["model.norm.weight"] = "model-00001-of-00009.safetensors";
    await writeFile(indexPath, JSON.stringify(index));
    await expect(loadModel(wrong)).rejects.toThrow(/index says that model\.norm\.weight is in model-00001/);
    for (const directory of [missing, short, wrong])
      await expect(loadModel(directory)).rejects.toThrow(CheckpointError);
  });

  it("takes a second copy of a tied embedding for what it is, and refuses a different one", async () => {
    const directory = await savedModel();
    const tensors = await tensorsOf(directory);
    const embedding = tensors.find(({ name }) => name === "model.embed_tokens.weight")!;
    const path = join(directory, "model.safetensors");
    await writeSafetensors(...diskFile(path), [...tensors, { ...embedding, name: "lm_head.weight" }]);
    expect((await loadModel(directory)).values.has("head")).toBe(false);
    const other = embedding.data.map((value, i) => (i === 77 ? value + 1e-3 : value));
    await writeSafetensors(...diskFile(path), [...tensors, { ...embedding, data: other, name: "lm_head.weight" }]);
    await expect(loadModel(directory)).rejects.toThrow(/tie_word_embeddings = true, but lm_head\.weight differs/);
  });

  it("takes a tied head that is stored in place of the embedding for the embedding", async () => {
    const directory = await savedModel();
    const whole = await loadModel(directory);
    const before = await inspectModel(directory);
    const renamed = (await tensorsOf(directory)).map((tensor) =>
      tensor.name === "model.embed_tokens.weight" ? { ...tensor, name: "lm_head.weight" } : tensor,
    );
    await writeSafetensors(...diskFile(join(directory, "model.safetensors")), renamed);
    expect(await loadModel(directory)).toEqual(whole);
    expect(await inspectModel(directory)).toEqual(before);
    // Of an untied model each of the two is missed.
    const untied = await savedModel({ tieWordEmbeddings: false });
    for (const name of ["lm_head.weight", "model.embed_tokens.weight"]) {
      const tensors = await tensorsOf(untied);
      const copy = await fresh();
      await cp(untied, copy, { recursive: true });
      await writeSafetensors(
        ...diskFile(join(copy, "model.safetensors")),
        tensors.filter((tensor) => tensor.name !== name),
      );
      await expect(loadModel(copy)).rejects.toThrow(`${name} is missing`);
    }
  });

  it("passes over buffers and heads for another use, and says so", async () => {
    const directory = await savedModel();
    const whole = await loadModel(directory);
    const names = [
      "model.layers.0.self_attn.rotary_emb.inv_freq",
      "model.rotary_emb.cos_cached",
      "model.layers.1.self_attn.masked_bias",
      "model.embeddings.position_ids",
      "v_head.summary.weight",
      "score.weight",
      "mtp.layers.0.input_layernorm.weight",
    ];
    const others = names.map((name) => ({ name, shape: [3], data: new Float32Array(3) }));
    const path = join(directory, "model.safetensors");
    await writeSafetensors(...diskFile(path), [...(await tensorsOf(directory)), ...others]);
    await changeDtypes(path, (name) => (name.endsWith("position_ids") ? "I32" : undefined));
    expect(await loadModel(directory)).toEqual(whole);
    expect((await inspectModel(directory)).ignored.toSorted()).toEqual(names.toSorted());
  });

  it("refuses tensors that mean another model than the config's", async () => {
    for (const name of [
      "model.layers.0.self_attn.q_proj.bias",
      "model.layers.2.input_layernorm.weight",
      "lm_head.bias",
    ]) {
      const directory = await savedModel();
      const more = { name, shape: [12], data: new Float32Array(12) };
      await writeSafetensors(...diskFile(join(directory, "model.safetensors")), [
        ...(await tensorsOf(directory)),
        more,
      ]);
      await expect(loadModel(directory)).rejects.toThrow(`${name} is not a tensor of this model`);
    }
  });

  it("names weights of a dtype that is not read before it reads any", async () => {
    const directory = await savedModel();
    await changeDtypes(join(directory, "model.safetensors"), (name) =>
      name.includes("0.mlp.up_proj") ? "I32" : undefined,
    );
    await expect(inspectModel(directory)).rejects.toThrow(
      "model.layers.0.mlp.up_proj.weight is stored as I32. Weights are read from F32, F64, F16, BF16",
    );
  });

  it.each([
    [
      (name: string) => `_orig_mod.${name}`,
      /with "_orig_mod\.", by torch\.compile.*as in _orig_mod\.model\.embed_tokens/,
    ],
    [(name: string) => name.replace("model.", "model._orig_mod."), /with "_orig_mod\.", by torch\.compile/],
    [(name: string) => `module.${name}`, /with "module\.", by DataParallel/],
    [(name: string) => `base_model.model.${name}`, /with "base_model\.model\.", by PEFT.*merge_and_unload/],
    [(name: string) => name.replace("q_proj.", "q_proj.base_layer."), /with "\.base_layer\.", by PEFT/],
    [(name: string) => name.replace("layers.0.", "layers.0._fsdp_wrapped_module."), /_fsdp_wrapped_module\.", by FSDP/],
    [(name: string) => `pretrained_model.${name}`, /with "pretrained_model\.", by TRL/],
    [(name: string) => name.replace(/^model\./, ""), /without "model\.", as AutoModel saves a model/],
    [(name: string) => name.replace(/^model\./, "transformer."), /with "transformer\." in place of "model\."/],
  ])("names what a wrapper put into the tensors' names (%#)", async (rename, message) => {
    const directory = await savedModel();
    const renamed = (await tensorsOf(directory)).map((tensor) => ({ ...tensor, name: rename(tensor.name) }));
    await writeSafetensors(...diskFile(join(directory, "model.safetensors")), renamed);
    await expect(loadModel(directory)).rejects.toThrow(CheckpointError);
    await expect(loadModel(directory)).rejects.toThrow(message);
  });

  it.each([
    ["pytorch_model.bin", /pytorch_model\.bin is a pickle, which can run code and is not read/],
    ["pytorch_model-00001-of-00002.bin", /is a pickle/],
    ["model-00001-of-00002.safetensors", /is a shard whose index is missing/],
    ["model.fp16.safetensors", /is a variant\. Rename it to model\.safetensors/],
    ["model.Q8_0.gguf", /is a GGUF file/],
    ["adapter_model.safetensors", /is an adapter's/],
  ])("says what %s is where there is nothing else", async (name, message) => {
    const directory = await savedModel();
    await rm(join(directory, "model.safetensors"));
    await writeFile(join(directory, name), "");
    await expect(loadModel(directory)).rejects.toThrow(message);
  });

  it("names a Git LFS pointer in place of the weights or of a text", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n";
    for (const name of ["model.safetensors", "config.json"]) {
      const directory = await savedModel();
      await writeFile(join(directory, name), pointer);
      await expect(loadModel(directory)).rejects.toThrow(CheckpointError);
      await expect(loadModel(directory)).rejects.toThrow(`Run "git lfs pull" in ${directory}`);
    }
  });

  it("names every tensor that is missing, too much or of another shape, and takes no memory for it", async () => {
    const directory = await savedModel();
    const tensors = await tensorsOf(directory);
    const changed = tensors
      .filter(({ name }) => name !== "model.norm.weight")
      .map((tensor) => (tensor.name.endsWith("1.mlp.up_proj.weight") ? { ...tensor, shape: [12, 20] } : tensor));
    await writeSafetensors(...diskFile(join(directory, "model.safetensors")), [
      ...changed,
      { name: "model.extra", shape: [1], data: new Float32Array(1) },
    ]);
    const load = loadModel(directory, {
      allocate: () => {
        throw new Error("allocated");
      },
    });
    await expect(load).rejects.toThrow(CheckpointError);
    const message = await load.catch((error: Error) => error.message);
    expect(message).toContain("model.norm.weight is missing");
    expect(message).toContain("model.layers.1.mlp.up_proj.weight: expected shape [20, 12], found [12, 20]");
    expect(message).toContain("model.extra is not a tensor of this model");
  });

  it("refuses the weights of another model", async () => {
    const directory = await fresh();
    await cp(golden("qwen3-tied"), directory, { recursive: true });
    await copyFile(join(golden("qwen3-untied"), "model.safetensors"), join(directory, "model.safetensors"));
    await expect(loadModel(directory)).rejects.toThrow(/are not those of its config\.json: .*; and \d+ more/);
  });

  it("says what a directory without weights lacks, and a truncated file", async () => {
    const directory = await savedModel();
    const path = join(directory, "model.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 1));
    await expect(loadModel(directory)).rejects.toThrow(CheckpointError);
    await rm(path);
    await expect(loadModel(directory)).rejects.toThrow(
      /neither model\.safetensors nor model\.safetensors\.index\.json/,
    );
  });

  it("saves nothing where a parameter is missing or of another size", async () => {
    const directory = await fresh();
    const values = initializeParameters(config, { seed: 1 });
    const without = new Map(values);
    without.delete("layers.1.q");
    await expect(saveModel(directory, config, without)).rejects.toThrow(/no parameter layers\.1\.q\b/);
    const wrong = new Map(values).set("finalNorm", new Float32Array(13));
    await expect(saveModel(directory, config, wrong)).rejects.toThrow(/finalNorm has 13 elements, expected 12/);
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("inspectModel", () => {
  it("tells the config and what is stored without reading the weights", async () => {
    const { config: read, storedBytes, dtypes } = await inspectModel(golden("qwen3-tied"));
    const elements = parameterSpecs(read).reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect([storedBytes, dtypes]).toEqual([4 * elements, ["F32"]]);
  });
});
