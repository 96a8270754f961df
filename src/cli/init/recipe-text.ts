/** The recipe that `aha init` writes: YAML with a comment on everything that one would want to change first. */

import { basename } from "node:path";
import { stringify } from "yaml";
import { type Choices, coldStarter, hasColdStart } from "./choices.ts";
import { type Numbers, numbersFor } from "./numbers.ts";
import { type OwnData, TEST_SPLIT } from "./own-data.ts";
import { rewardFile, rewardName } from "./reward-text.ts";

/** What paths are called in the recipe, which is in a folder of its own. */
export interface WrittenPaths {
  /** The JSON Schema that editors read. */
  readonly schema: string;
  readonly model: string | undefined;
  readonly teacher: string | undefined;
  readonly data: string | undefined;
}

/** Text as a value of YAML, in quotes where it needs them. */
const text = (value: string) => stringify(value, { lineWidth: 0 }).trimEnd();
const indented = (lines: readonly string[]) => lines.map((line) => (line === "" ? "" : `  ${line}`));

/** The whole file. */
export function recipeText(choices: Choices, paths: WrittenPaths): string {
  const numbers = numbersFor(choices);
  const stages = stagesOf(choices, numbers, paths);
  return `${[
    `# yaml-language-server: $schema=${paths.schema}`,
    ...headOf(choices, numbers),
    "",
    `name: ${recipeName(choices)}`,
    `question: ${text(questionOf(choices))}`,
    "seed: 1 # the same seed makes the same run, to the byte",
    "",
    ...modelLines(choices, numbers, paths),
    "",
    ...taskLines(choices, paths),
    "",
    "evaluation: # before and after each stage, on problems that it never trains on",
    `  problems: ${Math.min(numbers.evaluationProblems, heldOutRows(choices))} # with 100 the solve rate is known to about ± 0.1, with 400 to ± 0.05`,
    ...(choices.trainer.trains === "rewardModel" ? [] : [`  maxCompletionTokens: ${numbers.sampling.tokens}`]),
    "",
    ...engineLines(choices),
    "stages: # one after another",
    ...indented(stages).slice(0, -1),
  ].join("\n")}\n`;
}

/** A name that a recipe may have, made of the folder's. */
export function recipeName({ directory, goal }: Pick<Choices, "directory" | "goal">): string {
  const name = basename(directory)
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 64);
  return name === "" || /^\d+$/.test(name) ? `${goal}-recipe` : name;
}

function headOf({ trainer, length }: Choices, { isMeasured }: Numbers): string[] {
  const numbers = isMeasured
    ? "# Its numbers are those of Aha's recipes in recipes/countdown, which were measured: docs/log.md says what came of them."
    : "# Its numbers are where one would begin; nobody has measured them for this. Change one, look, change the next.";
  return [
    "# Written by aha init. In this folder:",
    "#",
    "#   aha doctor recipe.yaml        what it comes to, in time and memory, and what would waste the run",
    "#   aha run recipe.yaml           train; Ctrl-C stops cleanly, --resume goes on",
    "#   aha run recipe.yaml --set seed=2",
    "#   aha run --keys                every key that a recipe may have",
    "#",
    numbers,
    ...(length === "smoke" ? ["# It is far too short to learn anything: it shows that every part works."] : []),
    ...(trainer.trains === "rewardModel"
      ? ["# The reward reward_model of another recipe takes what this one makes."]
      : []),
  ];
}

function questionOf({ goal, trainer, model }: Choices): string {
  const who = model === undefined ? "a small model with random weights" : "the model";
  const what = { countdown: "Countdown", math: "school problems", own: "what these data ask" }[goal];
  return trainer.starter.question(who, what);
}

function modelLines({ goal, trainer }: Choices, { shape }: Numbers, { model }: WrittenPaths): string[] {
  if (model !== undefined) {
    return [
      "model:",
      `  path: ${text(model)} # a directory in the Hugging Face layout, a .gguf file, or org/name on the Hub`,
      ...(trainer.trains === "rewardModel"
        ? []
        : [
            "  lora: # trains an adapter beside the weights, for a fraction of the memory; without lora all weights are trained",
            "    rank: 16",
            "    alpha: 32",
          ]),
    ];
  }
  const tokenizer =
    goal === "countdown"
      ? "countdown-compact # each number is one token"
      : "characters # a token is a character, and there is a chat template";
  return [
    "model: # in place of init, path takes a pretrained model: a directory, or org/name on the Hub",
    "  init: # random weights",
    "    architecture: qwen3",
    `    tokenizer: ${tokenizer}`,
    `    hiddenSize: ${shape.hiddenSize}`,
    `    intermediateSize: ${2 * shape.hiddenSize}`,
    `    numLayers: ${shape.numLayers}`,
    `    numHeads: ${shape.numHeads}`,
    "    numKvHeads: 1",
    `    headDim: ${shape.headDim}`,
    `    maxContextTokens: ${shape.maxContextTokens} # prompt and completion together`,
  ];
}

