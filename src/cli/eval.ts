/** `aha eval`: lets a model answer held-out problems and says how well it did, by the task's own judgement. */

import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { writeJsonl } from "../data/jsonl.ts";
import type { SampledSoFar, Sampler } from "../engine/contract/sampler.ts";
import { LOCAL_ENGINE, openSampler } from "../engine/open.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import { compareEvaluations } from "../eval/compare.ts";
import { type Evaluation, evaluate } from "../eval/evaluate.ts";
import { loadRecipe } from "../recipe/load.ts";
import { applyOverrides } from "../recipe/overrides.ts";
import { PROMPT_DATE } from "../recipe/schema.ts";
import { createTask } from "../tasks/on-disk.ts";
import { tasks, withDataFile } from "../tasks/registry.ts";
import type { Problem } from "../tasks/task.ts";
import { dayOf } from "../tokenizer/format-date.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Command, CommandContext } from "./command.ts";
import { datasetResolver } from "./dataset-path.ts";
import { computeOfEngine, ENGINE_HELP, ENGINE_OPTION } from "./engine-option.ts";
import { comparisonTable, evaluationJson, evaluationTable } from "./eval-output.ts";
import { type ModelToRead, modelToRead } from "./model-to-read.ts";
import { ADAPTER_HELP, ADAPTER_OPTION } from "./model-with-adapter.ts";
import {
  COMPUTE_HELP,
  COMPUTE_OPTIONS,
  numberOption,
  parseOptions,
  seedOption,
  wholeNumberOption,
} from "./parse-options.ts";
import { SamplingProgress } from "./sampling-progress.ts";
import { statusLineOf } from "./terminal-line.ts";

const DEFAULT_MAX_TOKENS = 512;

const HELP = `Usage: aha eval DIR [--task NAME] [options]

Samples answers to held-out problems from the model in DIR and reports how many are solved, every number with its 95 %
interval. DIR is a model directory in the Hugging Face layout, ORG/NAME[@REVISION] on the Hub, or the directory of a run:
then the task, the problems, the way of sampling and the seed are those of its recipe, and the solve rate is the one that
its summary ends with.

Options
  --task NAME            ${tasks.names.join(", ")} (needed for a model directory)
  --set task.key=value   an option of the task, e.g. --set task.prompt=compact; may be repeated
  --data PATH            problems of this data instead (of those, the share that is held out)
  --problems N           how many problems (256)
  --samples K            completions per problem (1); with several also pass@k and the majority vote
  --pass-at K,K,…        the k of pass@k, each at most --samples (2, 4, 8, …)
  --temperature T        softmax temperature (1)
  --greedy               the most probable token each time, instead of sampling
  --top-p P, --top-k K   restrict sampling (off)
  --max-tokens N         longest completion (${DEFAULT_MAX_TOKENS}, or what the model's context leaves)
  --seed N               root of the random numbers (0)
  --compare DIR          evaluate this model too, on the same problems, and say whether the difference is more than luck
  ${ADAPTER_HELP}
  ${ENGINE_HELP}
  ${COMPUTE_HELP}
  --rollouts FILE.jsonl  write every completion with its verdict (also --out)
  --json                 print one JSON line instead of a table

Statistics
  solveRate              share of the completions that the task judges right; passAtK and majorityRate are of problems
  formatRate             well-formed completions; truncatedRate: those that were cut at the length limit
  meanLength, …          tokens per completion; …TerminatedLength: of those that ended by themselves
  tries                  candidate answers per completion, of tasks that have such; distinctTries where they can be told apart
  reflectionWords        "wait", "let me check", … per completion that thinks; reflectionRate: completions with any

Intervals are over problems: several completions of one problem are not counted as independent.

Examples
  aha eval runs/countdown-tiny-1 --samples 8
  aha eval runs/countdown-tiny-1 --compare runs/countdown-tiny-1/initial-model
  aha eval my-model --task countdown --set task.prompt=compact --set task.counts=[3] --set task.max=10 --json
`;

