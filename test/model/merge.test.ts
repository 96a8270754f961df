import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelCommand } from "../../src/cli/model.ts";
import { Compute } from "../../src/compute/compute.ts";
import { diskFile, diskFolder } from "../../src/disk-folder.ts";
import { openEngine } from "../../src/engine/open.ts";
import { AhaError, CheckpointError } from "../../src/errors.ts";
import { initializeAdapter, type LoraConfig } from "../../src/model/lora.ts";
import { foldAdapter } from "../../src/model/merge.ts";
import { describeAdapter, inspectModel, loadModel, loadPeftAdapter } from "../../src/model/on-disk.ts";
import type { ParameterValues } from "../../src/model/parameters.ts";
import { writePeftAdapter } from "../../src/model/peft-adapter.ts";
import { SafetensorsFile, writeSafetensors } from "../../src/model/safetensors.ts";
import { Random } from "../../src/random.ts";
import { recordedConsole } from "../cli/console.ts";

const goldenPath = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
interface Golden {
  readonly tolerance: number;
  readonly cases: readonly {
    readonly adapter: string;
    readonly base: string;
    readonly sequences: readonly Record<"tokens" | "logprobs" | "merged" | "base", number[]>[];
  }[];
}
const golden = JSON.parse(await readFile(goldenPath("adapter-logprobs.json"), "utf8")) as Golden;
const modelPath = (name: string) => goldenPath(`models/${name}`);
const adapterPath = (name: string) => goldenPath(`adapters/${name}`);
const LORA: LoraConfig = { rank: 3, alpha: 7, dropout: 0, rsLora: false, targets: ["q_proj", "v_proj"] };

let scratch: string;
let fresh = 0;
const newPath = () => join(scratch, String(fresh++));
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-merge-"));
});
afterAll(() => rm(scratch, { recursive: true }));

async function run(...args: string[]) {
  const console = recordedConsole();
  expect(await modelCommand.run(args, console)).toBe(0);
  return { out: console.stdout(), note: console.stderr() };
}

async function score(sequences: readonly { readonly tokens: number[] }[], ...args: string[]): Promise<number[][]> {
  const path = newPath();
  await writeFile(path, JSON.stringify(sequences.map(({ tokens }) => tokens)));
  return JSON.parse((await run("score", ...args, "--tokens", path, "--json", "--threads", "1")).out) as number[][];
}

