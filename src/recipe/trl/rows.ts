/** The recipes whose steps go through rows of their data: SFT and a reward model, and distillation, which answers them. */

import { ConfigError } from "../../errors.ts";
import type { RowBatch } from "./batch-report.ts";
import type { TrlDraft } from "./conversion.ts";
import { setDemonstrations } from "./data/demonstrations.ts";
import { setPairs } from "./data/pairs.ts";
import { setQuestions } from "./data/questions.ts";
import { evaluates, setDistances } from "./distances.ts";
import { type ProgramParts, setPerStep } from "./grpo.ts";
import { type ConvertedLength, setIterations, setSchedule, setSteps } from "./length.ts";
import { setEmbeddingNoise } from "./objective.ts";
import { shown } from "./settings.ts";

/** TRL's default for max_length. */
const MAX_LENGTH = 1024;

/** The most tokens of a demonstration where the file sets no limit: no context is longer. */
const NO_LIMIT = 2 ** 17;

/**
 * Sets an SFT stage.
 *
 * @throws ConfigError for what cannot be run, by name; DataError for bad data
 */
export async function setSft(draft: TrlDraft, parts: ProgramParts): Promise<RowBatch> {
  const { settings } = draft;
  const batch = batchOf(draft, parts);
  const { rowsPerStep } = batch;
  const packing = settings.boolean("packing") ?? false;
  const { trainCount } = await setDemonstrations(draft, parts.survey, evaluates(draft));
  const maxTokens = setMaxTokens(draft, packing);
  const batchTokens = rowsPerStep * (maxTokens ?? NO_LIMIT);
  setPacking(draft, packing, batchTokens);
  if (packing) setPerStep(draft, draft.at("batchTokens"), batchTokens, parts.reading.defaults);
  else setPerStep(draft, draft.at("batchDemonstrations"), rowsPerStep, parts.reading.defaults);
  draft.put(draft.at("batchTokens"), batchTokens);
  setSftLoss(draft);
  const length = setSteps(draft, { rowsPerStep, trainCount: packing ? undefined : trainCount });
  setSchedule(draft, length, parts.reading);
  setDistances(draft, length, "evalLossEvery");
  return {
    ...{ ...batch, rows: packing ? "packed sequences" : "demonstrations" },
    tokensPerStep: packing ? rowsPerStep * maxTokens! : null,
    ...lengthOf(length, trainCount),
  };
}

/** max_length, or its older name: longer demonstrations are cut at the end, as in TRL. */
function setMaxTokens(draft: TrlDraft, packing: boolean): number | undefined {
  const { settings } = draft;
  const key = settings.has("max_length") || !settings.has("max_seq_length") ? "max_length" : "max_seq_length";
  if (key === "max_length") draft.hasNoEffect("max_seq_length", "max_length is its new name");
  const isUnlimited = settings.written.has(key) && !settings.has(key);
  if (isUnlimited && packing)
    throw new ConfigError(`packing: true needs a ${key}: packed sequences are of that length.`);
  const mode = settings.text("truncation_mode") ?? "keep_start";
  if (mode !== "keep_start") {
    throw new ConfigError(
      `truncation_mode: ${shown(mode)} is not supported: the beginning of a text is kept (keep_start).`,
    );
  }
  draft.hasNoEffect("truncation_mode", "the beginning of a text is kept");
  draft.put(draft.at("overlong"), "truncate");
  if (isUnlimited) {
    draft.hasNoEffect(key, "nothing is cut but by the model's context");
    return undefined;
  }
  const maxTokens = settings.number(key) ?? MAX_LENGTH;
  draft.becomes(key, draft.at("maxTokens"), maxTokens, { fallback: MAX_LENGTH });
  return maxTokens;
}

function setPacking(draft: TrlDraft, packing: boolean, batchTokens: number): void {
  if (packing) {
    const note = "as many demonstrations as fit, each a sequence of its own";
    draft.goesTo("packing", draft.at("batchTokens"), batchTokens, { note });
    draft.hasNoEffect("packing_strategy", "a step is filled with whole demonstrations, in their order");
    return;
  }
  draft.hasNoEffect("packing", "steps are of so many demonstrations");
  draft.hasNoEffect("packing_strategy", "of packing, which is off");
}

