/** `aha init`: five questions, then a recipe with comments, and for data of one's own a reward to begin with. */

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { defaultThreads } from "../compute/compute.ts";
import { diagnose } from "../doctor/diagnose.ts";
import type { Diagnosis } from "../doctor/diagnosis.ts";
import { ConfigError, nearestName, RunInterrupted } from "../errors.ts";
import { loadRecipe } from "../recipe/load.ts";
import type { Command, CommandContext } from "./command.ts";
import { datasetResolver } from "./dataset-path.ts";
import { diagnosisText } from "./doctor-text.ts";
import {
  type Choices,
  GOALS,
  type Goal,
  LENGTHS,
  NEW_MODEL,
  type Offered,
  offeredTrainers,
  trainersFor,
  usualModel,
} from "./init/choices.ts";
import { lookAtData, type OwnData } from "./init/own-data.ts";
import { type ProjectFile, pathIn, requireFree, schemaFor, schemaText, writeProject } from "./init/project.ts";
import { type AnswerSource, Questionnaire } from "./init/questions.ts";
import { needsReward, recipeText } from "./init/recipe-text.ts";
import { rewardFile, rewardText } from "./init/reward-text.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";
import { statusLineOf } from "./terminal-line.ts";
import { styleFor } from "./terminal-style.ts";

const RECIPE = "recipe.yaml";
/** Completions that the doctor samples where the model is a new one, which is small. */
const DOCTOR_SAMPLES = 8;

const HELP = `Usage: aha init [--out DIR] [--task NAME] [--model NAME|DIR] [--trainer NAME] [--length NAME] [--yes] [--json]

Asks five questions (what to learn, which model, which trainer, where, how long) and writes a recipe with comments. For data
of your own it looks at their columns, and writes a reward for you to change. The doctor looks at the recipe before it ends.
What an option answers is not asked. Nothing is overwritten; Ctrl-C leaves nothing behind.

Options
  --task NAME       what it is to learn: ${names(GOALS)}
  --data PATH       of the task own: a file, a folder, or ORG/NAME[@REVISION] on the Hub
  --prompt-column NAME, --answer-column NAME
                    the columns with the question and the right answer, where their names do not tell
  --model NAME      new (random weights), a model directory, a .gguf file, or ORG/NAME[@REVISION] on the Hub
  --trainer NAME    ${names(offeredTrainers())}
  --teacher NAME    of the trainer ${names(withTeacher())}: the larger model, as for --model
  --out DIR         the folder to write into; without it, one with the name of the task
  --length NAME     ${names(LENGTHS)}
  --threads N       threads to compute with, as a part of the recipe; without it, one per processor, at most 8
  --yes             ask nothing: what no option says is as usual
  --json            what was written, and the diagnosis, as one JSON line

Exit code: 0 where the doctor found no error, 1 where it did (the files are there), 130 after Ctrl-C (they are not).

Examples
  aha init
  aha init --yes --task countdown --length smoke --out my-countdown
  aha init --task own --data my-questions.jsonl --model Qwen/Qwen2.5-0.5B-Instruct --out my-questions
`;

const OPTIONS = {
  task: { type: "string", completes: () => GOALS.map(({ name }) => name) },
  data: { type: "string", completes: "file" },
  "prompt-column": { type: "string" },
  "answer-column": { type: "string" },
  model: { type: "string", completes: "model" },
  trainer: { type: "string", completes: () => offeredTrainers().map(({ name }) => name) },
  teacher: { type: "string", completes: "model" },
  out: { type: "string", completes: "directory" },
  length: { type: "string", completes: () => LENGTHS.map(({ name }) => name) },
  threads: { type: "string" },
  yes: { type: "boolean" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** `aha init`. */
export const initCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: [] },
  run: (args, context) => runInit(args, context, keyboard()),
};

/** The keyboard, or what is piped in. */
function keyboard(): AnswerSource {
  return { input: process.stdin, output: process.stdin.isTTY === true ? process.stderr : undefined };
}

/** Runs the command with answers from `source`. */
export async function runInit(args: readonly string[], context: CommandContext, source: AnswerSource): Promise<number> {
  const { values } = parseOptions("init", args, OPTIONS);
  const choices = await choose(values, context, source);
  const files = await filesFor(choices);
  const written = await writeProject(choices.directory, files, context.signal);
  let diagnosis: Diagnosis;
  try {
    diagnosis = await examine(choices, context);
  } catch (error) {
    written.undo();
    throw error instanceof RunInterrupted ? new RunInterrupted("Stopped; nothing was written.") : error;
  }
  const recipe = join(choices.directory, RECIPE);
  if (values.json) {
    context.out(`${JSON.stringify({ directory: choices.directory, recipe, files: written.names, diagnosis })}\n`);
  } else context.out(resultText(choices, written.names, diagnosis, context));
  return diagnosis.counts.error > 0 ? 1 : 0;
}

