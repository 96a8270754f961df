/**
 * `npm run test:llama-cpp`: what `aha model export --gguf` writes, run by llama.cpp on the CPU, beside Aha's own engine.
 *
 * For random checkpoints of every family: (1) greedy completions of several prompts are the same tokens, and each token's
 * log-probability agrees to `LOGPROB_TOLERANCE`; (2) text is cut into the same tokens, and tokens print the same text;
 * (3) files in f16, bf16 and q8_0 run and stay near the f32 log-probabilities. Greedy tokens of two programs may part
 * where two logits are nearly equal, so the smallest distance between the two best that was met is printed: the
 * checkpoints' gain keeps it far above the difference between the programs.
 *
 * Not part of `npm test`: it needs the npm registry once. Ends with code 1 where anything differs.
 */

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Compute } from "../../src/compute/compute.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import { openEngine } from "../../src/engine/open.ts";
import type { TensorFormat } from "../../src/model/gguf/number-formats.ts";
import { exportGguf, importGguf } from "../../src/model/gguf/on-disk.ts";
import { Random } from "../../src/random.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { CHECKPOINTS, type CheckpointCase, type TokenizerName, writeCheckpoint } from "./checkpoints.ts";
import { type LlamaModel, type LlamaSequence, llamaLibrary } from "./install.ts";

const PROMPTS = 6;
const NEW_TOKENS = 48;
/** Nats, between two programs that both compute in f32. */
const LOGPROB_TOLERANCE = 5e-4;
/** The same where the MLP's gate is GELU, which ggml's CPU kernels look up in a table of f16 numbers. */
const GELU_TOLERANCE = 5e-3;
/** Mean distance in nats from the f32 log-probabilities; random weights are hard to quantise. */
const MEAN_TOLERANCE: Readonly<Record<TensorFormat, number>> = { f32: 1e-4, f16: 0.02, bf16: 0.2, q8_0: 0.2 };

const GREEDY = { temperature: 0, topP: 1, topK: 0, stopTokenIds: [], seed: 0, iteration: 0 } as const;
/** Asks llama.cpp for the distribution of the next token. */
const NEXT = { generateNext: { probabilities: true } };

/** Text of every kind, in Unicode's composed form. */
const ANY_TEXT = [
  "",
  "Using the numbers [6, 3, 3], create an equation that equals 54.\n",
  "<|im_start|>user\nWhat's 2 + 2? It'S 4, I'll say.<|im_end|>\n<think>\n55 + 36 = 91</think><tool_call>",
  "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhat's 2 + 2?<|eot_id|>",
  "  two  spaces\tand a tab\r\n ,, ] 0, 00, 007   \n\n  end ",
  "1 12 123 1234 12345 1234567 12345678901 3.14159 a1234b",
  "使用数字 [19, 36] 创建一个等于 65 的方程。naïve café 😀 👩‍👩‍👧",
  "DON'T you'LL we'd ½ ² ①②③ ٣٤٥ _under_score-dash--  x=1;",
];
/** For Aha's own tokenizers, texts that they are for. */
const TEXTS: Readonly<Record<Exclude<TokenizerName, "none">, readonly string[]>> = {
  "byte-level": ANY_TEXT,
  "qwen-like": ANY_TEXT,
  "llama-like": ANY_TEXT,
  characters: ["<|im_start|>user\nUsing the numbers [6, 3], say ~ `x` \\ {y}|<|im_end|>\n", "  a  b \n\n c"],
  "countdown-compact": [
    "Using the numbers [6, 3, 3], create an equation that equals 54.\n<think>(6*3)+3=18+3=21 too low\n",
    "<think>12-9=3 too high\n99/9=11 yes</think>\n<answer>3*(6*3)</answer><eos>",
    "108 0, 100",
  ],
};