/** Keys of preparation that change nothing where the template writes the special tokens. */
const PREPARATION_KEYS = ["add_special_tokens", "append_concat_token"];

function setSftLoss(draft: TrlDraft): void {
  const { settings } = draft;
  const loss = settings.text("loss_type") ?? "nll";
  if (loss !== "nll" && loss !== "chunked_nll") {
    throw new ConfigError(`loss_type: ${shown(loss)} is not supported: SFT minimises the cross-entropy (nll).`);
  }
  draft.hasNoEffect("loss_type", "the cross-entropy, as a mean over the step's tokens");
  const kwargs = settings.mapping("dataset_kwargs") ?? {};
  const strange = Object.keys(kwargs).find((key) => !PREPARATION_KEYS.includes(key) && kwargs[key] !== false);
  if (strange !== undefined) {
    throw new ConfigError(
      `dataset_kwargs.${strange}: ${shown(kwargs[strange])} is not supported: rows are texts, not tokens.`,
    );
  }
  draft.hasNoEffect("dataset_kwargs", "the chat template writes the special tokens, a plain text gets the tokenizer's");
  setEmbeddingNoise(draft, "in training passes");
}

/**
 * Sets the stage of a reward model.
 *
 * @throws ConfigError for what cannot be run, by name; DataError for bad data
 */
export async function setRewardModel(draft: TrlDraft, parts: ProgramParts): Promise<RowBatch> {
  const { settings } = draft;
  const batch = batchOf(draft, parts);
  const { rowsPerStep } = batch;
  const { trainCount } = await setPairs(draft, parts.survey, evaluates(draft));
  setPerStep(draft, draft.at("batchPairs"), rowsPerStep, parts.reading.defaults);
  draft.put(draft.at("batchPairs"), rowsPerStep);
  if (settings.written.has("max_length") && !settings.has("max_length")) {
    draft.hasNoEffect("max_length", "pairs are as long as the model's context allows");
  } else {
    const maxTokens = settings.number("max_length") ?? MAX_LENGTH;
    const note = "pairs with a longer text are left out, as in TRL";
    draft.becomes("max_length", draft.at("maxTokens"), maxTokens, { fallback: MAX_LENGTH, note });
  }
  const centering = settings.number("center_rewards_coefficient");
  if (centering !== undefined) {
    draft.becomes("center_rewards_coefficient", draft.at("centerRewardsCoefficient"), centering);
  }
  const length = setSteps(draft, { rowsPerStep, trainCount });
  setSchedule(draft, length, parts.reading);
  setDistances(draft, length);
  return { ...batch, rows: "pairs", tokensPerStep: null, ...lengthOf(length, trainCount) };
}

/** Keys that only GKDConfig has; its defaults differ from those of DistillationConfig. */
const GKD_KEYS = ["lmbda", "max_new_tokens", "seq_kd"];

/**
 * Sets an on-policy distillation stage: the reverse KL divergence on what the student writes, which is DistillationConfig with
 * beta 1, and GKDConfig with lmbda 1 and beta 1.
 *
 * @throws ConfigError for another divergence, or rows of others; for what cannot be run; DataError for bad data
 */
export async function setDistillation(draft: TrlDraft, parts: ProgramParts): Promise<RowBatch> {
  const { settings } = draft;
  const isGkd = GKD_KEYS.some((key) => settings.has(key));
  requireShare(draft, "lmbda", isGkd ? 0.5 : 1, "the student learns from its own completions");
  requireShare(draft, "beta", isGkd ? 0.5 : 1, "the divergence is the reverse KL");
  await setTeacher(draft, parts);
  const batch = batchOf(draft, parts);
  const { rowsPerStep } = batch;
  const { trainCount } = await setQuestions(draft, parts.survey, {
    askedPrompt: parts.askedPrompt,
    evaluates: evaluates(draft),
    mayBeAnswered: true,
  });
  setPerStep(draft, draft.at("promptsPerIteration"), rowsPerStep, parts.reading.defaults);
  draft.put(draft.at("promptsPerIteration"), rowsPerStep);
  const groupSize = settings.number("num_generations") ?? 1;
  draft.becomes("num_generations", draft.at("groupSize"), groupSize, { fallback: 1 });
  setStudentSampling(draft, isGkd, parts.reading.defaults.max_completion_length);
  const once = { stepsPerIteration: 1, updatesPerIteration: 1, minibatchesPerIteration: 1 };
  const iteration = { ...once, promptsPerIteration: rowsPerStep };
  // DistillationTrainer draws whole batches; GKDTrainer takes the last, smaller one of an epoch too.
  const length = setIterations(draft, iteration, { batchCounts: isGkd ? "prompts" : "completions" }, trainCount);
  setSchedule(draft, length, isGkd ? withGkdRate(parts.reading) : parts.reading);
  setDistances(draft, length);
  const epochs = settings.number("max_steps") === undefined ? (settings.number("num_train_epochs") ?? 3) : undefined;
  return { ...batch, rows: "prompts", tokensPerStep: null, ...lengthOf({ ...length, epochs }, trainCount) };
}