async function choose(values: Values, context: CommandContext, source: AnswerSource): Promise<Choices> {
  requireMeant(values);
  const questions = values.yes ? undefined : new Questionnaire(source, context, styleFor(source.output !== undefined));
  try {
    return await answers(values, context, questions);
  } finally {
    questions?.close();
  }
}

/** The answers: of an option, else of the person who is asked, else the usual ones. */
async function answers(
  values: Values,
  context: CommandContext,
  questions: Questionnaire | undefined,
): Promise<Choices> {
  const look = (path: string) => {
    const named = { prompt: values["prompt-column"], answer: values["answer-column"] };
    return lookAtData(path, named, datasetResolver(context));
  };
  const { name: goal } = await chosen(
    "task",
    values.task ?? (values.data && "own"),
    GOALS,
    questions,
    "1 of 5  What is it to learn?",
  );
  const data = goal === "own" ? await ownData(values.data, look, questions) : undefined;
  const model = await modelChoice(values.model, goal, questions);
  const trainers = trainersFor(goal, data);
  const trainer = await chosen("trainer", values.trainer, trainers, questions, "3 of 5  How is it to learn?");
  const teacher = trainer.starter.needsTeacher ? await teacherChoice(values.teacher, questions) : undefined;
  const usual = `./${goal === "own" ? folderName(values.data ?? data!.path) : goal}`;
  const directory = await asked(values.out, "out", questions, {
    question: "4 of 5  Where? A folder, new or without these files.",
    usual,
    read: (text) => {
      requireFree(text, [RECIPE, rewardFile()]);
      return text;
    },
  });
  const { name: length } = await chosen(
    "length",
    values.length,
    LENGTHS,
    questions,
    "5 of 5  How long may it take?",
    "short",
  );
  const threads = await threadsChoice(values.threads, questions);
  return { goal, data, model, trainer, teacher, directory, length, threads };
}

/** Options that the answers of others leave without effect are slips. */
function requireMeant(values: Values): void {
  const isOwn = values.task === "own" || (values.task === undefined && values.data !== undefined);
  const needless = (["data", "prompt-column", "answer-column"] as const).find((name) => values[name] !== undefined);
  if (needless !== undefined && !isOwn && values.task !== undefined) {
    throw new ConfigError(`aha init: --${needless} goes with --task own, not with --task ${values.task}.`);
  }
  const taught = withTeacher();
  if (values.teacher !== undefined && values.trainer !== undefined && !isOneOf(values.trainer, taught)) {
    throw new ConfigError(
      `aha init: --teacher goes with --trainer ${names(taught)}, not with --trainer ${values.trainer}.`,
    );
  }
}

/** What can be chosen with a teacher. */
function withTeacher() {
  return offeredTrainers().filter(({ starter }) => starter.needsTeacher);
}

function isOneOf(given: string, choices: readonly Offered[]): boolean {
  return choices.some(({ name }) => name === given);
}

async function chosen<Choice extends Offered>(
  option: string,
  given: string | undefined,
  choices: readonly Choice[],
  questions: Questionnaire | undefined,
  question: string,
  usual: Choice["name"] = choices[0]!.name,
): Promise<Choice> {
  const answer = given ?? (await questions?.choose(question, choices, { option, usual })) ?? usual;
  const found = choices.find(({ name }) => name === answer);
  if (found !== undefined) return found;
  const nearest = nearestName(
    answer,
    choices.map(({ name }) => name),
  );
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  const here = option === "trainer" ? " here" : "";
  throw new ConfigError(
    `aha init: --${option} must be one of ${names(choices)}${here}, not ${JSON.stringify(answer)}.${hint}`,
  );
}

/** The value of an option, or the answer to its question, or the usual one; `read` checks it. */
async function asked<T>(
  given: string | undefined,
  option: string,
  questions: Questionnaire | undefined,
  about: { question: string; usual: string | undefined; read: (text: string) => T | Promise<T> },
): Promise<T> {
  if (given !== undefined) return await about.read(given);
  if (questions !== undefined) return await questions.line(about.question, { option, ...about });
  if (about.usual !== undefined) return await about.read(about.usual);
  throw new ConfigError(`aha init: --${option} is needed with --yes here. See aha init --help.`);
}

