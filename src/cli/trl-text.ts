/** What a TRL recipe became, for people: a table of its keys, the arithmetic of its batch, and what had to be chosen. */

import { count } from "../number-text.ts";
import type { GroupBatch, RowBatch, TrlBatch } from "../recipe/trl/batch-report.ts";
import type { TrlConversion, TrlKeyLine } from "../recipe/trl/conversion.ts";
import { shown } from "../recipe/trl/settings.ts";
import { wrap } from "./terminal-style.ts";

/** Columns of a value are no wider than this: one long path does not push all notes to the right. */
const MAX_VALUE = 34;

const TEXT_WIDTH = 112;

/** Stands for a space that is not broken at. */
const NO_BREAK = "\u0000";

/** The whole text; `path` as the user typed it. */
export function trlText(path: string, conversion: TrlConversion): string {
  const { keys, launcherKeys, defaults, batch, choices, missing } = conversion;
  const all = [...keys, ...launcherKeys];
  const width = Math.max(...[...all, ...defaults].map(({ key }) => key.length));
  const valueWidth = Math.min(MAX_VALUE, Math.max(0, ...all.map(({ value }) => shown(value).length)));
  const table = (lines: readonly TrlKeyLine[]) => lines.map((line) => keyText(line, width, valueWidth));
  const kept = all.filter(({ path: place }) => place !== null);
  const idle = all.filter(({ path: place }) => place === null);
  return [
    ...wrap(
      `${path} is a recipe of ${conversion.trainerTitle}, ${conversion.trainerBecause}. It is read as one of TRL ` +
        `${conversion.version}: ${conversion.versionBecause}.`,
      TEXT_WIDTH,
    ),
    ...section("What each key became", table(kept)),
    ...section("No meaning here", byReason(idle)),
    ...section(`Not in the file: what TRL ${conversion.version} does by default`, table(defaults)),
    ...section("The batch", batchText(batch, conversion.version)),
    ...section(
      "What else was chosen",
      choices.flatMap(({ what, chosen }) => wrap(`${what}: ${chosen}`, TEXT_WIDTH)),
    ),
    ...section("The server, read in SkyRL's source and not run", conversion.server),
    ...section("Missing", missing),
    "",
    "",
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines.map((line) => `  ${line}`)];
}

function keyText({ key, value, path, recipeValue, note }: TrlKeyLine, width: number, valueWidth: number): string {
  const left = `${key.padEnd(width)}  ${short(value).padEnd(valueWidth)}`;
  if (path === null) return `${left}  ${note}`;
  // A long text that went there as it stands is not shown twice.
  const isRepeated = shown(value).length > MAX_VALUE && shown(value) === shown(recipeValue);
  const place = recipeValue === undefined || isRepeated ? path : `${path}: ${valueText(recipeValue)}`;
  return `${left}  → ${place}${note === "" ? "" : ` (${note})`}`;
}

