/**
 * R1-Zero in one file: a small transformer learns to play Countdown by trial and error.
 *
 *     npx tsx examples/grpo-in-one-file.ts              some minutes on two cores
 *     npx tsx examples/grpo-in-one-file.ts --steps 2    a few seconds: everything happens, little is learned
 *
 * The game: given three numbers and a target, find an expression that uses each number once and equals the target, e.g.
 * [6, 3, 3] and 54: 3*(6*3). The model thinks aloud, try after try, and then answers:
 *
 *     Using the numbers [6, 3, 3], create an equation that equals 54.
 *     <think>(6*3)+3=18+3=21 too low
 *     3*(6*3)=3*18=54 yes</think>
 *     <answer>3*(6*3)</answer>
 *
 * It happens in two stages, as in DeepSeek-R1 (arXiv:2501.12948). First supervised fine-tuning on traces of a player who
 * tries at random and soon gives up: that teaches the form and the arithmetic. Then GRPO (arXiv:2402.03300), where
 * nobody shows the model anything: it samples its own traces, a rule checks the answers, and what worked becomes more
 * likely. What it finds out by itself is that it pays to keep searching: with seed 1 the held-out solve rate went from
 * 0.25 after fine-tuning to 0.56 after GRPO, the tries per answer from 2.8 to 6.2.
 *
 * Both algorithms are written out here. What is imported from Aha: the game, with its problems, demonstrations and rules;
 * the engine (sampling, gradients, AdamW), a tokenizer, random weights. The real thing, with checkpoints, schedules, KL
 * and reports, is `npm start`; its algorithm is in src/train/grpo/grpo.ts and not much longer.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  buildTokenizer,
  Compute,
  createReward,
  createTask,
  type Datum,
  initializeParameters,
  openEngine,
  type Problem,
  presetConfig,
  saveModel,
} from "../src/index.ts";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "60" }, // steps of GRPO; fine-tuning takes 20 of its own for each
    problems: { type: "string", default: "256" }, // held-out problems in an evaluation
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
  },
});
const GRPO_STEPS = Number(options.steps);
const SFT_STEPS = 20 * GRPO_STEPS;
const HELD_OUT = Number(options.problems);
const SEED = Number(options.seed);

// ---------------------------------------------------------------------------------------------------------------------
// The game: three numbers from 1 to 10; every intermediate result is a whole number from 0 to 99, so that each is one
// token. Problem number i of the training stream is always the same one; held-out problems are never in that stream.
// A demonstration is the trace of a player who tries at random and after a miss often gives up.

const task = await createTask(
  { name: "countdown", counts: [3], max: 10, values: { min: 0, max: 99 }, prompt: "compact" },
  { seed: SEED },
);
const trainProblems = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => task.trainProblem(first + i));

// ---------------------------------------------------------------------------------------------------------------------
// The model: a Qwen3 decoder of 0.26 million parameters with random weights. The engine opens it from a directory, like
// any checkpoint. Every number from 0 to 99 is one token, and so is every phrase of the prompt.

const tokenizer = buildTokenizer("countdown-compact");
const config = presetConfig("tiny", tokenizer);
const directory = await mkdtemp(join(tmpdir(), "aha-example-"));
await saveModel(directory, config, initializeParameters(config, { seed: SEED }));
const engine = await openEngine(
  { kind: "local" },
  { path: directory },
  Compute.open({ threads: Number(options.threads) }),
);
await rm(directory, { recursive: true });
console.log(`${engine.info.parameterCount} parameters, ${engine.info.name}\n`);

const endOfText = tokenizer.eosTokenId!;
const adam = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, maxGradNorm: 1 };

// ---------------------------------------------------------------------------------------------------------------------
// The rewards: rules, not models. One point for the form <think>…</think><answer>…</answer>, one for an answer that uses
// each number once and equals the target. An exact parser reads it; nothing that a model writes is ever run as code.

const format = createReward("format");
const equation = createReward("equation");

function judge({ prompt, columns }: Problem, completion: string) {
  const input = { prompt, completion, columns };
  const solved = equation.judge(input).score ?? 0;
  return { solved, reward: solved + (format.judge(input).score ?? 0) };
}

// ---------------------------------------------------------------------------------------------------------------------
// How good is it? Sample one answer to each of some held-out problems: the same problems and the same luck each time.

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function evaluate(label: string): Promise<void> {
  const problems = task.heldOut(HELD_OUT);
  const sequences = await engine.sample(
    problems.map(({ prompt }, promptId) => ({ tokens: tokenizer.encode(prompt), numSamples: 1, promptId })),
    { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 256, stopTokenIds: [endOfText], seed: 0, iteration: 0 },
  );
  const completions = sequences.map(({ tokens }) => tokenizer.decode(tokens));
  const verdicts = completions.map((completion, i) => judge(problems[i]!, completion));
  const tries = completions.map((completion, i) => task.judge(problems[i]!, completion).tries ?? 0);
  console.log(
    `held-out, ${label}: solved ${mean(verdicts.map(({ solved }) => solved)).toFixed(3)}, ` +
      `tries ${mean(tries).toFixed(2)}, tokens ${mean(sequences.map(({ tokens }) => tokens.length)).toFixed(1)}`,
  );
  // Show the longest search that got there.
  const found = verdicts.map((_, i) => i).filter((i) => verdicts[i]!.solved === 1);
  const shown = found.sort((a, b) => tries[b]! - tries[a]!)[0];
  if (shown !== undefined) console.log(`${problems[shown]!.prompt}${completions[shown]!}`);
  console.log();
}

// ---------------------------------------------------------------------------------------------------------------------
// Stage 1: supervised fine-tuning on demonstrations. Cross-entropy on the completions; prompts carry no loss.

let demonstrations = 0;
for (let step = 0; step < SFT_STEPS; step++) {
  // About 2,048 tokens of fresh demonstrations. The verdicts weigh double: they have to be reliable.
  const batch: Datum[] = [];
  for (let tokens = 0; tokens < 2048; demonstrations++) {
    const problem = task.trainProblem(demonstrations);
    const { completion, weightedSpans } = task.demonstrate!(problem, SEED);
    const { tokens: traceTokens, spans } = tokenizer.tokenSpans(completion);
    const weights = spans.map(([start]) => weightedSpans.find((s) => s.start <= start && start < s.end)?.weight ?? 1);
    const promptTokens = tokenizer.encode(problem.prompt);
    const completionTokens = Int32Array.from([...traceTokens, endOfText]);
    batch.push({ promptTokens, completionTokens, weights: Float32Array.from([...weights, 1]) });
    tokens += promptTokens.length + completionTokens.length;
  }
  // A loss term's weight includes its share in the mean: the engine only sums.
  const total = batch.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0);
  for (const { weights } of batch) for (let t = 0; t < weights.length; t++) weights[t]! /= total;

  // Twenty steps of warm-up, then half a cosine down to a twentieth.
  const cosine = 0.05 + 0.95 * (0.5 + 0.5 * Math.cos((Math.PI * step) / SFT_STEPS));
  const learningRate = 4e-3 * Math.min(1, (step + 1) / 20) * cosine;
  const { loss } = await engine.step(batch, { name: "cross_entropy" }, { ...adam, learningRate, weightDecay: 0.01 });
  if (step % Math.ceil(SFT_STEPS / 10) === 0 || step === SFT_STEPS - 1) {
    console.log(`fine-tuning ${step + 1}/${SFT_STEPS}: loss ${loss.toFixed(3)}`);
  }
}
console.log();
await evaluate("after fine-tuning");

// ---------------------------------------------------------------------------------------------------------------------
// Stage 2: GRPO. Each step: 16 problems, 16 completions of each.

const PROMPTS = 16;
const GROUP = 16;
const MAX_COMPLETION_TOKENS = 256;
const TEMPERATURE = 1;

for (let step = 0; step < GRPO_STEPS; step++) {
  // 1. Sample a group of completions for each problem. The sampler also returns each token's log-probability.
  const problems = trainProblems(step * PROMPTS, PROMPTS);
  const promptTokens = problems.map(({ prompt }) => tokenizer.encode(prompt));
  const sequences = await engine.sample(
    promptTokens.map((tokens, promptId) => ({ tokens, numSamples: GROUP, promptId })),
    {
      temperature: TEMPERATURE,
      topP: 1,
      topK: 0,
      maxCompletionTokens: MAX_COMPLETION_TOKENS,
      stopTokenIds: [endOfText],
      seed: SEED,
      iteration: step, // the draw of a token depends on (seed, iteration, prompt, sample, position), nothing else
    },
  );

  // 2. Judge them.
  const verdicts = sequences.map(({ promptIndex, tokens }) => judge(problems[promptIndex]!, tokenizer.decode(tokens)));
  const rewards = verdicts.map(({ reward }) => reward);

  // 3. A completion's advantage is how much better it did than its group, in standard deviations. No value network: the
  //    other completions of the same prompt are the baseline.
  const advantages = sequences.map(({ promptIndex }, i) => {
    const group = rewards.slice(promptIndex * GROUP, (promptIndex + 1) * GROUP);
    const centre = mean(group);
    const variance = group.reduce((sum, reward) => sum + (reward - centre) ** 2, 0) / (GROUP - 1);
    return (rewards[i]! - centre) / (Math.sqrt(variance) + 1e-4);
  });

  // 4. One training datum per completion. Every token has its completion's advantage, and every token of the batch the
  //    same weight. A group whose rewards are all equal has nothing to teach: its advantages are 0.
  const totalTokens = sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const batch = sequences.flatMap(({ promptIndex, tokens, logprobs }, i): Datum[] => {
    if (Math.abs(advantages[i]!) < 1e-9) return [];
    return [
      {
        promptTokens: promptTokens[promptIndex]!,
        completionTokens: tokens,
        weights: new Float32Array(tokens.length).fill(1 / totalTokens),
        advantages: new Float32Array(tokens.length).fill(advantages[i]!),
        samplerLogprobs: logprobs,
      },
    ];
  });

  // 5. One step uphill. With r = π(token) / π_sampler(token), the loss is −min(r·A, clip(r, 0.8, 1.2)·A). On this first
  //    and only step on the batch r is 1: the clip is there for those who take several.
  let difference = 0;
  if (batch.length > 0) {
    const { logprobs } = await engine.step(
      batch,
      { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0, temperature: TEMPERATURE },
      { ...adam, learningRate: 3e-4 * (1 - step / GRPO_STEPS), weightDecay: 0 },
    );
    // Sampler and trainer are one set of weights in two programs. They had better agree on what was sampled.
    for (const [i, { samplerLogprobs }] of batch.entries()) {
      logprobs[i]!.forEach((logprob, t) => {
        difference = Math.max(difference, Math.abs(logprob - samplerLogprobs![t]!));
      });
    }
  }

  console.log(
    `grpo ${step + 1}/${GRPO_STEPS}: reward ${mean(rewards).toFixed(3)}, ` +
      `solved ${mean(verdicts.map(({ solved }) => solved)).toFixed(3)}, ` +
      `tokens ${(totalTokens / sequences.length).toFixed(1)}, ` +
      `sampler and trainer differ by at most ${difference.toExponential(1)}`,
  );
}
console.log();
await evaluate("after GRPO");
await engine.dispose();
