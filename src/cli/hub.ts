/** `aha model pull`, `aha model push`, `aha data pull`: models and data sets from and to the Hugging Face Hub. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import type { TrainingFacts } from "../hub/model-card.ts";
import { type PullOptions, pull } from "../hub/pull.ts";
import { pushModel } from "../hub/push.ts";
import { formatHubReference, parseHubReference, type RepositoryKind, requireHubReference } from "../hub/reference.ts";
import { hubSettings } from "../hub/settings.ts";
import { inspectModel } from "../model/on-disk.ts";
import { parseSize, sizeText } from "../number-text.ts";
import { readRun } from "../run/run-reader.ts";
import type { CommandContext } from "./command.ts";
import { HubProgress } from "./hub-progress.ts";
import { findModel } from "./model-directory.ts";
import { parseOptions } from "./parse-options.ts";

/** Usage lines of `aha model pull` and `aha model push`, for the help of `aha model`. */
export const MODEL_HUB_USAGE = `aha model pull ORG/NAME[@REVISION] [--include PATTERN]… [--max-size SIZE] [--verify] [--offline] [--json]
  aha model push DIR ORG/NAME [--private] [--branch NAME] [--message TEXT] [--json]`;

const PULL_OPTIONS_HELP = `--include PATTERN  only files like this, e.g. 'data/train-*'; may be repeated
  --max-size SIZE    refuse what is larger (100GB)
  --verify           compute the hashes of files that the cache has, and replace damaged ones
  --offline          use the cache alone, and say what it lacks (also: HF_HUB_OFFLINE=1)
  --json             progress as JSON lines on standard error, the result as one JSON line`;

/** What the help of `aha model` says about them. */
export const MODEL_HUB_HELP = `pull   downloads a model of the Hugging Face Hub into the cache that Python's tools share (HF_HUB_CACHE, HF_HOME), and
       prints its directory. Other commands do it by themselves: they take ORG/NAME[@REVISION] in place of DIR. An
       interrupted download goes on where it ended. Downloaded is what loads the model: safetensors, JSON, tokenizer,
       templates; never pickles. HF_TOKEN opens private and gated models, HF_ENDPOINT names another Hub.
  ${PULL_OPTIONS_HELP}

push   commits the model in DIR (or of the run in DIR) to the Hub, with a model card if it has none. The repository is
       made if there is none. HF_TOKEN must allow writing. Only a model's own files are pushed.
  --private          a new repository is private
  --branch NAME      commit to this branch (main)
  --message TEXT     of the commit
  --json             as above`;

/** What the help of `aha data` says about `aha data pull`. */
export const DATA_HUB_HELP = `Usage: aha data pull ORG/NAME[@REVISION] [--include PATTERN]… [--max-size SIZE] [--verify] [--offline] [--json]

Downloads a data set of the Hugging Face Hub into the cache that Python's tools share (HF_HUB_CACHE, HF_HOME), and prints
its directory. An interrupted download goes on where it ended. HF_TOKEN opens private and gated data sets.
  ${PULL_OPTIONS_HELP}`;

/** Options of `aha model pull` and `aha data pull`. */
export const PULL_OPTIONS = {
  include: { type: "string", multiple: true },
  "max-size": { type: "string" },
  verify: { type: "boolean" },
  offline: { type: "boolean" },
  json: { type: "boolean" },
} as const;

/** Options of `aha model push`. */
export const PUSH_OPTIONS = {
  private: { type: "boolean" },
  branch: { type: "string" },
  message: { type: "string" },
  json: { type: "boolean" },
} as const;

/** Runs `aha model pull` with the arguments after it. */
export function runModelPull(args: readonly string[], context: CommandContext): Promise<number> {
  return runPull("model", args, context);
}

/** Runs `aha data pull` with the arguments after it. */
export function runDataPull(args: readonly string[], context: CommandContext): Promise<number> {
  return runPull("dataset", args, context);
}