function largestDifference(found: readonly number[][], expected: readonly number[][]): number {
  expect(found.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  return Math.max(...found.flatMap((row, i) => row.map((value, j) => Math.abs(value - expected[i]![j]!))));
}

/** A copy of the golden `adapter`, with some keys of its config changed. */
async function changedAdapter(adapter: string, changes: Record<string, unknown>): Promise<string> {
  const path = newPath();
  await cp(adapterPath(adapter), path, { recursive: true });
  const configPath = join(path, "adapter_config.json");
  const config = JSON.parse(await readFile(configPath, "utf8")) as Record<string, unknown>;
  await writeFile(configPath, JSON.stringify({ ...config, ...changes }));
  return path;
}

describe.each(golden.cases)("PEFT's adapter $adapter", ({ adapter, base, sequences }) => {
  const withAdapter = sequences.map(({ logprobs }) => logprobs);

  it("gives PEFT's log-probabilities, and these are not the base's", async () => {
    const found = await score(sequences, modelPath(base), "--adapter", adapterPath(adapter));
    expect(largestDifference(found, withAdapter)).toBeLessThan(golden.tolerance);
    expect(
      largestDifference(
        found,
        sequences.map((sequence) => sequence.base),
      ),
    ).toBeGreaterThan(0.1);
  });

  it("may be named in the place of the model: its base is where its config says", async () => {
    const found = await score(sequences, adapterPath(adapter));
    expect(largestDifference(found, withAdapter)).toBeLessThan(golden.tolerance);
  });

  it("merges into a model with the log-probabilities of PEFT's merge_and_unload", async () => {
    const out = newPath();
    const { note } = await run("merge", modelPath(base), adapterPath(adapter), "--out", out, "--dtype", "float32");
    expect(note).toBe("");
    const merged = await score(sequences, out);
    expect(
      largestDifference(
        merged,
        sequences.map((sequence) => sequence.merged),
      ),
    ).toBeLessThan(golden.tolerance);
  });

  it("merges into the base's number format by default", async () => {
    const out = newPath();
    await run("merge", modelPath(base), adapterPath(adapter), "--out", out);
    expect((await inspectModel(out)).dtypes).toEqual((await inspectModel(modelPath(base))).dtypes);
  });
});

const valuesOf =
  (values: ParameterValues) =>
  ({ name }: { readonly name: string }) =>
    values.get(name)!;

describe("aha model merge", () => {
  const [base, adapter] = [modelPath("qwen2"), adapterPath("qwen2-attention")];

  it("tells what it merged as JSON", async () => {
    const out = newPath();
    const about = JSON.parse((await run("merge", base, adapter, "--out", out, "--json")).out) as object;
    expect(about).toMatchObject({ out, base, adapter, dtype: "float32", rank: 3, alpha: 7, scale: 7 / 3, matrices: 4 });
    expect(about).toMatchObject({ rsLora: false, targets: ["q_proj", "v_proj"], warnings: [] });
  });

  it("keeps a float16 base in float16, with the numbers of the merge in float32 rounded", async () => {
    const { config } = await loadModel(modelPath("llama-tied"));
    const directory = newPath();
    await mkdir(directory);
    const values = initializeAdapter(config, LORA, { seed: 3 });
    const random = new Random(5, "b");
    for (const [name, numbers] of values) if (name.endsWith("B")) numbers.set(numbers.map(() => random.uniform()));
    await writePeftAdapter(diskFolder(directory), config, LORA, valuesOf(values), resolve(modelPath("llama-tied")));
    const [half, whole] = [newPath(), newPath()];
    await run("merge", modelPath("llama-tied"), directory, "--out", half);
    await run("merge", modelPath("llama-tied"), directory, "--out", whole, "--dtype", "float32");
    expect((await inspectModel(half)).dtypes).toEqual(["F16"]);
    expect(JSON.parse(await readFile(join(half, "config.json"), "utf8"))).toMatchObject({ dtype: "float16" });
    const exact = (await loadModel(whole)).values;
    for (const [name, numbers] of (await loadModel(half)).values) {
      // 11 bits: at most half of the last place, or of 2^-24 where the numbers are subnormal.
      numbers.forEach((value, i) => {
        const wanted = exact.get(name)![i]!;
        expect(Math.abs(value - wanted)).toBeLessThanOrEqual(Math.max(Math.abs(wanted) * 2 ** -11, 2 ** -25));
      });
    }
  });

  it("leaves every bit of the base where the adapter was never trained", async () => {
    const { config, values } = await loadModel(base);
    const directory = newPath();
    await mkdir(directory);
    await writePeftAdapter(
      diskFolder(directory),
      config,
      LORA,
      valuesOf(initializeAdapter(config, LORA, { seed: 1 })),
      base,
    );
    const out = newPath();
    await run("merge", base, directory, "--out", out);
    expect((await loadModel(out)).values).toEqual(values);
  });

  it("cuts the weights into shards", async () => {
    const out = newPath();
    await run("merge", base, adapter, "--out", out, "--max-shard-size", "20KB");
    expect(await readdir(out)).toContain("model.safetensors.index.json");
    const whole = newPath();
    await run("merge", base, adapter, "--out", whole);
    expect(await loadModel(out)).toEqual(await loadModel(whole));
  });

  it("brings the tokenizer, the generation config and the licence, and the adapter's own tokenizer before the base's", async () => {
    const full = newPath();
    await run("init", "--preset", "tiny", "--tokenizer", "countdown-compact", "--out", full);
    await writeFile(join(full, "LICENSE"), "free");
    await writeFile(join(full, "README.md"), "another model");
    await writeFile(join(full, "chat_template.jinja"), "the base's");
    await writeFile(join(full, "generation_config.json"), JSON.stringify({ eos_token_id: 1, top_k: 20 }));
    const { config } = await loadModel(full);
    const directory = newPath();
    await mkdir(directory);
    await writePeftAdapter(
      diskFolder(directory),
      config,
      LORA,
      valuesOf(initializeAdapter(config, LORA, { seed: 1 })),
      full,
    );
    const out = newPath();
    await run("merge", full, directory, "--out", out);
    for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "LICENSE"]) {
      expect(await readFile(join(out, name), "utf8"), name).toBe(await readFile(join(full, name), "utf8"));
    }
    expect(JSON.parse(await readFile(join(out, "generation_config.json"), "utf8"))).toMatchObject({ top_k: 20 });
    expect(await readdir(out)).not.toContain("README.md");

    for (const name of ["tokenizer.json", "tokenizer_config.json"]) await cp(join(full, name), join(directory, name));
    await writeFile(join(directory, "chat_template.jinja"), "the adapter's");
    const second = newPath();
    await run("merge", full, directory, "--out", second);
    expect(await readFile(join(second, "chat_template.jinja"), "utf8")).toBe("the adapter's");
  });

  it("warns where the adapter names another base that it fits", async () => {
    const other = await changedAdapter("qwen2-attention", { base_model_name_or_path: "Org/Other" });
    const { out, note } = await run("merge", base, other, "--out", newPath(), "--json");
    expect(note).toMatch(/^Warning: .*was trained on "Org\/Other".*\n$/);
    expect(JSON.parse(out)).toMatchObject({ warnings: [note.slice("Warning: ".length, -1)] });
  });

  it.each([
    [
      "another width",
      () => modelPath("qwen3-tied"),
      () => adapter,
      /does not fit this qwen3 of 2 layers and width 24: .*q_proj\.lora_A/,
    ],
    [
      "more layers",
      () => modelPath("llama-linear"),
      () => adapterPath("qwen3-rslora"),
      /does not fit this llama .*made for/,
    ],
    ["DoRA", () => base, () => changedAdapter("qwen2-attention", { use_dora: true }), /use_dora = true/],
    ["no adapter", () => base, () => modelPath("qwen2"), /no adapter_config\.json/],
    ["no base", () => adapter, () => adapter, /is a LoRA adapter, not a whole model\. Merge it into its base first/],
  ] as const)("refuses %s, and writes nothing", async (_title, baseOf, adapterOf, message) => {
    const out = newPath();
    const args = ["merge", baseOf(), await adapterOf(), "--out", out];
    const failure = await modelCommand.run(args, recordedConsole()).then(undefined, (error: unknown) => error);
    expect(failure).toBeInstanceOf(AhaError);
    expect((failure as Error).message).toMatch(message);
    expect((await readdir(scratch)).filter((name) => name.includes(out.slice(scratch.length + 1)))).toEqual([]);
  });

  it("refuses an adapter that has diverged, and one that leaves float16's range", async () => {
    const file = await SafetensorsFile.open(...diskFile(join(adapter, "adapter_model.safetensors")));
    const tensors = await Promise.all(
      [...file.entries.values()].map(async ({ name, shape }) => {
        const data = new Float32Array(shape[0]! * shape[1]!);
        await file.readInto(name, data);
        return { name, shape, data };
      }),
    );
    await file.close();
    for (const [value, message] of [
      [Number.NaN, /not finite/],
      [1e6, /float16 ends at 65504/],
    ] as const) {
      const path = await changedAdapter("qwen2-attention", {});
      tensors[1]!.data[2] = value;
      await writeSafetensors(...diskFile(join(path, "adapter_model.safetensors")), tensors);
      const out = newPath();
      await expect(
        modelCommand.run(["merge", base, path, "--out", out, "--dtype", "float16"], recordedConsole()),
      ).rejects.toThrow(message);
      await expect(readdir(out)).rejects.toThrow("ENOENT");
    }
  });

  it("refuses an output directory that has something in it", async () => {
    const out = newPath();
    await mkdir(out);
    await writeFile(join(out, "notes"), "mine");
    await expect(run("merge", base, adapter, "--out", out)).rejects.toThrow(/is not empty/);
    expect(await readdir(out)).toEqual(["notes"]);
  });
});

