/** `aha eval`: lets a model answer held-out problems and says how well it did, by the task's own judgement. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { writeJsonl } from "../data/jsonl.ts";
import type { Engine } from "../engine/engine.ts";
import { createLocalEngine } from "../engine/local/create.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import { type Evaluation, evaluate } from "../eval/evaluate.ts";
import { loadRecipe } from "../recipe/load.ts";
import { applyOverrides } from "../recipe/overrides.ts";
import { PROMPT_DATE } from "../recipe/schema.ts";
import { createTask, taskNames, withDataFile } from "../tasks/registry.ts";
import type { Problem } from "../tasks/task.ts";
import { dayOf } from "../tokenizer/format-date.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Command, CommandContext } from "./command.ts";
import { datasetResolver } from "./dataset-path.ts";
import { ADAPTER_HELP, ADAPTER_OPTION, openPolicy } from "./model-with-adapter.ts";
import { numberOption, parseOptions, seedOption, threadsOption, wholeNumberOption } from "./parse-options.ts";

const DEFAULT_MAX_TOKENS = 512;

const HELP = `Usage: aha eval DIR [--task NAME] [options]

Samples answers to held-out problems from the model in DIR and reports how many are solved, with a 95 % interval. DIR is
a model directory in the Hugging Face layout, ORG/NAME[@REVISION] on the Hub, or the directory of a run: then the task, the number of problems, the
length limit and the seed are those of its recipe, and the solve rate is the one that its summary ends with.

Options
  --task NAME            ${taskNames.join(", ")} (needed for a model directory)
  --set task.key=value   an option of the task, e.g. --set task.prompt=compact; may be repeated
  --data PATH            problems of this data instead (of those, the share that is held out)
  --problems N           how many problems (256)
  --samples K            completions per problem (1); with several also pass@k and the majority vote
  --temperature T        softmax temperature (1)
  --greedy               the most probable token each time, instead of sampling
  --top-p P, --top-k K   restrict sampling (off)
  --max-tokens N         longest completion (${DEFAULT_MAX_TOKENS}, or what the model's context leaves)
  --seed N               root of the random numbers (0)
  ${ADAPTER_HELP}
  --threads N            threads to compute with (one per processor, at most 8)
  --out FILE.jsonl       write every completion with its verdict
  --json                 print one JSON line instead of a table

Examples
  aha eval runs/countdown-tiny-1 --samples 8
  aha eval my-model --task countdown --set task.prompt=compact --set task.counts=[3] --set task.max=10 --json
`;

const OPTIONS = {
  task: { type: "string" },
  set: { type: "string", multiple: true },
  data: { type: "string" },
  problems: { type: "string" },
  samples: { type: "string" },
  temperature: { type: "string" },
  greedy: { type: "boolean" },
  "top-p": { type: "string" },
  "top-k": { type: "string" },
  "max-tokens": { type: "string" },
  seed: { type: "string" },
  ...ADAPTER_OPTION,
  threads: { type: "string" },
  out: { type: "string" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** What is to be evaluated, all of it checked except against the model. */
interface Plan {
  readonly task: { readonly name: string };
  readonly problems: number;
  readonly samples: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /** undefined: as long as fits, up to the default. */
  readonly maxCompletionTokens: number | undefined;
  readonly seed: number;
  /** The day in prompts whose chat template writes one. */
  readonly date: string;
}

export const command: Command = {
  help: HELP,
  run: async (args, context) => {
    const { values, positionals } = parseOptions("eval", args, OPTIONS, ["DIR"]);
    const { modelDirectory, tokenizerDirectory, adapter, recipePath } = await openPolicy(
      positionals[0]!,
      values.adapter,
      context,
    );
    const plan = await planOf(values, recipePath);
    if (values.out !== undefined && existsSync(values.out)) {
      throw new ConfigError(`${values.out} exists; choose another name for --out.`);
    }
    const tokenizer = await loadTokenizer(tokenizerDirectory);
    const task = await createTask(plan.task, {
      seed: plan.seed,
      renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now: dayOf(plan.date) }),
      resolveDataset: datasetResolver(context),
    });
    const problems = task.heldOut(plan.problems);
    const engine = await createLocalEngine(modelDirectory, { ...threadsOption(values.threads), ...adapter });
    try {
      const maxCompletionTokens = plan.maxCompletionTokens ?? roomFor(engine, tokenizer, problems);
      const options = { ...plan, maxCompletionTokens, onProgress: progress(context) };
      const evaluation = await evaluate(engine, tokenizer, task, problems, options);
      if (context.interactive) context.note("\n");
      if (values.out !== undefined) await writeJsonl(values.out, evaluation.completions);
      const about = { model: modelDirectory, ...adapter, ...plan, problems: problems.length, maxCompletionTokens };
      context.out(values.json ? jsonLine(about, evaluation) : table(evaluation));
      return 0;
    } finally {
      await engine.dispose();
    }
  },
};

