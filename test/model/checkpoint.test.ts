import { copyFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/errors.ts";
import { inspectModel, loadModel, saveModel } from "../../src/model/checkpoint.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
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
  const file = await SafetensorsFile.open(join(directory, "model.safetensors"));
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

  it.each(["qwen3-tied", "qwen3-untied"])("saves %s with the very tensors that transformers wrote", async (name) => {
    const directory = await fresh();
    const { config: read, values } = await loadModel(golden(name));
    await saveModel(directory, read, values);
    expect((await readdir(directory)).sort()).toEqual(["config.json", "generation_config.json", "model.safetensors"]);
    const byName = (tensors: TensorData[]) => new Map(tensors.map(({ name, shape, data }) => [name, { shape, data }]));
    expect(byName(await tensorsOf(directory))).toEqual(byName(await tensorsOf(golden(name))));
    expect(await loadModel(directory)).toEqual({ config: read, values });
  });

  it("reads a checkpoint in shards", async () => {
    const directory = await savedModel();
    const whole = await loadModel(directory);
    const tensors = await tensorsOf(directory);
    await rm(join(directory, "model.safetensors"));
    const weight_map: Record<string, string> = {};
    for (const [i, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      await writeSafetensors(join(directory, file), part);
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

  it("takes a second copy of a tied embedding for what it is, and refuses a different one", async () => {
    const directory = await savedModel();
    const tensors = await tensorsOf(directory);
    const embedding = tensors.find(({ name }) => name === "model.embed_tokens.weight")!;
    const path = join(directory, "model.safetensors");
    await writeSafetensors(path, [...tensors, { ...embedding, name: "lm_head.weight" }]);
    expect((await loadModel(directory)).values.has("head")).toBe(false);
    const other = embedding.data.map((value, i) => (i === 77 ? value + 1e-3 : value));
    await writeSafetensors(path, [...tensors, { ...embedding, data: other, name: "lm_head.weight" }]);
    await expect(loadModel(directory)).rejects.toThrow(/tie_word_embeddings = true, but lm_head\.weight differs/);
  });

  it("ignores tables that follow from the config", async () => {
    const directory = await savedModel();
    const table = { name: "model.layers.0.self_attn.rotary_emb.inv_freq", shape: [3], data: new Float32Array(3) };
    await writeSafetensors(join(directory, "model.safetensors"), [...(await tensorsOf(directory)), table]);
    await expect(loadModel(directory)).resolves.toBeDefined();
  });

  it("names every tensor that is missing, too much or of another shape, and takes no memory for it", async () => {
    const directory = await savedModel();
    const tensors = await tensorsOf(directory);
    const changed = tensors
      .filter(({ name }) => name !== "model.norm.weight")
      .map((tensor) => (tensor.name.endsWith("1.mlp.up_proj.weight") ? { ...tensor, shape: [12, 20] } : tensor));
    await writeSafetensors(join(directory, "model.safetensors"), [
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
