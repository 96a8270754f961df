/**
 * Preference pairs: what a reward model of stage 7 learns from (arXiv:2501.12948 §2.3.4), made of a model's own samples.
 *
 *     for each prompt: sample k completions; score them; pair the best with the worst, the second best with …
 *
 * The paper takes the pairs of DeepSeek-V3, which people and models had judged. Here the judge is the task's verdict or a
 * reward: a rule, a model behind an endpoint, a program of the user's own. Prompts whose samples are all equally good
 * make no pair, nor do two equal texts. A pair is of the part that the reward model will be asked about.
 */

import { join } from "node:path";
import { z } from "zod";
import { writeJsonl } from "../data/jsonl.ts";
import { engines } from "../engine/open.ts";
import { Random } from "../random.ts";
import { cachedBy } from "../registry.ts";
import { JUDGED_PARTS, type JudgedText, judgedPart } from "../rewards/judged-part.ts";
import { rewardFault, rewardPathsIn } from "../rewards/spec.ts";
import { rewardLabel } from "../rewards/user/reference.ts";
import { tasks } from "../tasks/registry.ts";
import type { Candidate } from "./candidate.ts";
import { collectCandidates, readCandidates } from "./candidates.ts";
import { type FilterConfig, filterSchema, modelSchema, PARTS_FOLDER, samplingShape } from "./config.ts";
import { type DatasetRow, writeDataset } from "./dataset-writer.ts";
import { ANY_SCORE, labelOf } from "./filters.ts";
import { furtherColumns, nothingLeft, REJECTED_FILE, rejectedRow, Tally } from "./sampled-dataset.ts";
import { samplingFindings } from "./sampling-findings.ts";
import { sampledWork, samplingIdentity, samplingPaths, scoringIdentity } from "./sampling-step.ts";
import { normalised } from "./selection.ts";
import { type DataStepOutcome, defineDataStep } from "./step.ts";
import { type DataStepContext, withSource } from "./step-context.ts";

/** The keys. */
const preferencesSchema = cachedBy([tasks, engines], () => {
  const { keepPerPrompt: _, choose: __, dedupe: ___, ...pairedShape } = samplingShape();
  return z
    .strictObject({
      ...pairedShape,
      model: modelSchema.describe("the model that is sampled"),
      keep: z.array(filterSchema).default([]).describe("filters that both completions of a pair pass"),
      reward: z.string().min(1).optional().describe("what says which is better; the task's verdict (solved) if absent"),
      options: z.record(z.string(), z.unknown()).default({}).describe("the reward's options"),
      part: z
        .enum(JUDGED_PARTS)
        .default("completion")
        .describe("what a pair is of: whole completions, or the summaries after </think>, as reward_model judges it"),
      margin: z.number().min(0).default(0).describe("the chosen one's score is more than this above the other's"),
      pairsPerPrompt: z
        .int()
        .min(1)
        .default(1)
        .describe("at most so many pairs of a prompt, each of other completions"),
    })
    .superRefine(({ samples, reward, options }, context) => {
      const fail = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
      if (samples < 2) fail("samples", "a pair needs at least 2 samples of a prompt");
      const fault = reward === undefined ? undefined : rewardFault({ name: reward, options });
      if (fault !== undefined) fail("reward", fault);
    });
});

type PreferencesConfig = z.infer<ReturnType<typeof preferencesSchema>>;

/** The step, as a pipeline sees it. */
export const preferences = defineDataStep({
  name: "preferences",
  schema: preferencesSchema,
  paths: (config) => [...samplingPaths(config), ...rewardPathsIn(config, "reward")],
  identity: (config) => ({ ...samplingIdentity(config), ...scoringIdentity(config) }),
  sampled: sampledWork,
  findings: (config, known) =>
    samplingFindings(config, known, { severity: "error", why: "they are equal, so there are no pairs" }),
  run: makePreferences,
});

/** A completion and the part of it that is judged. */
interface Judged {
  readonly candidate: Candidate;
  readonly text: JudgedText;
}

/** Why a completion is in no pair of summaries. */
const WITHOUT_SUMMARY = { by: "part summary", reason: "there is no </think>, so there is no summary" };

/** Why a prompt has no pair. */
const EQUALLY_GOOD = "all equally good, or no better than by the margin";
const EQUAL_TEXTS = "the better and the worse have the same text";
const ALONE = "only one completion is left of it";

/**
 * Samples, scores, pairs and writes; finished parts are not made again.
 *
 * @throws AhaError for what cannot be used; DataError where there is no pair; RunInterrupted
 */