async function planOf(values: Values, recipePath: string | undefined): Promise<Plan> {
  const recipe = recipePath === undefined ? undefined : await loadRecipe(recipePath);
  const count = (option: keyof Values, otherwise: number, least: number) =>
    values[option] === undefined ? otherwise : wholeNumberOption(option, String(values[option]), least);
  const samples = count("samples", 1, 1);
  if (values.greedy && values.temperature !== undefined) {
    throw new ConfigError("aha eval: --greedy and --temperature exclude each other.");
  }
  if (values.greedy && samples > 1) {
    throw new ConfigError("aha eval: --greedy gives the same completion every time; leave --samples out.");
  }
  return {
    task: taskSpec(values, recipe?.task),
    problems: count("problems", recipe?.evaluation.problems ?? 256, 1),
    samples,
    temperature: values.greedy
      ? 0
      : number("temperature", values.temperature, 1, isTemperature, "a number above 0 (or use --greedy)"),
    topP: number("top-p", values["top-p"], 1, (value) => value > 0 && value <= 1, "a number above 0 and at most 1"),
    topK: count("top-k", 0, 0),
    maxCompletionTokens:
      values["max-tokens"] === undefined
        ? recipe?.evaluation.maxCompletionTokens
        : wholeNumberOption("max-tokens", values["max-tokens"], 1),
    seed: values.seed === undefined ? (recipe?.seed ?? 0) : seedOption(values.seed),
    date: recipe?.date ?? PROMPT_DATE,
  };
}

/** The task as the recipe and the options give it. */
function taskSpec(values: Values, ofRecipe: { readonly name: string } | undefined): { readonly name: string } {
  const name = values.task ?? ofRecipe?.name;
  if (name === undefined) {
    throw new ConfigError(`aha eval: --task is required for a model directory; there are: ${taskNames.join(", ")}.`);
  }
  const settings = values.set ?? [];
  const stray = settings.find((setting) => !setting.startsWith("task."));
  if (stray !== undefined) {
    throw new ConfigError(`aha eval: --set expects task.key=value, e.g. --set task.prompt=compact, not "${stray}".`);
  }
  const known = ofRecipe?.name === name ? ofRecipe : { name };
  const base = values.data === undefined ? known : withDataFile(known, resolve(values.data));
  return (applyOverrides({ task: base }, settings) as { task: typeof base }).task;
}

/** The default length limit, or less where the longest prompt leaves less. */
function roomFor(engine: Engine, tokenizer: Tokenizer, problems: readonly Problem[]): number {
  const longest = problems.reduce((most, { prompt }) => Math.max(most, tokenizer.encode(prompt).length), 0);
  return Math.max(1, Math.min(DEFAULT_MAX_TOKENS, engine.info.maxContextTokens - longest));
}

/** Shows how far the evaluation is, and ends it when the user asks to stop. */
function progress(context: CommandContext) {
  return ({ finished, total, tokens }: { finished: number; total: number; tokens: number }): void => {
    if (context.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    if (context.interactive) context.note(`\r${finished}/${total} completions, ${tokens} tokens`);
  };
}

function jsonLine(about: object, { statistics, intervals }: Evaluation): string {
  return `${JSON.stringify({ ...about, statistics, intervals })}\n`;
}

function table({ statistics, intervals }: Evaluation): string {
  const width = Math.max(...Object.keys(statistics).map((name) => name.length)) + 2;
  const rows = Object.entries(statistics).map(([name, value]) => {
    const interval = intervals[name];
    const range = interval ? `  (95 %: ${interval[0].toFixed(3)} to ${interval[1].toFixed(3)})` : "";
    return `${name.padEnd(width)}${value.toFixed(3).padStart(9)}${range}\n`;
  });
  return rows.join("");
}

function isTemperature(value: number): boolean {
  return value > 0 && Number.isFinite(value);
}

function number(
  option: string,
  text: string | undefined,
  otherwise: number,
  accepts: (value: number) => boolean,
  expected: string,
): number {
  return text === undefined ? otherwise : numberOption(option, text, accepts, expected);
}
