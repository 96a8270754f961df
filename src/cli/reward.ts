/** `aha reward`: scores saved completions with any of the rewards that recipes use. */

import { readJsonl } from "../data/jsonl.ts";
import { requireText } from "../data/row.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import { judgeAll } from "../rewards/judge.ts";
import { createReward, rewardDescriptions } from "../rewards/registry.ts";
import type { AnyReward, RewardInput, RewardResult } from "../rewards/reward.ts";
import { isRewardReference, parseRewardReference } from "../rewards/user/reference.ts";
import { DEFAULT_TIMEOUT_MS, UserReward } from "../rewards/user/thread.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import type { Command, CommandContext } from "./command.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";

const HELP = `Usage: aha reward NAME --in FILE.jsonl [--set option=value] [--timeout-ms N] [--json]

Scores completions. Each line of FILE is a JSON object with the texts prompt and completion and the columns that the
reward reads, e.g. {"prompt": "…<think>", "completion": "…</think>\\n<answer>…</answer>", "nums": [6, 3, 3], "target": 54}.
Nothing of it is ever run as code. A score of null means that the reward cannot judge that line.

NAME is one of the rewards below, or one of your own, FILE#EXPORT, e.g. ./my-reward.ts#brevity: that file is a program
and is run. It judges in a thread of its own; what it throws, a score that is no number, and a judgement that takes too
long are scores of null with the reason.

Rewards
${rewardDescriptions.map(({ name, summary }) => `  ${name.padEnd(14)}${summary}`).join("\n")}

Options
  --in FILE           the completions (required)
  --set option=value  an option of the reward; may be repeated
  --timeout-ms N      time limit for a judgement of a reward of your own (${DEFAULT_TIMEOUT_MS})
  --json              one JSON line {"line", "score", "reason"} per completion, instead of a table

Example
  aha reward equation --in completions.jsonl --set wrongScore=0.1 --json
  aha reward reward_model --in completions.jsonl --set path=runs/rm-0/model --set part=summary
  aha reward ./my-reward.ts#brevity --in completions.jsonl
`;

/** Lines judged together. */
const BATCH_LINES = 256;

const OPTIONS = {
  in: { type: "string" },
  set: { type: "string", multiple: true },
  "timeout-ms": { type: "string" },
  json: { type: "boolean" },
} as const;

interface ScoredLine extends RewardResult {
  readonly line: number;
}

export const command: Command = {
  help: HELP,
  run: async (args, context) => {
    const { values, positionals } = parseOptions("reward", args, OPTIONS, ["NAME"]);
    const name = positionals[0]!;
    const options = rewardOptions(values.set ?? []);
    const own = isRewardReference(name);
    if (!own && values["timeout-ms"] !== undefined) {
      throw new ConfigError(`aha reward: --timeout-ms is for rewards of your own (FILE#EXPORT), not for ${name}.`);
    }
    const timeoutMs =
      values["timeout-ms"] === undefined
        ? DEFAULT_TIMEOUT_MS
        : wholeNumberOption("timeout-ms", values["timeout-ms"], 1);
    const reward = own
      ? new UserReward(parseRewardReference(name), { options, timeoutMs })
      : createReward(name, options, { openScorer: scorerOpener() });
    if (values.in === undefined) throw new ConfigError("aha reward: --in FILE.jsonl is required.");
    // Everything is scored before anything is printed: a bad line gives an error and no half of a result.
    const scored = await scoreFile(reward, values.in, context);
    for (const line of scored) context.out(`${values.json ? JSON.stringify(line) : tableRow(line)}\n`);
    context.note(`${summarize(reward.name, scored)}\n`);
    return 0;
  },
};

async function scoreFile(reward: AnyReward, file: string, context: CommandContext): Promise<ScoredLine[]> {
  const scored: ScoredLine[] = [];
  let lines: number[] = [];
  let inputs: RewardInput[] = [];
  const scoreBatch = async () => {
    const results = await judgeAll(reward, inputs);
    scored.push(...results.map(({ score, reason }, i) => ({ line: lines[i]!, score, reason })));
    [lines, inputs] = [[], []];
  };
  try {
    if ("open" in reward) await reward.open?.();
    for await (const row of readJsonl(file)) {
      if (context.signal.aborted) throw new RunInterrupted("Stopped before the last line; nothing was printed.");
      const prompt = requireText(row, "prompt");
      const completion = requireText(row, "completion");
      inputs.push({ prompt, completion, columns: row.fields });
      lines.push(row.line);
      if (inputs.length === BATCH_LINES) await scoreBatch();
    }
    await scoreBatch();
  } finally {
    if ("close" in reward) await reward.close?.();
  }
  return scored;
}

/** `a=1` → `{ a: 1 }`; a value that is not JSON is text. */
function rewardOptions(settings: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    settings.map((setting) => {
      const equals = setting.indexOf("=");
      if (equals > 0) return [setting.slice(0, equals), jsonOrText(setting.slice(equals + 1))];
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
  return `${String(line).padStart(7)}  ${(score === null ? "-" : String(score)).padStart(6)}  ${reason}`;
}

function summarize(name: string, scored: readonly ScoredLine[]): string {
  const scores = scored.flatMap(({ score }) => (score === null ? [] : [score]));
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const abstained = scored.length - scores.length;
  const of = `${scores.length} completion${scores.length === 1 ? "" : "s"}`;
  const average = scores.length === 0 ? "nothing was scored" : `mean ${mean.toFixed(4)} over ${of}`;
  return `${name}: ${average}${abstained === 0 ? "" : `; ${abstained} could not be judged`}.`;
}