/** A value in its column. */
function short(value: unknown): string {
  const text = shown(value);
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 1)}…` : text;
}

/** Keys without meaning, those of one reason together below it. */
function byReason(lines: readonly TrlKeyLine[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { key, value, note } of lines) {
    groups.set(note, [...(groups.get(note) ?? []), `${key}:${NO_BREAK}${shown(value).replaceAll(" ", NO_BREAK)},`]);
  }
  return [...groups].flatMap(([reason, keys]) => [
    ...wrap(reason, TEXT_WIDTH),
    ...wrap(keys.join(" ").slice(0, -1), TEXT_WIDTH).map((line) => `    ${line.replaceAll(NO_BREAK, " ")}`),
  ]);
}

/** The value in the recipe; of a list its names, rewards by name and weight. */
function valueText(value: unknown): string {
  if (!Array.isArray(value) || value.length === 0) return shown(value);
  const items = value as readonly (string | { readonly name: string; readonly weight: number })[];
  const texts = items.map((item) => (typeof item === "string" ? item : `${item.weight} × ${item.name}`));
  return texts.join(typeof items[0] === "string" ? ", " : " + ");
}

function batchText(batch: TrlBatch, version: string): string[] {
  return batch.kind === "groups" ? groupText(batch, version) : rowText(batch);
}

/** `2 per device × 1 process × 8 accumulation steps`. */
function factorsText(perDevice: number, numProcesses: number, accumulation: number): string {
  return (
    `${perDevice} per device × ${numProcesses} ${numProcesses === 1 ? "process" : "processes"} × ` +
    `${accumulation} accumulation ${accumulation === 1 ? "step" : "steps"}`
  );
}

function rowText(batch: RowBatch): string[] {
  const { rows, rowsPerStep, tokensPerStep, numProcesses, trainRows, stepsPerEpoch, epochs, steps } = batch;
  const room = tokensPerStep === null ? "" : `, room for ${count(tokensPerStep)} tokens`;
  const epoch =
    trainRows === null
      ? []
      : [
          `one epoch: ${amount(trainRows, "row")}, ` +
            (stepsPerEpoch === null
              ? "as many steps as they fill when they are packed"
              : amount(stepsPerEpoch, "optimizer step")),
        ];
  const run = epochs === null ? "" : `${epochs} ${epochs === 1 ? "epoch" : "epochs"}, `;
  return [
    `one optimizer step: ${count(rowsPerStep)} ${rows}${room}`,
    `  ${factorsText(batch.perDevice, numProcesses, batch.accumulation)} = ${count(rowsPerStep)} ${rows}`,
    `  num_processes: ${numProcesses} (${batch.numProcessesFrom})`,
    ...epoch,
    `the run: ${run}${steps === null ? "as many optimizer steps as the data come to" : amount(steps, "optimizer step")}`,
  ];
}

function groupText(batch: GroupBatch, version: string): string[] {
  const { numbers, promptsPerStep, completionsPerStep, batchCounts, otherReading, steps, iterations } = batch;
  const { perDevice, numProcesses, accumulation, groupSize } = numbers;
  const factors = factorsText(perDevice, numProcesses, accumulation);
  const arithmetic =
    batchCounts === "prompts"
      ? `${factors} = ${count(promptsPerStep)} prompts, × ${groupSize} generations = ${count(completionsPerStep)} completions`
      : `${factors} = ${count(completionsPerStep)} completions, / ${groupSize} generations = ${count(promptsPerStep)} prompts`;
  const run =
    steps === null || iterations === null
      ? "as many optimizer steps as the data come to"
      : `${amount(steps, "optimizer step")}, ${amount(iterations * batch.promptsPerIteration, "prompt")}, ` +
        amount(iterations * batch.promptsPerIteration * groupSize, "completion");
  return [
    `one optimizer step: ${amount(promptsPerStep, "prompt")}, ${amount(completionsPerStep, "completion")}`,
    `  ${arithmetic}: in TRL ${version} per_device_train_batch_size counts ${batchCounts}`,
    `  num_processes: ${numProcesses} (${batch.numProcessesFrom})`,
    ...(otherReading === null && batchCounts === "completions" ? [] : [otherText(otherReading, batchCounts)]),
    ...iterationText(batch),
    `the run: ${run}`,
  ];
}

function otherText(other: GroupBatch["otherReading"], batchCounts: GroupBatch["batchCounts"]): string {
  const counted = batchCounts === "prompts" ? "completions (TRL since 0.15)" : "prompts (TRL 0.14)";
  if (other === null) return `  counted as ${counted} it does not divide into groups, and could not be run`;
  const { version, promptsPerStep, completionsPerStep } = other;
  return (
    `  counted as ${counted} it would be ${amount(promptsPerStep, "prompt")}, ` +
    `${amount(completionsPerStep, "completion")}: --trl-version ${version}`
  );
}

function iterationText({ promptsPerIteration, stepsPerIteration, numbers, ...batch }: GroupBatch): string[] {
  if (stepsPerIteration === 1) return [];
  return [
    `one iteration: ${amount(promptsPerIteration, "prompt")}, ${amount(promptsPerIteration * numbers.groupSize, "completion")} ` +
      `sampled at once, ${stepsPerIteration} optimizer steps on them (${batch.minibatchesPerIteration} in each of ` +
      `${batch.updatesPerIteration} ${batch.updatesPerIteration === 1 ? "pass" : "passes"})`,
  ];
}

function amount(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}
