/** A diagnosis as text: a table of figures, then the findings, worst first. */

import type { DeviceMemoryFigures, Diagnosis, PipelineDiagnosis, StageFigures } from "../doctor/diagnosis.ts";
import type { Finding } from "../findings.ts";
import { clock, count, inBytes, percent, plain } from "../number-text.ts";
import { type Style, wrap } from "./terminal-style.ts";

const WIDTH = 100;
const LABEL_WIDTH = 34;

/** The whole text, ending with a newline. */
export function diagnosisText(diagnosis: Diagnosis | PipelineDiagnosis, style: Style): string {
  const { model, stages, findings, unchecked, counts } = diagnosis;
  const lines = [style.bold(diagnosis.recipe)];
  const row = (label: string, value: string) => lines.push(`  ${label.padEnd(LABEL_WIDTH)}${value}`);
  if (model !== null) {
    const size = model.parameters === null ? "size not known" : `${count(model.parameters)} parameters`;
    const trained =
      model.adapter && model.trainableParameters !== null
        ? `, ${count(model.trainableParameters)} of them trained`
        : "";
    row("model", `${model.source}${model.available ? "" : " (not on this machine)"}: ${size}${trained}`);
  }
  for (const stage of stages) {
    lines.push("", style.bold(`${stage.name} (${stage.trainer})`));
    for (const [label, value] of stageRows(stage)) row(label, value);
  }
  if ("dataSteps" in diagnosis && diagnosis.dataSteps.length > 0) {
    lines.push("", style.bold("data steps"));
    for (const { name, step, prompts, completions, maxCompletionTokens } of diagnosis.dataSteps) {
      const amount =
        completions === null
          ? ""
          : `: ${count(completions)} completions of ${count(prompts!)} prompts, at most ${count(maxCompletionTokens!)} tokens`;
      row(name, `${step}${amount}`);
    }
  }
  if (stages.length > 0) {
    lines.push("", style.bold("the whole run"));
    if (!("dataSteps" in diagnosis)) row("held-out evaluations", seconds(diagnosis.evaluationSeconds));
    row("estimated time", seconds(diagnosis.estimatedSeconds));
    const peak = diagnosis.estimatedPeakBytes;
    row("estimated peak memory", `${peak === null ? "–" : inBytes(peak)} of ${inBytes(diagnosis.machineMemoryBytes)}`);
    if (diagnosis.deviceMemory !== null)
      for (const [label, value] of deviceRows(diagnosis.deviceMemory)) row(label, value);
  }
  lines.push("");
  for (const finding of together(findings)) lines.push(...findingLines(finding, style), "");
  if (unchecked.length > 0) {
    lines.push(style.bold("Not checked"));
    for (const what of unchecked) lines.push(...wrap(what, WIDTH - 2).map((line) => `  ${line}`));
    lines.push("");
  }
  const some = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;
  lines.push(`${some(counts.error, "error")}, ${some(counts.warning, "warning")}, ${some(counts.note, "note")}`);
  return `${lines.join("\n")}\n`;
}

/** Memory of the GPU, part by part. */
function deviceRows({
  device,
  bytes,
  memoryBytes,
  parts,
  largestBufferBytes,
  largestBuffer,
}: DeviceMemoryFigures): [string, string][] {
  const of = memoryBytes === null ? "" : ` of ${inBytes(memoryBytes)}`;
  return [
    [`memory of ${device}`, `${inBytes(bytes)}${of}`],
    ...parts.map(({ what, bytes: own }): [string, string] => [`  ${what}`, inBytes(own)]),
    ["  its largest buffer", `${inBytes(largestBufferBytes)} (${largestBuffer})`],
  ];
}

function stageRows(stage: StageFigures): [string, string][] {
  const rows: [string, string | null][] = [
    ["iterations", stage.iterations === null ? null : count(stage.iterations)],
    ["optimizer steps", stage.optimizerSteps === null ? null : count(stage.optimizerSteps)],
    ["optimizer steps per iteration", stage.stepsPerIteration === null ? null : count(stage.stepsPerIteration)],
    ["prompts per iteration", stage.promptsPerIteration === null ? null : count(stage.promptsPerIteration)],
    ["completions per iteration", stage.completionsPerIteration === null ? null : count(stage.completionsPerIteration)],
    ["prompts per optimizer step", plain(stage.promptsPerStep)],
    ["completions per optimizer step", plain(stage.completionsPerStep)],
    ["tokens per optimizer step", plain(stage.tokensPerStep)],
    ["epochs over the data", stage.epochs === null ? "– (endless, or not known)" : plain(stage.epochs)],
    ["prompt tokens, mean and longest", `${plain(stage.meanPromptTokens)}, ${plain(stage.maxPromptTokens)}`],
  ];
  if (stage.sampledCompletions !== null) {
    const rewards = Object.entries(stage.rewardMeans ?? {}).map(([name, mean]) => `${name} ${plain(mean)}`);
    rows.push(
      ["sampled completions", count(stage.sampledCompletions)],
      [
        "completion tokens, mean and limit",
        `${plain(stage.meanCompletionTokens)}, ${plain(stage.maxCompletionTokens)}`,
      ],
      ["predicted truncation", percent(stage.truncatedShare)],
      ["groups without variance", percent(stage.zeroVarianceShare)],
      ["solved", percent(stage.solveRate)],
      ["rewards", rewards.join(", ")],
      ["sampling", `${plain(stage.samplingTokensPerSecond)} tokens/s`],
    );
  }
  if (stage.trainingTokensPerSecond !== null) {
    const { estimatedSeconds, longestSeconds } = stage;
    const upTo =
      longestSeconds === estimatedSeconds ? "" : `, up to ${seconds(longestSeconds)} at the longest completions`;
    rows.push(["training", `${plain(stage.trainingTokensPerSecond)} tokens/s`]);
    rows.push(["estimated time", `${seconds(estimatedSeconds)}${upTo}`]);
  }
  return rows.filter((row): row is [string, string] => row[1] !== null);
}

/** Findings that differ only in the stage are printed once, with all stages. */
function together(findings: readonly Finding[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const finding of findings) {
    const { stage, ...what } = finding;
    const key = JSON.stringify(what);
    const before = found.get(key);
    const stages = [before?.stage, stage].filter((name) => name !== undefined).join(", ");
    found.set(key, stages === "" ? finding : { ...finding, stage: stages });
  }
  return [...found.values()];
}

function findingLines({ severity, id, stage, measured, why, advice }: Finding, style: Style): string[] {
  const emphasis = { error: style.bad, warning: style.bold, note: style.dim }[severity];
  const head = `${emphasis(severity)} ${id}${stage === undefined ? "" : ` (${stage})`}`;
  const body = [measured, `Why: ${why}.`, `Do: ${advice}.`].flatMap((text) => text.split("\n"));
  return [head, ...body.flatMap((text) => wrap(text, WIDTH - 2).map((line) => `  ${line}`))];
}

const seconds = (value: number | null) => (value === null ? "–" : clock(value));
