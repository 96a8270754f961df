/** `aha reward`: scores saved completions with any of the rewards that recipes use. */

import { readRows } from "../data/formats.ts";
import { type DataRow, requireText } from "../data/row.ts";
import { ConfigError, DataError, RunInterrupted } from "../errors.ts";
import { judgeAll } from "../rewards/judge.ts";
import { createRewards } from "../rewards/on-node.ts";
import { rewards } from "../rewards/registry.ts";
import {
  type AnyReward,
  groupsOf,
  type RewardInput,
  type RewardResult,
  type WeightedReward,
} from "../rewards/reward.ts";
import { withOpenRewards } from "../rewards/session.ts";
import { DEFAULT_TIMEOUT_MS } from "../rewards/user/definition.ts";
import { isRewardReference } from "../rewards/user/reference.ts";
import { mean } from "../statistics.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import type { Command, CommandContext } from "./command.ts";
import { localEngineOption } from "./engine-option.ts";
import { COMPUTE_OPTIONS, computeOption, parseOptions, wholeNumberOption } from "./parse-options.ts";
import { listedReward, rewardListText } from "./reward-list.ts";
import { statusLineOf } from "./terminal-line.ts";

const HELP = `Usage: aha reward NAME --in FILE.jsonl [--set option=value] [--tokenizer DIR] [--timeout-ms N] [--json]
       aha reward --list [--json]

Scores completions. Each row of FILE (JSON Lines or a JSON list, CSV, also gzipped, or Parquet) has the texts prompt and
completion and the columns that the reward reads, e.g.
{"prompt": "…<think>", "completion": "…</think>\\n<answer>…</answer>", "nums": [6, 3, 3], "target": 54}.
Nothing of it is ever run as code. A score of null means that the reward cannot judge that line; where it can judge none,
the exit code is 1. A run's rollouts.jsonl is such a file. Rewards that go by length in tokens read completionTokens (or lengthTokens) and maxCompletionTokens, or
count with --tokenizer; rewards that compare completions take those of one group, or else of one prompt, together.

NAME is one of the rewards below, or one of your own, FILE#EXPORT, e.g. ./my-reward.ts#brevity: that file is a program
and is run. It judges in a thread of its own; what it throws, a score that is no number, and a judgement that takes too
long are scores of null with the reason.

Rewards
${rewards.all.map(({ name, summary }) => `  ${name.padEnd(22)}${summary}`).join("\n")}

Options
  --in FILE           the completions (required)
  --list              every reward with its options, their defaults, and where it is from
  --tokenizer DIR     count completions' tokens with the tokenizer of this model directory
  --set option=value  an option of the reward; may be repeated
  --device, --dtype, --threads  what a reward model is computed with, as in aha eval --help
  --timeout-ms N      time limit for a judgement of a reward of your own (${DEFAULT_TIMEOUT_MS})
  --json              one JSON line {"line", "score", "reason"} per completion, instead of a table

Example
  aha reward equation --in completions.jsonl --set wrongScore=0.1 --json
  aha reward cosine --in completions.jsonl --set correct=equation --set maxLength=400
  aha reward reward_model --in completions.jsonl --set path=runs/rm-0/model --set part=summary
  aha reward ./my-reward.ts#brevity --in completions.jsonl
`;

/** Lines judged together: whole groups, which may make it more. */
const BATCH_LINES = 256;
/** Most lines of a file: all are held, since those of a group may lie anywhere. */
const MAX_LINES = 1_000_000;

const OPTIONS = {
  in: { type: "string", completes: "file" },
  set: { type: "string", multiple: true },
  list: { type: "boolean" },
  tokenizer: { type: "string", completes: "directory" },
  ...COMPUTE_OPTIONS,
  "timeout-ms": { type: "string" },
  json: { type: "boolean" },
} as const;

interface ScoredLine extends RewardResult {
  readonly line: number;
}

export const rewardCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: [() => rewards.names] },
  run: async (args, context) => {
    const { values, positionals } = parseOptions("reward", args, OPTIONS, args.includes("--list") ? [] : ["NAME"]);
    if (values.list) {
      const listed = rewards.all.map(listedReward);
      context.out(values.json ? `${JSON.stringify(listed, undefined, 2)}\n` : rewardListText(listed));
      return 0;
    }
    const name = positionals[0]!;
    const options = rewardOptions(values.set ?? [], textOptions(name));
    const limit = values["timeout-ms"];
    if (limit !== undefined && !isRewardReference(name)) {
      throw new ConfigError(`aha reward: --timeout-ms is for rewards of your own (FILE#EXPORT), not for ${name}.`);
    }
    const timeoutMs = limit === undefined ? undefined : wholeNumberOption("timeout-ms", limit, 1);
    const spec = { name, options, ...(timeoutMs !== undefined && { timeoutMs }) };
    const openScorer = scorerOpener(computeOption(values), localEngineOption(values));
    const [{ reward }] = createRewards([spec], { openScorer }) as [WeightedReward];
    if (values.in === undefined) throw new ConfigError("aha reward: --in FILE.jsonl is required.");
    // Everything is scored before anything is printed, so a bad line gives an error and no partial result.
    const tokenizer = values.tokenizer === undefined ? undefined : await loadTokenizer(values.tokenizer);
    const scored = await scoreFile(reward, values.in, tokenizer, context);
    for (const line of scored) context.out(`${values.json ? JSON.stringify(line) : tableRow(line)}\n`);
    context.note(`${summarize(reward.name, scored)}\n`);
    return scored.some(({ score }) => score !== null) ? 0 : 1;
  },
};