async function makePreferences(config: PreferencesConfig, context: DataStepContext): Promise<DataStepOutcome> {
  const { directory } = context;
  const parts = join(directory, PARTS_FOLDER);
  const scoring = scoringFilter(config);
  const sampling = { ...config, keep: [...config.keep, ...(scoring ? [scoring] : [])] };
  const model = await withSource(config, context, async ({ source, name, taskFor }) => {
    const task = await taskFor(config.task, config.seed);
    await collectCandidates(sampling, { ...context, source, task, directory: parts });
    return name;
  });
  const tally = new Tally();
  const groups = new Map<string, Judged[]>();
  await writeJsonl(
    join(directory, REJECTED_FILE),
    (async function* () {
      for await (const read of readCandidates(sampling, parts)) {
        const text = judgedPart(read, config.part);
        const candidate = text === undefined ? { ...read, dropped: read.dropped ?? WITHOUT_SUMMARY } : read;
        tally.count(candidate);
        if (text === undefined || candidate.dropped !== null) yield rejectedRow(candidate);
        else groups.set(candidate.prompt, [...(groups.get(candidate.prompt) ?? []), { candidate, text }]);
      }
    })(),
  );
  const scoreOf = ({ candidate }: Judged) => (scoring ? candidate.scores[labelOf(scoring)]! : Number(candidate.solved));
  const random = new Random(config.seed, "pairs");
  const rows: DatasetRow[] = [];
  const unpaired: string[] = [];
  let equalTexts = 0;
  for (const group of groups.values()) {
    const pairs = pairsOf(group, scoreOf, config, random);
    const distinct = pairs.filter(
      ([chosen, rejected]) => normalised(chosen.text.completion) !== normalised(rejected.text.completion),
    );
    equalTexts += pairs.length - distinct.length;
    if (distinct.length === 0) unpaired.push(pairs.length > 0 ? EQUAL_TEXTS : group.length > 1 ? EQUALLY_GOOD : ALONE);
    for (const [chosen, rejected] of distinct) rows.push(pairRow(chosen, rejected, config.kind));
  }
  const lineage = {
    step: preferences.name,
    model,
    by: config.reward === undefined ? "verdict solved" : `reward ${rewardLabel(config.reward)}`,
    samples: config.samples,
    inputs: context.inputs ?? {},
    seed: config.seed,
    task: config.task,
    prompts: config.prompts,
    candidates: tally.candidates,
    solved: tally.solved,
    dropped: tally.dropped,
    abstained: tally.abstained,
    pairs: rows.length,
    promptsWithoutPair: unpaired.length,
    pairsOfEqualTexts: equalTexts,
  };
  if (rows.length === 0) throw nothingLeft(preferences.name, tally, join(directory, REJECTED_FILE), noPair(unpaired));
  const counts = await writeDataset(directory, rows, lineage, config);
  return { ...counts, lineage: { ...lineage, rows: counts } };
}

/** Why the prompts have no pair, each as often as it holds. */
function noPair(unpaired: readonly string[]): string {
  const lines = [EQUALLY_GOOD, EQUAL_TEXTS, ALONE].flatMap((why) => {
    const count = unpaired.filter((each) => each === why).length;
    return count === 0 ? [] : [`  ${why}: ${count} ${count === 1 ? "prompt" : "prompts"}\n`];
  });
  return lines.length === 0 ? "" : `Prompts without a pair:\n${lines.join("")}`;
}

/** The reward that says which is better, as a filter that every score passes. */
function scoringFilter({ reward, options }: PreferencesConfig): FilterConfig | undefined {
  return reward === undefined ? undefined : { reward, options, min: ANY_SCORE };
}

/** The best with the worst, and so on inwards, as long as one is better by more than the margin. */
function pairsOf(
  group: readonly Judged[],
  scoreOf: (judged: Judged) => number,
  { margin, pairsPerPrompt }: PreferencesConfig,
  random: Random,
): [Judged, Judged][] {
  const sorted = random.shuffle([...group]).sort((a, b) => scoreOf(b) - scoreOf(a));
  const pairs: [Judged, Judged][] = [];
  for (let i = 0; i < Math.min(pairsPerPrompt, Math.floor(sorted.length / 2)); i++) {
    const [chosen, rejected] = [sorted[i]!, sorted[sorted.length - 1 - i]!];
    if (scoreOf(chosen) - scoreOf(rejected) > margin) pairs.push([chosen, rejected]);
  }
  return pairs;
}

function pairRow({ candidate, text }: Judged, rejected: Judged, kind: string): DatasetRow {
  return {
    ...furtherColumns(candidate),
    prompt: text.prompt,
    chosen: text.completion,
    rejected: rejected.text.completion,
    kind,
    promptId: candidate.promptId,
  };
}