async function runPull(kind: RepositoryKind, args: readonly string[], context: CommandContext): Promise<number> {
  const command = kind === "model" ? "model pull" : "data pull";
  const { values, positionals } = parseOptions(command, args, PULL_OPTIONS, ["ORG/NAME[@REVISION]"]);
  const reference = requireHubReference(positionals[0]!, kind);
  const maxSize = values["max-size"];
  const progress = new HubProgress(context, values.json ? "json" : "text");
  const options: PullOptions = {
    settings: hubSettings({ offline: values.offline === true }),
    signal: context.signal,
    include: values.include,
    maxBytes: maxSize === undefined ? undefined : sizeOption(maxSize),
    verify: values.verify,
    onProgress: progress.pull,
    onNote: progress.note,
  };
  try {
    const { commit, directory, files, downloadedBytes } = await pull(reference, options);
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    progress.end();
    if (values.json) {
      const { name, revision } = reference;
      const listed = files.map(({ path, sizeBytes }) => ({ path, sizeBytes }));
      const result = {
        type: "pulled",
        name,
        revision: revision ?? null,
        commit,
        directory,
        sizeBytes,
        downloadedBytes,
      };
      context.out(`${JSON.stringify({ ...result, files: listed })}\n`);
    } else {
      const came = downloadedBytes === 0 ? "all in the cache already" : `${sizeText(downloadedBytes)} downloaded`;
      const what = `${files.length === 1 ? "1 file" : `${files.length} files`}, ${sizeText(sizeBytes)}`;
      context.note(`${formatHubReference(reference)} is at commit ${commit}: ${what}, ${came}.\n`);
      context.out(`${directory}\n`);
    }
    return 0;
  } finally {
    progress.end();
  }
}

function sizeOption(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new ConfigError(`--max-size must be a size such as 500MB, 20GB or 8GiB, not ${JSON.stringify(text)}.`);
}

/** Runs `aha model push` with the arguments after it. */
export async function runModelPush(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model push", args, PUSH_OPTIONS, ["DIR", "ORG/NAME"]);
  const [directory, target] = positionals as [string, string];
  const { name, revision } = requireHubReference(target, "model");
  if (revision !== undefined) {
    throw new ConfigError(`aha model push: a branch is given with --branch ${revision}, not with @ in the name.`);
  }
  if (values.branch !== undefined && parseHubReference(`a/b@${values.branch}`, "model") === undefined) {
    throw new ConfigError(`--branch must be the name of a branch, not ${JSON.stringify(values.branch)}.`);
  }
  const source = await sourceOf(directory);
  const progress = new HubProgress(context, values.json ? "json" : "text");
  try {
    const result = await pushModel(source.modelDirectory, name, {
      settings: hubSettings(),
      signal: context.signal,
      isPrivate: values.private,
      branch: values.branch,
      message: values.message,
      baseModel: source.baseModel,
      training: source.training,
      onProgress: progress.push,
      onNote: progress.note,
    });
    progress.end();
    const { commit, url, created, files, leftOut } = result;
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    if (values.json) {
      context.out(`${JSON.stringify({ type: "pushed", name, commit, url, created, sizeBytes, files, leftOut })}\n`);
    } else {
      if (leftOut.length > 0) context.note(`Not pushed, for they are no files of a model: ${leftOut.join(", ")}.\n`);
      const what = `${files.length} files, ${sizeText(sizeBytes)}, as commit ${commit.slice(0, 12)}`;
      context.out(`${created ? "Created and pushed" : "Pushed"} ${what}: ${url}\n`);
    }
    return 0;
  } finally {
    progress.end();
  }
}

/** What is pushed of `directory`, and what its card can tell. */
async function sourceOf(directory: string): Promise<{
  readonly modelDirectory: string;
  readonly baseModel: string | undefined;
  readonly training: TrainingFacts | undefined;
}> {
  // An adapter has no config.json. A directory that is neither a model nor an adapter is refused with a message that
  // names both.
  const isPlain = existsSync(join(directory, "adapter_config.json")) && !existsSync(join(directory, "config.json"));
  if (isPlain) return { modelDirectory: directory, baseModel: undefined, training: undefined };
  const { modelDirectory, recipePath } = findModel(directory);
  // A checkpoint that cannot be loaded here could not be loaded by its users either, so it is not pushed.
  await inspectModel(modelDirectory);
  if (recipePath === undefined) return { modelDirectory, baseModel: undefined, training: undefined };
  const { recipe, summary } = readRun(directory);
  const path = (recipe.model as { readonly path?: unknown } | undefined)?.path;
  const base = typeof path === "string" ? parseHubReference(path, "model") : undefined;
  if (summary === undefined) return { modelDirectory, baseModel: base?.name, training: undefined };
  const [start, end] = [summary.start.solveRate, summary.after.solveRate];
  const training: TrainingFacts = {
    recipe: summary.recipe,
    question: summary.question,
    seed: summary.seed,
    stages: summary.stages,
    solveRate: typeof start === "number" && typeof end === "number" ? { start, end } : undefined,
  };
  return { modelDirectory, baseModel: base?.name, training };
}