const OPTIONS = {
  task: { type: "string", completes: () => tasks.names },
  set: { type: "string", multiple: true, completes: "recipe-keys" },
  data: { type: "string", completes: "file" },
  problems: { type: "string" },
  samples: { type: "string" },
  "pass-at": { type: "string" },
  temperature: { type: "string" },
  greedy: { type: "boolean" },
  "top-p": { type: "string" },
  "top-k": { type: "string" },
  "max-tokens": { type: "string" },
  seed: { type: "string" },
  compare: { type: "string", completes: "model" },
  ...ADAPTER_OPTION,
  ...ENGINE_OPTION,
  ...COMPUTE_OPTIONS,
  rollouts: { type: "string", completes: "file" },
  out: { type: "string", completes: "file" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** What is to be evaluated, all of it checked except against the model. */
interface Plan {
  readonly task: { readonly name: string };
  readonly problems: number;
  readonly samples: number;
  readonly passAt: readonly number[] | undefined;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /** undefined: as long as fits, up to the default. */
  readonly maxCompletionTokens: number | undefined;
  readonly seed: number;
  /** The day in prompts whose chat template writes one. */
  readonly date: string;
}

export const evalCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["model"] },
  run: async (args, context) => {
    const { values, positionals } = parseOptions("eval", args, OPTIONS, ["DIR"]);
    const opened = await modelToRead(positionals[0]!, values, context);
    const plan = await planOf(values, opened.recipePath);
    const rollouts = rolloutsFile(values);
    const rival =
      values.compare === undefined
        ? undefined
        : await modelToRead(values.compare, { ...values, adapter: undefined }, context);
    const first = await evaluatePolicy(opened, plan, values, context);
    const second = rival && (await evaluatePolicy(rival, atMost(plan, first), values, context));
    if (second) requireSameProblems(first, second);
    if (rollouts !== undefined) await writeJsonl(rollouts, first.evaluation.completions);
    const { source, engine } = opened;
    const about = {
      model: source.path,
      ...(source.adapter !== undefined && { adapter: source.adapter }),
      ...(engine.kind !== LOCAL_ENGINE.kind && { engine }),
      ...plan,
      problems: first.problems,
      maxCompletionTokens: first.maxCompletionTokens,
    };
    const compared = second && {
      model: rival!.modelDirectory,
      evaluation: second.evaluation,
      comparison: compareEvaluations(first.evaluation, second.evaluation, plan.seed),
    };
    context.out(
      values.json
        ? evaluationJson(about, first.evaluation, compared)
        : `${evaluationTable(first.evaluation)}${compared ? comparisonTable(compared) : ""}`,
    );
    return 0;
  },
};

/** A policy's answers, and what was made of the plan. */
interface EvaluatedPolicy {
  readonly problems: number;
  readonly maxCompletionTokens: number;
  readonly evaluation: Evaluation;
}

async function evaluatePolicy(
  { source, tokenizerDirectory, engine: spec }: ModelToRead,
  plan: Plan,
  values: Values,
  context: CommandContext,
): Promise<EvaluatedPolicy> {
  const tokenizer = await loadTokenizer(tokenizerDirectory);
  const task = await createTask(plan.task, {
    seed: plan.seed,
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now: dayOf(plan.date) }),
    resolveDataset: datasetResolver(context),
  });
  const problems = task.heldOut(plan.problems);
  const engine = await openSampler(spec, source, computeOfEngine(spec, values));
  try {
    const maxCompletionTokens = plan.maxCompletionTokens ?? roomFor(engine, tokenizer, problems);
    const options = { ...plan, maxCompletionTokens, onProgress: progress(context) };
    const evaluation = await evaluate(engine, tokenizer, task, problems, options);
    if (context.interactive) context.note("\n");
    return { problems: problems.length, maxCompletionTokens, evaluation };
  } finally {
    await engine.dispose();
  }
}

/** The plan for the model that is compared: the same length limit, also where it came from the first one's context. */
function atMost(plan: Plan, { maxCompletionTokens }: EvaluatedPolicy): Plan {
  return { ...plan, maxCompletionTokens };
}

/** Throws ConfigError where two policies were not asked the same. */
function requireSameProblems({ evaluation: first }: EvaluatedPolicy, { evaluation: second }: EvaluatedPolicy): void {
  const isSame =
    first.completions.length === second.completions.length &&
    first.completions.every(({ problemId }, i) => problemId === second.completions[i]!.problemId);
  if (isSame) return;
  throw new ConfigError("aha eval: the two models were given different problems, so they cannot be compared.");
}