function ownData(
  given: string | undefined,
  look: (path: string) => Promise<OwnData>,
  questions: Questionnaire | undefined,
): Promise<OwnData> {
  const question = "        Where are your data? A file (JSONL, CSV, Parquet, …), a folder, or ORG/NAME on the Hub.";
  return asked(given, "data", questions, { question, usual: undefined, read: look });
}

function modelChoice(given: string | undefined, goal: Goal, questions: Questionnaire | undefined) {
  const question = "2 of 5  Which model? new (random weights, small), a model directory, or ORG/NAME on the Hub.";
  const read = (text: string) => (text === NEW_MODEL ? undefined : requireModel(text));
  return asked(given, "model", questions, { question, usual: usualModel(goal), read });
}

function teacherChoice(given: string | undefined, questions: Questionnaire | undefined): Promise<string> {
  const question = "        Which teacher? A model directory, or ORG/NAME on the Hub; it has the student's tokenizer.";
  return asked(given, "teacher", questions, { question, usual: undefined, read: requireModel });
}

function requireModel(path: string): string {
  pathIn(".", path, "model");
  return path;
}

function threadsChoice(given: string | undefined, questions: Questionnaire | undefined): Promise<number | undefined> {
  const all = String(defaultThreads());
  const question = `        On how many threads? This machine would take ${all}.`;
  const read = (text: string) => wholeNumberOption("threads", text, 1);
  if (given === undefined && questions === undefined) return Promise.resolve(undefined);
  return asked(given, "threads", questions, { question, usual: all, read });
}

/** A folder's name for data: that of their file or folder, without its ending. */
function folderName(path: string): string {
  return basename(path).replace(/[.@].*$/, "") || "own";
}

async function filesFor(choices: Choices): Promise<ProjectFile[]> {
  const { directory, data, model, teacher } = choices;
  const { reference, copyFrom } = schemaFor(directory);
  const text = recipeText(choices, {
    schema: reference,
    model: model && pathIn(directory, model, "model"),
    teacher: teacher && pathIn(directory, teacher, "model"),
    data: data && pathIn(directory, data.path, "dataset"),
  });
  return [
    ...(copyFrom === undefined ? [] : [[basename(copyFrom), await schemaText(copyFrom)] as const]),
    ...(needsReward(choices) ? [[rewardFile(), rewardText(data!)] as const] : []),
    [RECIPE, text],
  ];
}

async function examine({ directory, model }: Choices, context: CommandContext): Promise<Diagnosis> {
  const status = statusLineOf(context);
  try {
    const recipe = await loadRecipe(join(directory, RECIPE));
    const samples = model === undefined ? DOCTOR_SAMPLES : 0;
    const onProgress = (text: string) => status.update(() => `  ${text}`);
    return await diagnose(recipe, { samples, signal: context.signal, onProgress });
  } finally {
    status.clear();
  }
}

function resultText(
  { directory, model }: Choices,
  files: readonly string[],
  diagnosis: Diagnosis,
  context: CommandContext,
): string {
  const style = styleFor(context.interactive && process.stdout.isTTY === true);
  const recipe = join(directory, RECIPE);
  const { error } = diagnosis.counts;
  const next = [
    ...(error > 0 ? [`The doctor found ${error === 1 ? "an error" : `${error} errors`}: mend that first, then`] : []),
    ...(files.includes(rewardFile()) ? [`  ${join(directory, rewardFile())}   has your reward: change it`] : []),
    ...(model !== undefined && !existsSync(model) ? [`  aha model pull ${model}   downloads the model`] : []),
    `  aha doctor ${recipe}   looks again, with samples`,
    `  aha run ${recipe}   trains`,
  ];
  const list = files.map((name) => `  ${join(directory, name)}`);
  // The whole of it is the doctor's to say; here, what it comes to and what is wrong.
  const brief = {
    ...diagnosis,
    stages: [],
    findings: diagnosis.findings.filter(({ severity }) => severity !== "note"),
  };
  return `${diagnosisText(brief, style)}\nWritten:\n${list.join("\n")}\n\nNext:\n${next.join("\n")}\n`;
}

function names(choices: readonly Offered[]): string {
  return choices.map(({ name }) => name).join(", ");
}