const { getLlama } = await llamaLibrary().catch((error: Error): never => {
  console.error(error.message);
  process.exit(1);
});
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 1 });
const scratch = await mkdtemp(join(tmpdir(), "aha-llama-cpp-"));
const failures: string[] = [];
try {
  for (const [index, [name, checkpoint]] of Object.entries(CHECKPOINTS).entries()) {
    const directory = join(scratch, String(index));
    await writeCheckpoint(directory, checkpoint, { seed: index + 1 });
    await compareModel(name, directory, checkpoint);
  }
  await compareSentencePiece(join(scratch, "sentencepiece"));
  const [name, checkpoint] = Object.entries(CHECKPOINTS).at(-1)!;
  for (const format of ["f16", "bf16", "q8_0"] as const) {
    await compareFormat(`${name}, ${format}`, join(scratch, "formats", format), checkpoint, format);
  }
} finally {
  await rm(scratch, { recursive: true });
}
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(failures.length === 0 ? "llama.cpp agrees" : `${failures.length} comparisons failed`);
process.exit(failures.length === 0 ? 0 : 1);

async function compareModel(name: string, directory: string, { config, tokenizer }: CheckpointCase): Promise<void> {
  const file = join(directory, "model.gguf");
  await exportGguf(directory, file, { name, format: "f32" });
  const model = await llama.loadModel({ modelPath: file });
  const engine = await openEngine({ kind: "local" }, { path: directory }, Compute.open({ threads: 2 }));
  const sequence = await f32Sequence(model, config.maxContextTokens);
  const random = new Random(7, name);
  const prompts = Array.from({ length: PROMPTS }, () =>
    Int32Array.from({ length: 1 + random.integer(24) }, () => random.integer(config.vocabSize)),
  );
  const ours = await engine.sample(
    prompts.map((tokens, promptId) => ({ tokens, numSamples: 1, promptId })),
    { ...GREEDY, maxCompletionTokens: NEW_TOKENS },
  );
  let [worst, margin, distinct] = [0, Number.POSITIVE_INFINITY, 0];
  for (const { promptIndex, tokens, logprobs } of ours) {
    const theirs = await greedy(sequence, prompts[promptIndex]!, NEW_TOKENS);
    margin = Math.min(margin, ...theirs.map((step) => step.margin));
    distinct += new Set(tokens).size;
    const parted = theirs.findIndex(({ token }, i) => token !== tokens[i]);
    if (parted >= 0) {
      failures.push(
        `${name}: prompt ${promptIndex} parts at token ${parted}: Aha ${tokens[parted]}, llama.cpp ` +
          `${theirs[parted]!.token}, whose two best are ${theirs[parted]!.margin} nats apart`,
      );
      continue;
    }
    worst = Math.max(worst, ...theirs.map(({ logprob }, i) => Math.abs(logprob - logprobs[i]!)));
  }
  const tolerance = config.activation === "gelu_tanh" ? GELU_TOLERANCE : LOGPROB_TOLERANCE;
  if (!(worst <= tolerance)) failures.push(`${name}: log-probabilities differ by ${worst}`);
  const texts = tokenizer === "none" ? 0 : await compareTokenizer(name, directory, tokenizer, model);
  console.log(
    `${name}: ${ours.length} × ${NEW_TOKENS} greedy tokens (${distinct} different), |Δ log-probability| ≤ ` +
      `${worst.toExponential(1)}, two best at least ${margin.toExponential(1)} apart; ${texts} texts`,
  );
  await engine.dispose();
  await model.dispose();
}

/** The tokens that SentencePiece gives, from a file whose tokenizer was read and written again. */
async function compareSentencePiece(directory: string): Promise<void> {
  const golden = new URL("../golden/gguf/", import.meta.url);
  const { texts, ids } = JSON.parse(await readFile(new URL("sentencepiece.json", golden), "utf8")) as {
    texts: string[];
    ids: number[][];
  };
  await mkdir(directory);
  await importGguf(fileURLToPath(new URL("sentencepiece.gguf", golden)), directory);
  const file = join(directory, "again.gguf");
  await exportGguf(directory, file, { name: "sentencepiece", format: "f32" });
  const model = await llama.loadModel({ modelPath: file });
  for (const [i, text] of texts.entries()) {
    const theirs = model.tokenize(text, true);
    if (theirs.join() !== ids[i]!.join()) {
      failures.push(`SentencePiece: ${JSON.stringify(text)}: ${ids[i]!.join()}, llama.cpp ${theirs.join()}`);
    }
  }
  console.log(`SentencePiece's BPE: ${texts.length} texts`);
  await model.dispose();
}