/** The file for completions. Throws ConfigError for one that exists, before anything is computed. */
function rolloutsFile({ rollouts, out }: Values): string | undefined {
  if (rollouts !== undefined && out !== undefined) {
    throw new ConfigError("aha eval: --rollouts and --out are two names of one option; give one of them.");
  }
  const file = rollouts ?? out;
  if (file !== undefined && existsSync(file)) {
    throw new ConfigError(`${file} exists; choose another name for --${out === undefined ? "rollouts" : "out"}.`);
  }
  if (file !== undefined && !existsSync(dirname(resolve(file)))) {
    throw new ConfigError(`${file} cannot be written: the folder ${dirname(resolve(file))} does not exist.`);
  }
  return file;
}

async function planOf(values: Values, recipePath: string | undefined): Promise<Plan> {
  const recipe = recipePath === undefined ? undefined : await loadRecipe(recipePath);
  const count = (option: keyof Values, otherwise: number, least: number) =>
    values[option] === undefined ? otherwise : wholeNumberOption(option, String(values[option]), least);
  if (values.greedy && values.temperature !== undefined) {
    throw new ConfigError("aha eval: --greedy and --temperature exclude each other.");
  }
  const asked = recipe?.evaluation;
  const samples = count("samples", values.greedy ? 1 : (asked?.samples ?? 1), 1);
  if (values.greedy && samples > 1) {
    throw new ConfigError("aha eval: --greedy gives the same completion every time; leave --samples out.");
  }
  return {
    task: taskSpec(values, recipe?.task),
    problems: count("problems", asked?.problems ?? 256, 1),
    samples,
    passAt: passAt(values["pass-at"], samples) ?? asked?.passAt?.filter((k) => k <= samples),
    temperature: values.greedy
      ? 0
      : number(
          "temperature",
          values.temperature,
          asked?.temperature ?? 1,
          isTemperature,
          "a number above 0 (or use --greedy)",
        ),
    topP: number("top-p", values["top-p"], asked?.topP ?? 1, isTopP, "a number above 0 and at most 1"),
    topK: count("top-k", asked?.topK ?? 0, 0),
    maxCompletionTokens:
      values["max-tokens"] === undefined
        ? asked?.maxCompletionTokens
        : wholeNumberOption("max-tokens", values["max-tokens"], 1),
    seed: values.seed === undefined ? (recipe?.seed ?? 0) : seedOption(values.seed),
    date: recipe?.date ?? PROMPT_DATE,
  };
}

/** The k of --pass-at, ascending. Throws ConfigError for one that is no number, or larger than the samples. */
function passAt(text: string | undefined, samples: number): number[] | undefined {
  if (text === undefined) return undefined;
  const ks = text.split(",").map((k) => wholeNumberOption("pass-at", k.trim(), 1));
  const beyond = ks.find((k) => k > samples);
  if (beyond !== undefined) {
    throw new ConfigError(
      `aha eval: pass@${beyond} needs as many completions of a problem; add --samples ${beyond} or more.`,
    );
  }
  return [...new Set(ks)].sort((a, b) => a - b);
}

/** The task as the recipe and the options give it. */
function taskSpec(values: Values, ofRecipe: { readonly name: string } | undefined): { readonly name: string } {
  const name = values.task ?? ofRecipe?.name;
  if (name === undefined) {
    throw new ConfigError(`aha eval: --task is required for a model directory; there are: ${tasks.names.join(", ")}.`);
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
function roomFor(engine: Sampler, tokenizer: Tokenizer, problems: readonly Problem[]): number {
  const longest = problems.reduce((most, { prompt }) => Math.max(most, tokenizer.encode(prompt).length), 0);
  return Math.max(1, Math.min(DEFAULT_MAX_TOKENS, engine.info.maxContextTokens - longest));
}

/** Shows how far the evaluation is, and ends it when the user asks to stop. */
function progress(context: CommandContext) {
  const status = statusLineOf(context);
  const words = new SamplingProgress();
  return (sampled: SampledSoFar): void => {
    if (context.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    if (sampled.finished === sampled.total) status.clear();
    else status.update(() => words.text("completions", sampled));
  };
}

function isTemperature(value: number): boolean {
  return value > 0 && Number.isFinite(value);
}

function isTopP(value: number): boolean {
  return value > 0 && value <= 1;
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
