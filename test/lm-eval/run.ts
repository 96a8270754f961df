/**
 * `npm run test:lm-eval`: lm-eval, unmodified, on models that `aha serve` serves, beside lm-eval's own transformers backend
 * on the same checkpoints: loglikelihood (several choices), loglikelihood_rolling (whole texts), generate_until (greedy
 * continuations), and chats. Log-probabilities agree to 1e-4, what is greedy is, texts are the same.
 *
 * Checkpoints are random, of three families and kinds of tokenizers, with logits well apart. Not part of `npm test`: it
 * needs Python, and once a package index. PYTHON names the interpreter whose packages are used. Ends with code 1 where
 * anything differs or is missing.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { initializeParameters } from "../../src/model/initialize.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import { CHECKPOINTS, writeCheckpoint } from "../llama-cpp/checkpoints.ts";
import { pythonWithLmEval } from "./environment.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const LLAMA = CHECKPOINTS["llama, tied, llama3 scaling"]!;
/** transformers' Llama has a hidden size of whole heads. */
const CONFIG = { ...LLAMA.config, hiddenSize: 48 };

/** Writes a checkpoint into a directory; flags are those of compare.py. */
interface Case {
  readonly write: (directory: string) => Promise<void>;
  readonly flags: readonly string[];
}

const CASES: Readonly<Record<string, Case>> = {
  "qwen2, byte-level tokenizer": {
    write: (directory) => writeCheckpoint(directory, CHECKPOINTS["qwen2, untied, biases"]!),
    flags: ["--chat"],
  },
  // Its template opens <think>, so that a chat's answer is all reasoning, which transformers does not tell apart.
  "qwen3, byte-level tokenizer": {
    write: (directory) => writeCheckpoint(directory, CHECKPOINTS["qwen3, tied"]!),
    flags: [],
  },
  // With the server's own tokenizer lm-eval takes a begin of text with the id 0 for none.
  "llama, begin of text": {
    write: (directory) => writeCheckpoint(directory, { ...LLAMA, config: CONFIG }),
    flags: ["--chat", "--no-remote"],
  },
  "llama, SentencePiece": { write: writeSentencePiece, flags: ["--sentencepiece"] },
};

/**
 * A Llama with a SentencePiece tokenizer that never writes single bytes: of those that make no character transformers
 * shows one sign for each byte of the whole run, which nobody who streams can know.
 */
async function writeSentencePiece(directory: string): Promise<void> {
  const golden = fileURLToPath(new URL("../golden/tokenizers/metaspace", import.meta.url));
  await cp(golden, directory, { recursive: true });
  const { model } = JSON.parse(await readFile(join(directory, "tokenizer.json"), "utf8"));
  const vocab = model.vocab as Record<string, number>;
  const vocabSize = Object.keys(vocab).length;
  const config = { ...CONFIG, vocabSize, tieWordEmbeddings: false, bosTokenId: 1, eosTokenIds: [2], padTokenId: null };
  const init = { scheme: "scaled", gain: 2.5, embeddingStd: 0.5 } as const;
  const values = initializeParameters(config, { seed: 1, init });
  // A logit of 0, which is never the largest.
  for (const [token, id] of Object.entries(vocab)) {
    if (/^<0x..>$/.test(token)) values.get("head")!.fill(0, id * config.hiddenSize, (id + 1) * config.hiddenSize);
  }
  await saveModel(directory, config, values);
}

interface Comparison {
  readonly compared: number;
  readonly largest: number;
  readonly differences: readonly object[];
}

try {
  const python = await pythonWithLmEval();
  for (const name of Object.keys(CASES)) {
    const { compared, largest, differences } = await compare(python, name);
    console.log(`${name}: ${compared} answers, largest distance ${largest.toExponential(1)}`);
    for (const difference of differences) console.log(`  differs: ${JSON.stringify(difference)}`);
    if (differences.length > 0 || compared === 0) process.exitCode = 1;
  }
} catch (error) {
  console.error(`test:lm-eval: ${(error as Error).message}`);
  process.exitCode = 1;
}

async function compare(python: string, name: string): Promise<Comparison> {
  const { write, flags } = CASES[name]!;
  const directory = await mkdtemp(join(tmpdir(), "aha-lm-eval-"));
  let server: ChildProcess | undefined;
  try {
    await write(directory);
    server = spawn(process.execPath, [PROGRAM, "serve", directory, "--port", "0", "--name", "served", "--json"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(server.stdout!, "data")) as [Buffer];
    const { url } = JSON.parse(line.toString()) as { url: string };
    const args = [join(HERE, "compare.py"), directory, url, "served", join(HERE, "tasks"), ...flags];
    const { stdout } = await promisify(execFile)(python, args, {
      cwd: join(HERE, "tasks"),
      maxBuffer: 2 ** 28,
      env: { ...process.env, HF_HOME: join(directory, "hf"), HF_DATASETS_OFFLINE: "1" },
    });
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as Comparison;
  } finally {
    server?.kill();
    await rm(directory, { recursive: true, force: true });
  }
}