function taskLines(choices: Choices, { data: path }: WrittenPaths): string[] {
  const { goal, model, length, data } = choices;
  if (goal === "own") return ownTask(data!, path!, choices);
  if (goal === "math") {
    if (model !== undefined) {
      return [
        "task: # problems are made as they are needed; data: { path } takes a data set with solutions instead",
        "  name: math",
        "  prompt: r1-zero # plain text, as R1-Zero was asked; boxed is a chat message, for instruct models",
      ];
    }
    return ["task:", "  name: math", "  prompt: compact", "  kinds: [arithmetic, linear]", "  maxOperand: 9"];
  }
  if (model !== undefined) {
    return [
      "task: # problems are made as they are needed",
      "  name: countdown",
      "  prompt: english # a chat message; compact is plain text for a model of Aha's own",
      "  counts: [3, 4] # how many numbers a problem has",
      "  max: 99",
    ];
  }
  const isLong = length === "long";
  return [
    "task: # problems are made as they are needed",
    "  name: countdown",
    "  prompt: compact",
    `  counts: ${isLong ? "[3, 4]" : "[3]"} # how many numbers a problem has`,
    "  min: 1",
    `  max: ${isLong ? 99 : 10}`,
    "  values: { min: 0, max: 99 } # every result on the way has a token",
    "  heldOutDraws: natural # evaluated as often as the game deals them",
    "  demonstration: # how the worked examples of sft look",
    ...(isLong
      ? [
          "    solutionProbability: 0.2 # a try is the solution, else random: better than chance, far from good",
          "    giveUpProbability: 0.3",
          "    patientShare: 0.3",
          "    distinctTries: commuted",
        ]
      : [
          "    solutionProbability: 0.15 # a try is the solution, else random: better than chance, far from good",
          "    giveUpProbability: 0.4 # after a miss: what reinforcement learning can mend",
          "    verdictWeight: 4",
        ]),
  ];
}

/** Rows that a smoke run takes, and the share of rows that is held out. */
const SMOKE_ROWS = 40;
const TEST_SHARE = 0.1;

function isSelected({ rows }: OwnData, length: Choices["length"]): boolean {
  return length === "smoke" && rows >= SMOKE_ROWS;
}

/** Rows that are held out; of problems that are made there are always enough. */
function heldOutRows({ data, length }: Choices): number {
  if (data === undefined) return Number.POSITIVE_INFINITY;
  return data.testRows ?? Math.ceil(TEST_SHARE * (isSelected(data, length) ? SMOKE_ROWS : data.rows));
}

function ownTask(data: OwnData, path: string, { length, trainer }: Choices): string[] {
  const { kind, columns, answer, found, testRows } = data;
  const mapped = Object.entries(columns).map(([wanted, column]) => `${wanted}: ${text(column)}`);
  const judged = kind === "conversations" && !trainer.starter.needsTeacher && answer !== undefined;
  return [
    "task:",
    `  name: ${kind} # what the data are; aha run --keys lists the keys of each task`,
    "  data:",
    `    path: ${text(path)} # its columns: ${found.join(", ")}`,
    ...(mapped.length === 0 ? [] : [`    columns: { ${mapped.join(", ")} } # what is read: the column that it is in`]),
    ...(isSelected(data, length) ? [`    select: ${SMOKE_ROWS} # rows; all without it`] : []),
    testRows === undefined
      ? `    testShare: ${TEST_SHARE} # held out: never trained on, and what it is measured on`
      : `    testSplit: ${TEST_SPLIT} # held out: never trained on, and what it is measured on`,
    ...(judged ? ["  answer: answer # held-out answers are compared with this column, whatever the reward says"] : []),
  ];
}

function engineLines({ threads }: Choices): string[] {
  if (threads === undefined) return [];
  return ["engine:", `  threads: ${threads} # another number rounds sums otherwise, so it is a part of the recipe`, ""];
}

/** The stages, an empty line after each. */
function stagesOf(choices: Choices, numbers: Numbers, { teacher }: WrittenPaths): string[] {
  const { trainer } = choices;
  const before = hasColdStart(choices) ? coldStarter() : undefined;
  const facts = {
    numbers,
    rewards: trainer.starter.isRewarded ? rewardLines(choices) : [],
    teacher: teacher === undefined ? "" : text(teacher),
  };
  return [...(before === undefined ? [] : [before]), trainer.starter].flatMap((starter) => [
    ...starter.stage(facts),
    "",
  ]);
}

function rewardLines({ goal, data, length, model }: Choices): string[] {
  if (goal === "own") return [`- { name: ./${rewardFile()}#${rewardName(data!)}, weight: 1 } # your own rule`];
  const form = "- { name: format, weight: 0.2 } # the form alone is worth little";
  if (goal === "math") return [form, "- { name: accuracy, weight: 1 }"];
  const isTiny = length === "smoke" && model === undefined;
  return [form, `- { name: equation, weight: 1${isTiny ? ", options: { wrongScore: 0.1 }" : ""} }`];
}

/** Whether a file with a reward belongs to it. */
export function needsReward(choices: Choices): boolean {
  return choices.goal === "own" && choices.trainer.starter.isRewarded === true;
}