/** GKDConfig has SFTConfig's. */
function withGkdRate(reading: ProgramParts["reading"]): ProgramParts["reading"] {
  return { ...reading, defaults: { ...reading.defaults, learning_rate: 2e-5 } };
}

function requireShare(draft: TrlDraft, key: "lmbda" | "beta", byDefault: number, why: string): void {
  const value = draft.settings.number(key) ?? byDefault;
  if (value !== 1) {
    const unsaid = draft.settings.has(key) ? "" : ", TRL's default,";
    throw new ConfigError(
      `${key}: ${value}${unsaid} is not supported: ${why} (${key} 1). Set it so (--set ${key}=1), or train on the teacher's texts ` +
        "with SFT.",
    );
  }
  draft.hasNoEffect(key, why);
}

async function setTeacher(draft: TrlDraft, { modelDirectory }: ProgramParts): Promise<void> {
  const key = "teacher_model_name_or_path";
  const name = draft.settings.text(key);
  if (name === undefined) {
    throw new ConfigError(`${draft.settings.source} names no teacher (${key}); give one with --set ${key}=DIR.`);
  }
  const directory = await modelDirectory(name);
  if (directory === undefined) {
    draft.missing.push(`The teacher ${name} is not on this machine; --set ${key}=DIR names another (aha model pull).`);
  }
  draft.hasNoEffect("teacher_model_revision", "the directory is the revision");
  draft.becomes(key, draft.at("teacher.path"), directory ?? name);
}

function setStudentSampling(draft: TrlDraft, isGkd: boolean, longestByDefault: number): void {
  const { settings } = draft;
  const temperature = isGkd ? 0.9 : 1;
  draft.becomes("temperature", draft.at("temperature"), settings.number("temperature") ?? temperature, {
    fallback: temperature,
  });
  const key = isGkd && !settings.has("max_completion_length") ? "max_new_tokens" : "max_completion_length";
  const fallback = isGkd ? 128 : longestByDefault;
  const longest = settings.number(key) ?? fallback;
  draft.put("evaluation.maxCompletionTokens", longest);
  draft.becomes(key, draft.at("maxCompletionTokens"), longest, { fallback, note: "in evaluations too" });
}

function batchOf({ settings }: TrlDraft, { reading, numProcesses, numProcessesFrom }: ProgramParts) {
  const perDevice =
    settings.number("per_device_train_batch_size") ??
    settings.number("per_gpu_train_batch_size") ??
    reading.defaults.per_device_train_batch_size;
  const accumulation = settings.number("gradient_accumulation_steps") ?? reading.defaults.gradient_accumulation_steps;
  return {
    ...({ kind: "rows" } as const),
    ...{ perDevice, numProcesses, accumulation, numProcessesFrom },
    rowsPerStep: perDevice * numProcesses * accumulation,
  };
}

function lengthOf(
  { perEpoch, steps, epochs }: Pick<ConvertedLength, "perEpoch" | "steps"> & { readonly epochs: number | undefined },
  trainCount: number | undefined,
): Pick<RowBatch, "trainRows" | "stepsPerEpoch" | "epochs" | "steps"> {
  return {
    trainRows: trainCount ?? null,
    stepsPerEpoch: perEpoch ?? null,
    epochs: epochs ?? null,
    steps: steps ?? null,
  };
}
