/** Supervised fine-tuning, as a trainer. */

import { count } from "../../number-text.ts";
import type { Examination } from "../examination.ts";
import { type GivenDataTrial, givenData } from "../given-data.ts";
import { defineTrainer } from "../trainer.ts";
import { type SftConfig, sftIssues, sftShape } from "./config.ts";
import { DemonstrationStream, type LengthSurvey } from "./demonstration-stream.ts";
import { demonstrationLengthFindings } from "./length-findings.ts";
import { checkSft, trainSft } from "./sft.ts";
import { sftStarter } from "./starter.ts";

const demonstrations = givenData("demonstrations", "num_demonstrations");

/** A trial, and what the limits leave of the data. */
interface SftTrial extends GivenDataTrial {
  readonly survey: LengthSurvey;
}

const examination: Examination<SftConfig, "policy", SftTrial> = {
  learningRate: demonstrations.learningRate,
  units: demonstrations.units,
  longestRead: ({ maxTokens, batchTokens, overlong }) => {
    return { tokens: maxTokens ?? batchTokens, isCut: overlong === "truncate" };
  },
  overData: (config, trainCount, trial) => {
    // How many demonstrations the tokens of a step hold is known from the trial.
    const inTokens = trial && (config.batchTokens * trial.examplesPerStep) / trial.tokensPerStep;
    const examplesPerStep =
      inTokens === undefined
        ? config.batchDemonstrations
        : Math.min(inTokens, config.batchDemonstrations ?? Number.POSITIVE_INFINITY);
    return demonstrations.overData(config, trainCount, examplesPerStep);
  },
  memory: ({ maxTokens, batchTokens, batchDemonstrations = Number.POSITIVE_INFINITY }, { contextTokens }) => {
    const longest = Math.min(maxTokens ?? batchTokens, contextTokens);
    return { trained: { tokens: Math.min(batchTokens, batchDemonstrations * longest), longest } };
  },
  trial: async (parts, config) => {
    const trial = await demonstrations.trial(parts, { ...config, evalLossEvery: 0 }, trainSft);
    const survey = new DemonstrationStream(parts, config).survey();
    return { ...trial, survey, taughtTokens: survey.meanCompletionTokens };
  },
  // The survey looks at more demonstrations than the steps of a trial take, and knows what is cut.
  trialFindings: (_, trial) => [
    ...demonstrationLengthFindings(trial.survey),
    ...demonstrations.trialFindings({ ...trial, tooLongShare: 0 }),
  ],
  figures: (config, { steps, trial }) => ({
    ...demonstrations.figures(config.steps ?? steps, trial),
    promptsPerStep: trial?.examplesPerStep ?? null,
    completionsPerStep: trial?.examplesPerStep ?? null,
    tokensPerStep: trial?.tokensPerStep ?? config.batchTokens,
  }),
};

export const sftTrainer = defineTrainer({
  name: "sft",
  trains: "policy",
  unit: "step",
  shape: () => sftShape,
  issues: sftIssues,
  check: checkSft,
  train: trainSft,
  words: {
    title: "supervised fine-tuning: imitating demonstrations",
    explain: (config) =>
      "Learning from examples: the model reads worked solutions and learns to write like them. " +
      `${lengthInWords(config)} of up to ${batchInWords(config)}. The loss is its surprise; it should fall.`,
  },
  starter: sftStarter,
  examination,
});

function lengthInWords({ steps, epochs }: SftConfig): string {
  return steps === undefined
    ? `${epochs} ${epochs === 1 ? "pass" : "passes"} over the data, in steps`
    : `${count(steps)} steps`;
}

function batchInWords({ batchTokens, batchDemonstrations }: SftConfig): string {
  return batchDemonstrations === undefined ? `${count(batchTokens)} tokens` : `${count(batchDemonstrations)} of them`;
}
