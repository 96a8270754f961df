/** Checkpoints that bitsandbytes has packed: its own numbers to the bit, in the engine too, and damaged ones refused. */

import { createHash } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { openLocalPolicy } from "../../src/engine/local/open-local.ts";
import { CheckpointError } from "../../src/errors.ts";
import { inspectModel, loadModel, openCheckpoint, saveModel } from "../../src/model/on-disk.ts";
import { elementCount, parameterSpecs } from "../../src/model/parameters.ts";
import { nf4Lengths } from "../../src/model/quantization.ts";
import { dequantizeNf4 } from "./dequantize-nf4.ts";

interface Golden {
  readonly versions: { readonly bitsandbytes: string };
  readonly tolerance: number;
  readonly cases: readonly {
    readonly model: string;
    readonly dequantized: Readonly<Record<string, string>>;
    readonly tokens: number[];
    readonly logprobs: number[];
  }[];
}

const here = fileURLToPath(new URL("../golden/", import.meta.url));
const golden = JSON.parse(await readFile(join(here, "bitsandbytes.json"), "utf8")) as Golden;
const path = (model: string) => join(here, "bitsandbytes", model);
const LORA = { rank: 2, alpha: 4, rsLora: false, dropout: 0, targets: ["q_proj", "down_proj"] } as const;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-bitsandbytes-"));
});
afterAll(() => rm(scratch, { recursive: true }));

async function logprobsOf(path: string, tokens: readonly number[], quantization?: "nf4"): Promise<number[]> {
  const engine = await openLocalPolicy(
    { device: CpuDevice.open(1), folderAt: diskFolder },
    { path, ...(quantization && { quantization, lora: LORA }) },
  );
  const data = [
    { promptTokens: Int32Array.from(tokens.slice(0, 5)), completionTokens: Int32Array.from(tokens.slice(5)) },
  ];
  const { logprobs } = await engine.score(data, { temperature: 1 });
  await engine.dispose();
  return [...logprobs[0]!];
}

describe.each(golden.cases)(`$model of bitsandbytes ${golden.versions.bitsandbytes}`, (expected) => {
  const { model, dequantized, tokens, logprobs } = expected;

  it("has bitsandbytes' numbers in every matrix, to the bit, whatever is read at a time", async () => {
    const { config, values } = await loadModel(path(model));
    const packed = parameterSpecs(config).filter(({ checkpointName }) => checkpointName in dequantized);
    expect(packed).toHaveLength(Object.keys(dequantized).length);
    for (const { name, checkpointName } of packed) {
      const bytes = new Uint8Array(values.get(name)!.buffer);
      expect(createHash("sha256").update(bytes).digest("hex"), name).toBe(dequantized[checkpointName]);
    }
    const { fileOf, close } = await openCheckpoint(path(model));
    for (const { name, checkpointName } of packed) {
      for (const [first, count] of [
        [0, 1],
        [1, 1],
        [63, 130],
        [values.get(name)!.length - 3, 3],
      ] as const) {
        const part = new Float32Array(count);
        await fileOf.get(checkpointName)!.readElements(checkpointName, first, part);
        expect(part).toEqual(values.get(name)!.slice(first, first + count));
      }
    }
    await close();
  });

  it("has the log-probabilities of the dequantized model, and so has what is saved of it", async () => {
    const largest = (found: number[]) => Math.max(...found.map((value, i) => Math.abs(value - logprobs[4 + i]!)));
    expect(largest(await logprobsOf(path(model), tokens))).toBeLessThan(golden.tolerance);
    const { config, values } = await loadModel(path(model));
    const directory = await mkdtemp(join(scratch, "saved-"));
    await saveModel(directory, config, values, { dtype: "float32" });
    expect(await readFile(join(directory, "config.json"), "utf8")).not.toContain("quantization_config");
    expect(largest(await logprobsOf(directory, tokens))).toBeLessThan(golden.tolerance);
  });

  it("keeps its codes and scales in an engine that holds NF4", async () => {
    const { config, values } = await loadModel(path(model));
    const { fileOf, close } = await openCheckpoint(path(model));
    const dtype = (await inspectModel(path(model))).dtypes;
    expect(dtype).toContain("NF4");
    for (const { name, shape, checkpointName } of parameterSpecs(config)) {
      const file = fileOf.get(checkpointName)!;
      if (!(checkpointName in dequantized)) continue;
      const lengths = nf4Lengths(elementCount(shape));
      const target = { codes: new Uint8Array(lengths.codes), scales: new Float32Array(lengths.scales) };
      expect(await file.readNf4!(checkpointName, target)).toBe(true);
      const unrounded = new Float32Array(elementCount(shape));
      dequantizeNf4(target, unrounded);
      const gap = Math.max(...unrounded.map((value, i) => Math.abs(value - values.get(name)![i]!)));
      const unit = { F32: 0, F16: 2 ** -11, BF16: 2 ** -8 }[file.entries.get(checkpointName)!.dtype as "F32"];
      expect(gap).toBeLessThanOrEqual(unit * Math.max(...target.scales));
    }
    await close();
    // The matrices are not rounded to the dtype that they had, embeddings are held in bfloat16.
    const found = await logprobsOf(path(model), tokens, "nf4");
    const mean = found.reduce((sum, value, i) => sum + Math.abs(value - logprobs[4 + i]!), 0) / found.length;
    expect(mean).toBeLessThan(0.05);
  });
});