/** The same token sequence scored by both, for a file in another format. */
async function compareFormat(
  name: string,
  directory: string,
  checkpoint: CheckpointCase,
  format: TensorFormat,
): Promise<void> {
  // A smaller gain: rounding errors grow with every layer of large weights.
  await writeCheckpoint(directory, checkpoint, { gain: 1 });
  const file = join(directory, "model.gguf");
  await exportGguf(directory, file, { name, format });
  const model = await llama.loadModel({ modelPath: file });
  const engine = await openEngine({ kind: "local" }, { path: directory }, Compute.open({ threads: 2 }));
  const sequence = await f32Sequence(model, checkpoint.config.maxContextTokens);
  const random = new Random(8, name);
  const tokens = Int32Array.from({ length: 100 }, () => random.integer(checkpoint.config.vocabSize));
  const ours = await scored(engine, tokens);
  const theirs = await sequence.controlledEvaluate(Array.from(tokens, (token) => [token, NEXT]));
  const distances = Array.from(ours, (logprob, i) => {
    const probability = theirs[i]!.next.probabilities!.get(tokens[i + 1]!)!;
    return Math.abs(Math.log(probability) - logprob);
  });
  const mean = distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
  if (!(mean <= MEAN_TOLERANCE[format])) failures.push(`${name}: log-probabilities differ by ${mean} on average`);
  console.log(`${name}: mean |Δ log-probability| ${mean.toExponential(1)} over ${distances.length} tokens`);
  await engine.dispose();
  await model.dispose();
}

async function scored(engine: Policy, tokens: Int32Array): Promise<Float32Array> {
  const datum = { promptTokens: tokens.slice(0, 1), completionTokens: tokens.slice(1) };
  const { logprobs } = await engine.score([datum], { temperature: 1 });
  return logprobs[0]!;
}

async function compareTokenizer(
  name: string,
  directory: string,
  kind: Exclude<TokenizerName, "none">,
  model: LlamaModel,
): Promise<number> {
  const tokenizer = await loadTokenizer(directory);
  for (const text of TEXTS[kind]) {
    const ours = Array.from(tokenizer.encode(text));
    const theirs = model.tokenize(text, true);
    if (ours.join() !== theirs.join()) {
      failures.push(`${name}: ${JSON.stringify(text)}: Aha ${ours.join()}, llama.cpp ${theirs.join()}`);
    }
    const printed = model.detokenize(ours, true);
    // llama.cpp's llama-bpe takes out spaces before punctuation as it prints, whatever a file says.
    const comparable = (whole: string) => (kind === "llama-like" ? whole.replaceAll(" ", "") : whole);
    if (comparable(printed) !== comparable(tokenizer.decode(ours, { keepSpecial: true }))) {
      failures.push(`${name}: ${JSON.stringify(text)} is printed as ${JSON.stringify(printed)}`);
    }
  }
  return TEXTS[kind].length;
}

/** Keys and values in f32 as well: llama.cpp keeps them in f16 by default. */
async function f32Sequence(model: LlamaModel, contextSize: number): Promise<LlamaSequence> {
  const context = await model.createContext({
    contextSize,
    batchSize: contextSize,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  return context.getSequence();
}

interface Step {
  readonly token: number;
  readonly logprob: number;
  /** Between the best and the second token's log-probabilities. */
  readonly margin: number;
}

async function greedy(sequence: LlamaSequence, prompt: Int32Array, count: number): Promise<Step[]> {
  await sequence.clearHistory();
  const steps: Step[] = [];
  let input = [...prompt];
  while (steps.length < count) {
    const last = input.length - 1;
    const results = await sequence.controlledEvaluate(input.map((token, i) => (i === last ? [token, NEXT] : token)));
    const [best, second] = [...results[last]!.next.probabilities!].sort((a, b) => b[1] - a[1]);
    const [token, probability] = best!;
    steps.push({ token, logprob: Math.log(probability), margin: Math.log(probability / second![1]) });
    input = [token];
  }
  return steps;
}
