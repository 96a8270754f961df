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
import { writeJsonl } from "../../data/jsonl.ts";
import { Random } from "../../random.ts";
import { type JudgedText, judgedPart } from "../../rewards/judged-part.ts";
import { rewardLabel } from "../../rewards/user/reference.ts";
import { type Candidate, collectCandidates, readCandidates } from "./candidates.ts";
import type { FilterConfig, PreferencesConfig } from "./config.ts";
import { type Row, writeDataset } from "./dataset-writer.ts";
import { ANY_SCORE, labelOf } from "./filters.ts";
import { PARTS_FOLDER } from "./rejection-sampling.ts";
import {
  type DataStepOutcome,
  furtherColumns,
  nothingLeft,
  REJECTED_FILE,
  rejectedRow,
  Tally,
} from "./sampled-dataset.ts";
import { normalised } from "./selection.ts";
import { type DataStepContext, nameIn, withSource } from "./step-context.ts";

/** Why a prompt has no pair. */
const EQUALLY_GOOD = "all equally good, or no better than by the margin";
const EQUAL_TEXTS = "the better and the worse have the same text";
const NO_SUMMARY = "the better or the worse has no </think>, so no summary";
const ALONE = "only one completion is left of it";

/**
 * Samples, scores, pairs and writes; goes on with the parts that are there.
 *
 * @throws AhaError for what cannot be used; DataError where there is no pair; RunInterrupted
 */
export async function makePreferences(config: PreferencesConfig, context: DataStepContext): Promise<DataStepOutcome> {
  const { directory } = context;
  const parts = join(directory, PARTS_FOLDER);
  const scoring = scoringFilter(config);
  const sampling = { ...config, keep: [...config.keep, ...(scoring ? [scoring] : [])] };
  await withSource(config.model, context, async ({ source, taskFor }) => {
    await collectCandidates(sampling, {
      source,
      task: await taskFor(config.task, config.seed),
      askFor: ({ prompt }) => prompt,
      directory: parts,
      signal: context.signal,
      onProgress: context.onProgress,
    });
  });
  const tally = new Tally();
  const groups = new Map<string, Candidate[]>();
  await writeJsonl(
    join(directory, REJECTED_FILE),
    (async function* () {
      for await (const candidate of readCandidates(sampling, parts)) {
        tally.count(candidate);
        if (candidate.dropped !== null) yield rejectedRow(candidate);
        else groups.set(candidate.prompt, [...(groups.get(candidate.prompt) ?? []), candidate]);
      }
    })(),
  );
  const scoreOf = (candidate: Candidate) => (scoring ? candidate.scores[labelOf(scoring)]! : Number(candidate.solved));
  const random = new Random(config.seed, "pairs");
  const rows: Row[] = [];
  const unpaired: string[] = [];
  let [equalTexts, withoutSummary] = [0, 0];
  for (const group of groups.values()) {
    const made = pairRows(pairsOf(group, scoreOf, config, random), config);
    rows.push(...made.rows);
    equalTexts += made.equalTexts;
    withoutSummary += made.withoutSummary;
    if (made.rows.length > 0) continue;
    if (made.equalTexts > 0) unpaired.push(EQUAL_TEXTS);
    else if (made.withoutSummary > 0) unpaired.push(NO_SUMMARY);
    else unpaired.push(group.length > 1 ? EQUALLY_GOOD : ALONE);
  }
  const lineage = {
    step: "preferences",
    model: nameIn(context, config.model.path),
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
    ...(config.part === "summary" && { pairsWithoutSummary: withoutSummary }),
  };
  if (rows.length === 0) throw nothingLeft("preferences", tally, join(directory, REJECTED_FILE), noPair(unpaired));
  const counts = await writeDataset(directory, rows, lineage, config);
  return { ...counts, lineage: { ...lineage, rows: counts } };
}

/** Why the prompts have no pair, each as often as it holds. */
function noPair(unpaired: readonly string[]): string {
  const lines = [EQUALLY_GOOD, EQUAL_TEXTS, NO_SUMMARY, ALONE].flatMap((why) => {
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
  group: readonly Candidate[],
  scoreOf: (candidate: Candidate) => number,
  { margin, pairsPerPrompt }: PreferencesConfig,
  random: Random,
): [Candidate, Candidate][] {
  const sorted = random.shuffle([...group]).sort((a, b) => scoreOf(b) - scoreOf(a));
  const pairs: [Candidate, Candidate][] = [];
  for (let i = 0; i < Math.min(pairsPerPrompt, Math.floor(sorted.length / 2)); i++) {
    const [chosen, rejected] = [sorted[i]!, sorted[sorted.length - 1 - i]!];
    if (scoreOf(chosen) - scoreOf(rejected) > margin) pairs.push([chosen, rejected]);
  }
  return pairs;
}

/** The rows of a prompt's pairs, and how many of these say nothing. */
function pairRows(
  pairs: readonly (readonly [Candidate, Candidate])[],
  { part, kind }: PreferencesConfig,
): { readonly rows: readonly Row[]; readonly equalTexts: number; readonly withoutSummary: number } {
  const rows: Row[] = [];
  let [equalTexts, withoutSummary] = [0, 0];
  for (const [chosen, rejected] of pairs) {
    const better = judgedPart(chosen, part);
    const worse = judgedPart(rejected, part);
    if (better === undefined || worse === undefined) withoutSummary++;
    else if (normalised(better.completion) === normalised(worse.completion)) equalTexts++;
    else rows.push(pairRow(chosen, better, worse, kind));
  }
  return { rows, equalTexts, withoutSummary };
}

function pairRow(candidate: Candidate, better: JudgedText, worse: JudgedText, kind: string): Row {
  return {
    ...furtherColumns(candidate),
    prompt: better.prompt,
    chosen: better.completion,
    rejected: worse.completion,
    kind,
    promptId: candidate.promptId,
  };
}
