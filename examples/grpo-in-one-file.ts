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
 * Everything that decides something is written out here. What is imported from Aha: the engine (sampling, gradients,
 * AdamW), a tokenizer, random weights, two rewards, random numbers. The real thing, with checkpoints, schedules, KL and
 * reports, is `npm start`; its algorithm is in src/train/grpo/grpo.ts and not much longer.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type AdamParams,
  buildTokenizer,
  Compute,
  createReward,
  type Datum,
  initializeParameters,
  openEngine,
  presetConfig,
  Random,
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
// The game. Three numbers from 1 to 10; every intermediate result is a whole number from 0 to 99, so that each is one
// token. A problem is made backwards: draw an expression, and its value is the target. So each has a solution.

interface Expression {
  text: string; // (6*3)+3
  steps: string; // =18+3=21
  value: number;
}

interface Problem {
  numbers: number[];
  target: number;
  solution: Expression;
  prompt: string;
}

/** a ∘ b, or undefined where the result is not a whole number from 0 to 99. */
function calculate(a: number, operator: string, b: number): number | undefined {
  const value = { "+": a + b, "-": a - b, "*": a * b, "/": a / b }[operator]!;
  return Number.isInteger(value) && value >= 0 && value <= 99 ? value : undefined;
}

/** A random expression over all three numbers: (a∘b)∘c or c∘(a∘b). */
function randomExpression(numbers: readonly number[], random: Random): Expression {
  for (;;) {
    const [a, b, c] = random.shuffle([...numbers]) as [number, number, number];
    const first = random.choice(["+", "-", "*", "/"]);
    const second = random.choice(["+", "-", "*", "/"]);
    const inner = calculate(a, first, b);
    if (inner === undefined) continue;
    const innerIsLeft = random.uniform() < 0.5;
    const value = innerIsLeft ? calculate(inner, second, c) : calculate(c, second, inner);
    if (value === undefined) continue;
    return innerIsLeft
      ? { text: `(${a}${first}${b})${second}${c}`, steps: `=${inner}${second}${c}=${value}`, value }
      : { text: `${c}${second}(${a}${first}${b})`, steps: `=${c}${second}${inner}=${value}`, value };
  }
}

function randomProblem(random: Random): Problem {
  for (;;) {
    const numbers = Array.from({ length: 3 }, () => 1 + random.integer(10));
    const solution = randomExpression(numbers, random);
    const target = solution.value;
    if (target < 10) continue;
    const prompt = `Using the numbers [${numbers.join(", ")}], create an equation that equals ${target}.\n<think>`;
    return { numbers, target, solution, prompt };
  }
}

/** Held-out problems never appear in training: the numbers and the target decide, in whatever order the numbers come. */
function isHeldOut({ numbers, target }: Problem): boolean {
  const key = [...[...numbers].sort((a, b) => a - b), target].join(" ");
  return new Random(0, `held out ${key}`).uniform() < 1 / 8;
}

/** The next problem of this stream of random numbers that is, or is not, held out. */
function nextProblem(random: Random, heldOut: boolean): Problem {
  for (;;) {
    const problem = randomProblem(random);
    if (isHeldOut(problem) === heldOut) return problem;
  }
}

const VERDICTS = [" yes", " too low\n", " too high\n"];

/** The trace of the player to imitate: tries at random, and after a miss often gives up. */
function demonstrate({ numbers, target, solution }: Problem, random: Random): string {
  const giveUp = random.uniform() < 0.2 ? 0.05 : 0.4; // a fifth of the players are patient
  let trace = "";
  for (let tries = 1; ; tries++) {
    const attempt = random.uniform() < 0.15 ? solution : randomExpression(numbers, random);
    trace += attempt.text + attempt.steps + VERDICTS[attempt.value === target ? 0 : attempt.value < target ? 1 : 2]!;
    const done = attempt.value === target || tries === 16 || random.uniform() < giveUp;
    if (done) return `${trace}</think>\n<answer>${attempt.text}</answer>`;
  }
}

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
const adam: Omit<AdamParams, "learningRate"> = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};

// ---------------------------------------------------------------------------------------------------------------------
// The rewards: rules, not models. One point for the form <think>…</think><answer>…</answer>, one for an answer that uses
// each number once and equals the target. An exact parser reads it; nothing that a model writes is ever run as code.

const format = createReward("format");
const equation = createReward("equation");

function judge({ prompt, numbers, target }: Problem, completion: string) {
  const input = { prompt, completion, columns: { nums: numbers, target } };
  const solved = equation.judge(input).score ?? 0;
  return { solved, reward: solved + (format.judge(input).score ?? 0) };
}

// ---------------------------------------------------------------------------------------------------------------------
// How good is it? Sample one answer to each of some held-out problems: the same problems and the same luck each time.

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function evaluate(label: string): Promise<void> {
  const random = new Random(0, "evaluation");
  const problems = Array.from({ length: HELD_OUT }, () => nextProblem(random, true));
  const sequences = await engine.sample(
    problems.map(({ prompt }, promptId) => ({ tokens: tokenizer.encode(prompt), numSamples: 1, promptId })),
    { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 256, stopTokenIds: [endOfText], seed: 0, iteration: 0 },
  );
  const completions = sequences.map(({ tokens }) => tokenizer.decode(tokens));
  const verdicts = completions.map((completion, i) => judge(problems[i]!, completion));
  const tries = completions.map((completion) => (completion.split("=").length - 1) / 2); // each try has two
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

const schooling = new Random(SEED, "fine-tuning");
for (let step = 0; step < SFT_STEPS; step++) {
  // About 2,048 tokens of fresh demonstrations. The verdicts weigh double: they have to be reliable.
  const batch: Datum[] = [];
  for (let tokens = 0; tokens < 2048; ) {
    const problem = nextProblem(schooling, false);
    const trace = demonstrate(problem, schooling);
    const { tokens: traceTokens, spans } = tokenizer.tokenSpans(trace);
    const weights = spans.map(([start, end]) => (VERDICTS.includes(trace.slice(start, end)) ? 2 : 1));
    const promptTokens = tokenizer.encode(problem.prompt);
    const completionTokens = Int32Array.from([...traceTokens, endOfText]);
    batch.push({ promptTokens, completionTokens, weights: Float32Array.from([...weights, 1]) });
    tokens += promptTokens.length + completionTokens.length;
  }
  // A loss term's weight includes its share in the mean: the engine only sums.
  const total = batch.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0);
  for (const { weights } of batch) for (let t = 0; t < weights.length; t++) weights[t]! /= total;

  const { loss } = await engine.forwardBackward(batch, { name: "cross_entropy" });
  // Twenty steps of warm-up, then half a cosine down to a twentieth.
  const cosine = 0.05 + 0.95 * (0.5 + 0.5 * Math.cos((Math.PI * step) / SFT_STEPS));
  await engine.optimStep({ ...adam, learningRate: 4e-3 * Math.min(1, (step + 1) / 20) * cosine });
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

const practice = new Random(SEED, "practice");
for (let step = 0; step < GRPO_STEPS; step++) {
  // 1. Sample a group of completions for each problem. The sampler also returns each token's log-probability.
  const problems = Array.from({ length: PROMPTS }, () => nextProblem(practice, false));
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
    const { logprobs } = await engine.forwardBackward(batch, {
      name: "grpo",
      clipEpsilon: 0.2,
      clipEpsilonHigh: 0.2,
      klCoef: 0,
      temperature: TEMPERATURE,
    });
    await engine.optimStep({ ...adam, learningRate: 3e-4 * (1 - step / GRPO_STEPS), weightDecay: 0 });
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