type Raw = Map<string, { dtype: string; shape: number[]; bytes: Buffer }>;

/** A copy of a golden checkpoint with changed tensors or config. */
async function changed(change: (tensors: Raw) => void, config: Record<string, unknown> = {}): Promise<string> {
  const directory = await mkdtemp(join(scratch, "damaged-"));
  await cp(path("llama-double"), directory, { recursive: true });
  const file = await readFile(join(directory, "model.safetensors"));
  const end = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, end)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors: Raw = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = entry.data_offsets;
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes: file.subarray(end + from, end + to) });
  }
  change(tensors);
  let offset = 0;
  const written = [...tensors].map(([name, { dtype, shape, bytes }]) => {
    const data_offsets = [offset, offset + bytes.length];
    offset += bytes.length;
    return [name, { dtype, shape, data_offsets }] as const;
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(written)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const all = Buffer.concat([length, json, ...[...tensors.values()].map(({ bytes }) => bytes)]);
  await writeFile(join(directory, "model.safetensors"), all);
  const configPath = join(directory, "config.json");
  const before = JSON.parse(await readFile(configPath, "utf8")) as Record<string, unknown>;
  await writeFile(configPath, JSON.stringify({ ...before, ...config }));
  return directory;
}

const MATRIX = "model.layers.0.mlp.down_proj.weight";
const STATE = `${MATRIX}.quant_state.bitsandbytes__nf4`;

function setState(changes: Record<string, unknown>): (tensors: Raw) => void {
  return (tensors) => {
    const before = JSON.parse(tensors.get(STATE)!.bytes.toString()) as Record<string, unknown>;
    const bytes = Buffer.from(JSON.stringify({ ...before, ...changes }));
    tensors.set(STATE, { dtype: "U8", shape: [bytes.length], bytes });
  };
}

describe("a damaged or hostile checkpoint", () => {
  it.each<[string, (tensors: Raw) => void, RegExp]>([
    ["without scales", (t) => t.delete(`${MATRIX}.absmax`), /down_proj\.weight\.absmax is missing/],
    ["without outer scales", (t) => t.delete(`${MATRIX}.nested_absmax`), /nested_absmax is missing/],
    ["without a map of scales", (t) => t.delete(`${MATRIX}.nested_quant_map`), /nested_quant_map is missing/],
    ["without levels", (t) => t.delete(`${MATRIX}.quant_map`), /quant_map is missing/],
    ["without codes", (t) => t.delete(MATRIX), /down_proj\.weight is missing/],
    ["without a state", (t) => t.delete(STATE), /not those of its config.json.*down_proj/],
    ["with a state that is no JSON", (t) => void t.get(STATE)!.bytes.fill("!", 0, 1), /quant_state/],
    ["with another shape", setState({ shape: [32, 43] }), /has 704 bytes; expected 688 for the shape \[32, 43\]/],
    ["turned", setState({ shape: [44, 32] }), /expected shape \[32, 44\], found \[44, 32\]/],
    ["with a shape of 2^60 numbers", setState({ shape: [2 ** 30, 2 ** 30] }), /704 bytes; expected/],
    ["with a shape below 0", setState({ shape: [-32, 44] }), /shape/],
    ["with a block size of 0", setState({ blocksize: 0 }), /blocksize/],
    ["with other blocks than scales", setState({ blocksize: 128 }), /absmax has 22 numbers of U8; expected 11/],
    ["with an unknown dtype", setState({ dtype: "int8" }), /dtype/],
    ["with another quantization", setState({ quant_type: "fp4" }), /quant_type is "fp4"; only "nf4" is read/],
    ["with scales that say nothing of their blocks", setState({ nested_blocksize: undefined }), /nested_blocksize/],
    [
      "with other levels",
      (t) => void t.get(`${MATRIX}.quant_map`)!.bytes.writeFloatLE(0.5, 0),
      /quant_map has 0\.5 for/,
    ],
    ["with infinite scales", (t) => void t.get(`${MATRIX}.nested_absmax`)!.bytes.writeFloatLE(Infinity), /not finite/],
    [
      "in fp4",
      (t) => {
        t.set(STATE.replace("nf4", "fp4"), t.get(STATE)!);
        t.delete(STATE);
      },
      /another packing than nf4/,
    ],
  ])("%s is refused", async (_, change, message) => {
    const directory = await changed(change);
    const loading = loadModel(directory);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toBeInstanceOf(CheckpointError);
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ quant_method: "gptq", bits: 4 }, /quantization_config\.quant_method = "gptq" is not supported.*"nf4"/],
    [{ quant_method: "bitsandbytes", load_in_8bit: true }, /quantization_config\.load_in_8bit = true/],
    [{ quant_method: "bitsandbytes", load_in_4bit: true }, /quantization_config\.bnb_4bit_quant_type = "fp4"/],
    [{ quant_method: "bitsandbytes" }, /quantization_config\.load_in_4bit = null/],
    [{ quant_method: 3 }, /quantization_config = /],
  ])("with the config %j is refused by the key", async (quantization_config, message) => {
    await expect(loadModel(await changed(() => {}, { quantization_config }))).rejects.toThrow(message);
  });
});
