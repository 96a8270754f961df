/**
 * Trains the golden checkpoints for a few steps and saves them, as float32 and as bfloat16 in shards, with Aha's own
 * log-probabilities: what `check_trained_models.py` loads into transformers and scores again.
 *
 * usage: npx tsx test/golden/write-trained-models.ts OUT && python test/golden/check_trained_models.py OUT
 */

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Compute } from "../../src/compute/compute.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { openEngine } from "../../src/engine/open.ts";
import { loadModel, saveModel } from "../../src/model/on-disk.ts";
import { Random } from "../../src/random.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";

const GOLDEN = import.meta.dirname;
const ADAM = { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };
const SCORING = { temperature: 1 } as const;

const out = process.argv[2];
if (out === undefined) throw new Error("usage: npx tsx test/golden/write-trained-models.ts OUT");
const tokenizer = await loadTokenizer(join(GOLDEN, "tokenizers/qwen-like"));

const checkpoints = ["models", "families"].flatMap((folder) =>
  readdirSync(join(GOLDEN, folder)).map((name) => [name, join(GOLDEN, folder, name)] as const),
);
for (const [name, path] of checkpoints) {
  const engine = await openEngine({ kind: "local" }, { path }, Compute.open({ threads: 2 }));
  const { vocabSize, maxContextTokens } = engine.info;
  const random = new Random(1, name);
  const sequence = (length: number) => Int32Array.from({ length }, () => random.integer(vocabSize));
  for (let step = 0; step < 5; step++) {
    const data = [7, 20, 33].map((length) => ({
      promptTokens: sequence(4),
      completionTokens: sequence(length),
      weights: new Float32Array(length).fill(1 / 60),
    }));
    await engine.forwardBackward(data, { name: "cross_entropy" });
    await engine.optimStep(ADAM);
  }
  const directory = join(out, name);
  mkdirSync(directory, { recursive: true });
  await engine.saveWeights(directory);
  await tokenizer.save(diskFolder(directory));
  const sequences = [2, 17, maxContextTokens].map(sequence);
  const score = async (of: typeof engine) => {
    const data = sequences.map((tokens) => ({ promptTokens: tokens.slice(0, 1), completionTokens: tokens.slice(1) }));
    return (await of.score(data, SCORING)).logprobs.map((row) => [...row]);
  };
  writeFileSync(
    `${directory}.json`,
    JSON.stringify({ tokens: sequences.map((tokens) => [...tokens]), logprobs: await score(engine) }),
  );
  await engine.dispose();

  const { config, values } = await loadModel(directory);
  const half = `${directory}-bf16`;
  mkdirSync(half, { recursive: true });
  await saveModel(half, config, values, { dtype: "bfloat16", maxShardBytes: 10_000 });
  const rounded = await openEngine({ kind: "local" }, { path: half }, Compute.open({ threads: 2 }));
  writeFileSync(
    `${half}.json`,
    JSON.stringify({ tokens: sequences.map((tokens) => [...tokens]), logprobs: await score(rounded) }),
  );
  await rounded.dispose();
}