describe("an adapter in the place of a model", () => {
  it("takes no second adapter, and must name a base", async () => {
    const adapter = adapterPath("qwen2-attention");
    const tokens = newPath();
    await writeFile(tokens, "[[1, 2]]");
    await expect(run("score", adapter, "--adapter", adapter, "--tokens", tokens)).rejects.toThrow(/an adapter itself/);
    const nameless = await changedAdapter("qwen2-attention", { base_model_name_or_path: null });
    await expect(run("score", nameless, "--tokens", tokens)).rejects.toThrow(/names no base/);
  });
});

describe("aha model info, convert and export of an adapter", () => {
  const adapter = adapterPath("qwen2-attention");

  it("says what it is: rank, alpha, projections, parameters and base", async () => {
    const { adapter: about } = JSON.parse((await run("info", adapter, "--json")).out) as { adapter: object };
    expect(about).toMatchObject({ directory: adapter, rank: 3, alpha: 7, scale: 7 / 3, targets: ["q_proj", "v_proj"] });
    const file = await SafetensorsFile.open(...diskFile(join(adapter, "adapter_model.safetensors")));
    await file.close();
    const count = [...file.entries.values()].reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
    expect(about).toMatchObject({ parameterCount: count, storedBytes: 4 * count, dtypes: ["F32"] });
    expect((await run("info", adapter)).out).toMatch(/^rank +3; alpha 7, so scaled by 2\.33333 \(alpha \/ rank\)$/m);
    expect((await run("info", adapterPath("qwen3-rslora"))).out).toMatch(/\(alpha \/ √rank\)$/m);
  });

  it("describes the model with it, where it fits", async () => {
    const whole = JSON.parse((await run("info", modelPath("qwen2"), "--adapter", adapter, "--json")).out) as object;
    expect(whole).toMatchObject({ config: { architecture: "qwen2" }, adapter: { rank: 3, directory: adapter } });
    await expect(run("info", modelPath("qwen3-tied"), "--adapter", adapter)).rejects.toThrow(/does not fit this qwen3/);
    await expect(run("info", adapter, "--adapter", adapter)).rejects.toThrow(/an adapter itself/);
  });

  it("refuses to convert or export it, with the command that merges it, and writes nothing", async () => {
    const named = await changedAdapter("qwen2-attention", { base_model_name_or_path: "Org/Base" });
    const out = newPath();
    for (const args of [
      ["convert", named, "--out", out],
      ["export", named, "--gguf", "--out", out],
    ]) {
      await expect(run(...args)).rejects.toThrow(
        `${named} is a LoRA adapter, not a whole model. Merge it into its base first: aha model merge Org/Base ${named} --out`,
      );
    }
    await expect(readdir(out)).rejects.toThrow("ENOENT");
    await expect(inspectModel(named)).rejects.toThrow(/It is a LoRA adapter.*in a recipe the base is model\.path/);
  });
});