async function scoreFile(
  reward: AnyReward,
  file: string,
  tokenizer: Tokenizer | undefined,
  context: CommandContext,
): Promise<ScoredLine[]> {
  const { lines, inputs } = await readInputs(file, tokenizer, context.signal);
  const scored: ScoredLine[] = [];
  const progress = statusLineOf(context);
  try {
    await withOpenRewards([[reward.name, reward]], context, async () => {
      for (const batch of batchesOf(inputs)) {
        const results = await judgeAll(
          reward,
          batch.map((i) => inputs[i]!),
        );
        stopIfAsked(context.signal);
        for (const [k, i] of batch.entries()) {
          const { score, reason } = results[k]!;
          scored.push({ line: lines[i]!, score, reason });
        }
        progress.update(() => `${scored.length} of ${inputs.length} completions`);
      }
    });
  } finally {
    progress.clear();
  }
  return scored.sort((a, b) => a.line - b.line);
}

async function readInputs(
  file: string,
  tokenizer: Tokenizer | undefined,
  signal: AbortSignal,
): Promise<{ lines: number[]; inputs: RewardInput[] }> {
  const lines: number[] = [];
  const inputs: RewardInput[] = [];
  for await (const row of readRows(file)) {
    stopIfAsked(signal);
    if (inputs.length === MAX_LINES) {
      throw new DataError(`${file}: has more than ${MAX_LINES} completions; cut it into several files.`);
    }
    inputs.push(inputOf(row, tokenizer));
    lines.push(row.line);
  }
  return { lines, inputs };
}

function stopIfAsked(signal: AbortSignal): void {
  if (signal.aborted) throw new RunInterrupted("Stopped before the last line; nothing was printed.");
}

/** What a row says of a completion beside its text: columns of its own, or those of a run's rollouts. */
function inputOf(row: DataRow, tokenizer: Tokenizer | undefined): RewardInput {
  const prompt = requireText(row, "prompt");
  const completion = requireText(row, "completion");
  const { group, iteration, promptId, finishReason, maxCompletionTokens } = row.fields;
  const { completionTokens = row.fields.lengthTokens } = row.fields;
  const ofRun = typeof promptId === "number" ? `${String(iteration)}:${promptId}` : undefined;
  const named = typeof group === "string" || typeof group === "number" ? group : ofRun;
  const counted = tokenizer ? tokenizer.encode(completion).length : completionTokens;
  return {
    prompt,
    completion,
    columns: row.fields,
    ...(named !== undefined && { group: named }),
    ...(isCount(counted) && { completionTokens: counted }),
    ...((finishReason === "stop" || finishReason === "length") && { finishReason }),
    ...(isCount(maxCompletionTokens) && { maxCompletionTokens }),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Whole groups, together at least BATCH_LINES where there are so many. */
function batchesOf(inputs: readonly RewardInput[]): number[][] {
  const batches: number[][] = [];
  for (const group of groupsOf(inputs)) {
    const last = batches.at(-1);
    if (last && last.length < BATCH_LINES) last.push(...group);
    else batches.push([...group]);
  }
  return batches;
}

/** The options of a reward that are texts: 6.9 is a pattern for one of them, and no number. */
function textOptions(name: string): ReadonlySet<string> {
  const entry = rewards.find(name);
  const options = entry ? listedReward(entry).options : [];
  return new Set(options.filter(({ type }) => type === "string").map((option) => option.name));
}

/** `a=1` → `{ a: 1 }`; the value of one of `texts`, and one that is not JSON, is text. */
function rewardOptions(settings: readonly string[], texts: ReadonlySet<string>): Record<string, unknown> {
  return Object.fromEntries(
    settings.map((setting) => {
      const equals = setting.indexOf("=");
      const [key, value] = [setting.slice(0, equals), setting.slice(equals + 1)];
      if (equals > 0) return [key, texts.has(key) ? value : jsonOrText(value)];
      throw new ConfigError(`--set: expected option=value, got ${JSON.stringify(setting)}.`);
    }),
  );
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function tableRow({ line, score, reason }: ScoredLine): string {
  return `${String(line).padStart(7)}  ${(score === null ? "-" : String(Number(score.toFixed(4)))).padStart(6)}  ${reason}`;
}

function summarize(name: string, scored: readonly ScoredLine[]): string {
  const scores = scored.flatMap(({ score }) => (score === null ? [] : [score]));

  const abstained = scored.length - scores.length;
  const of = `${scores.length} completion${scores.length === 1 ? "" : "s"}`;
  if (scored.length === 0) return `${name}: nothing was scored: the file has no completions.`;
  const average = scores.length === 0 ? "nothing was scored" : `mean ${mean(scores).toFixed(4)} over ${of}`;
  return `${name}: ${average}${abstained === 0 ? "" : `; ${abstained} could not be judged`}.`;
}