describe("an adapter of PEFT's", () => {
  /** What it takes to load it onto its base. */
  const load = async (directory: string, base = "qwen2") =>
    loadPeftAdapter(directory, (await loadModel(modelPath(base))).config);

  it("has ranks and scales by module, where its config says so", async () => {
    const { lora, layers } = await load(adapterPath("qwen2-patterns"));
    expect(lora).toMatchObject({ rank: 4, alpha: 6, rsLora: true, targets: ["q_proj", "v_proj", "down_proj"] });
    expect(lora.modules).toEqual({
      "layers.0.q": { rank: 3, alpha: 1.5 },
      "layers.0.v": { rank: 3, alpha: 1.5 },
      "layers.0.mlpDown": { rank: 3, alpha: 6 },
      "layers.1.q": { rank: 2, alpha: 6 },
      "layers.1.v": { rank: 4, alpha: 11 },
      "layers.1.mlpDown": { rank: 5, alpha: 6 },
    });
    expect(layers).toEqual([0, 1]);
    const { out } = await run("info", adapterPath("qwen2-patterns"));
    expect(out).toMatch(/^layers +0, 1$/m);
    expect(out).toMatch(/^other ranks +6 of 6 matrices: 3; alpha 6, 3; alpha 1\.5, 5; alpha 6, …$/m);
    expect((await run("info", adapterPath("qwen3-layers"))).out).toMatch(/^layers +1$/m);
    // What covers every layer alike, by whatever words, is like any other.
    expect((await load(adapterPath("qwen3-all-linear"), "qwen3-tied")).lora.modules).toBeUndefined();
  });

  it.each([
    ["alpha_pattern", { ".*(?=q_proj)": 3 }, /alpha_pattern has the pattern ".*", which is not supported/],
    ["rank_pattern", { q_proj: 5 }, /q_proj\.lora_A\.weight has shape \[3, 48\], this model needs \[5, 48\]/],
    ["rank_pattern", { q_proj: 0 }, /rank_pattern\.q_proj/],
    ["target_modules", ["q_proj", "v_proj", "k_proj"], /layers\.0\.self_attn\.k_proj\.lora_A\.weight is missing/],
    ["target_modules", ["q_proj"], /v_proj\.lora_A\.weight is there, though target_modules leaves it out/],
    ["target_modules", ".*\\.[kqv]_proj", /k_proj\.lora_A\.weight is missing/],
    ["layers_to_transform", [1], /layers\.0\.self_attn\.q_proj\.lora_A\.weight is there/],
    ["exclude_modules", ["1.self_attn.v_proj"], /layers\.1\.self_attn\.v_proj\.lora_A\.weight is there/],
    ["modules_to_save", ["lm_head"], /modules_to_save = \["lm_head"\] changes the adapter's numbers/],
    ["trainable_token_indices", [1], /trainable_token_indices = \[1\] changes/],
    ["target_parameters", ["x"], /target_parameters = \["x"\] changes/],
    ["layer_replication", [[0, 1]], /layer_replication = \[\[0,1\]\] changes/],
    ["lora_bias", true, /lora_bias = true changes/],
    ["bias", "all", /bias = "all" changes the adapter's numbers and is not supported; only "none" is/],
    ["init_lora_weights", "pissa_niter_4", /init_lora_weights = "pissa_niter_4" changes/],
    ["peft_type", "IA3", /peft_type is "IA3"; only "LORA" is read/],
    ["use_next_thing", true, /use_next_thing = true is a key that is not known here/],
    ["use_rslorra", "yes", /use_rslorra = "yes" is a key that is not known here.* Is use_rslora meant\?$/],
  ])("with %s = %j is refused by that name", async (key, value, message) => {
    const changed = await changedAdapter("qwen2-attention", { [key]: value });
    await expect(load(changed)).rejects.toThrow(CheckpointError);
    await expect(load(changed)).rejects.toThrow(message);
  });

  it.each([
    ["alpha_pattern", null],
    ["modules_to_save", []],
    ["layers_to_transform", [0, 1]],
    ["target_modules", ["q_proj", "v_proj", "c_attn"]],
    ["target_modules", ".*(?<=q)_proj|.*v_proj"],
    ["exclude_modules", "lm_head"],
    ["fan_in_fan_out", true],
    ["next_size", 16],
    ["use_next_thing", false],
    ["auto_mapping", { unsloth_fixed: true }],
  ])("with %s = %j is the same", async (key, value) => {
    const changed = await load(await changedAdapter("qwen2-attention", { [key]: value }));
    expect(changed.values).toEqual((await load(adapterPath("qwen2-attention"))).values);
  });

  it.each([
    [
      (name: string) => name.replace(".weight", ".default.weight"),
      /has the adapter's own name in it: save .* save_pretrained/,
    ],
    [
      (name: string) => name.replace("base_model.model.", "base_model.model._orig_mod."),
      /_orig_mod\. in its name, by torch/,
    ],
    [(name: string) => name.replace("base_model.model.", "module.base_model.model."), /has module\. in its name/],
    [(name: string) => name.replace("base_model.model.model.", "base_model.model."), /was made on AutoModel/],
    [(name: string) => name.replace("base_model.model.", ""), /does not begin with base_model\.model\./],
    [
      (name: string) =>
        name.includes("1.self_attn.v_proj.lora_B") ? "base_model.model.lm_head.modules_to_save.weight" : name,
      /lm_head\.modules_to_save\.weight is a whole matrix of modules_to_save, which is not read/,
    ],
    [
      (name: string) => (name.includes("1.self_attn.v_proj.lora_B") ? "base_model.model.lm_head.lora_B.weight" : name),
      /lm_head\.lora_B\.weight is not a tensor that is read/,
    ],
  ])("whose tensors are not named as PEFT names them is refused (%#)", async (rename, message) => {
    const path = await changedAdapter("qwen2-attention", {});
    const weights = join(path, "adapter_model.safetensors");
    const file = await SafetensorsFile.open(...diskFile(weights));
    const tensors = await Promise.all(
      [...file.entries.values()].map(async ({ name, shape }) => {
        const data = new Float32Array(shape[0]! * shape[1]!);
        await file.readInto(name, data);
        return { name: rename(name), shape, data };
      }),
    );
    await file.close();
    await writeSafetensors(...diskFile(weights), tensors);
    await expect(load(path)).rejects.toThrow(CheckpointError);
    await expect(load(path)).rejects.toThrow(message);
  });

  it("in a Git LFS pointer, and as a pickle, is named as such", async () => {
    const path = await changedAdapter("qwen2-attention", {});
    const weights = join(path, "adapter_model.safetensors");
    await writeFile(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    await expect(load(path)).rejects.toThrow(`${weights} is a Git LFS pointer`);
    await rm(weights);
    await writeFile(join(path, "adapter_model.bin"), "");
    await expect(load(path)).rejects.toThrow(/adapter_model\.bin is a pickle/);
  });
});

describe("an adapter that Aha saved", () => {
  it.each(golden.cases)("has the names, shapes and settings of PEFT's $adapter", async ({ adapter, base }) => {
    const { lora } = await describeAdapter(adapterPath(adapter));
    const engine = await openEngine(
      { kind: "local" },
      { path: modelPath(base), adapter: adapterPath(adapter) },
      Compute.open({ threads: 1 }),
    );
    const out = newPath();
    await mkdir(out);
    await engine.saveWeights(out).finally(() => engine.dispose());
    expect((await describeAdapter(out)).lora).toEqual(lora);
    const read = async (path: string) => {
      const file = await SafetensorsFile.open(...diskFile(join(path, "adapter_model.safetensors")));
      const shapes = Object.fromEntries(
        [...file.entries.values()].map(({ name, shape, dtype }) => [name, [dtype, ...shape]]),
      );
      await file.close();
      return shapes;
    };
    expect(await read(out)).toEqual(await read(adapterPath(adapter)));
    const config = async (path: string) =>
      JSON.parse(await readFile(join(path, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    const [ours, theirs] = [await config(out), await config(adapterPath(adapter))];
    const { modules } = lora;
    if (modules !== undefined) {
      // Other words for the same modules: each by its whole name.
      expect(ours.target_modules).toHaveLength(Object.keys(modules).length);
      return;
    }
    for (const key of Object.keys(ours)) {
      if (key === "base_model_name_or_path") expect(ours[key]).toBe(resolve(modelPath(base)));
      else if (key === "target_modules") expect(ours[key]).toEqual(lora.targets);
      else expect(ours[key], key).toEqual(theirs[key]);
    }
  });
});

describe("foldAdapter", () => {
  it("adds s·B·A and rounds once", () => {
    const weight = Float32Array.of(1, -0, 3, 4, 5, 6);
    foldAdapter(weight, Float32Array.of(1, 2, 3, 10, 20, 30), Float32Array.of(0, 0, 2, -1), 2, 0.5);
    expect([...weight]).toEqual([1, -0, 3, 0, -3, -6]);
  });
});
