/** What a data step is given besides its configuration, and how it opens what it samples from. */

import type { Computing } from "../compute/computing.ts";
import { endpointName } from "../endpoint/options.ts";
import type { Sampler } from "../engine/contract/sampler.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { computeFor, LOCAL_ENGINE, openSampler, readsWeights } from "../engine/open.ts";
import { CheckpointError } from "../errors.ts";
import { MODEL_TEXT_FILES, resolveModel } from "../hub/resolve.ts";
import { modelDirectory } from "../model/gguf/model-directory.ts";
import type { TaskSpec } from "../tasks/entry.ts";
import { createTask } from "../tasks/on-disk.ts";
import type { Task } from "../tasks/task.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Message, Tokenizer } from "../tokenizer/tokenizer.ts";
import type { DataStepProgress } from "./candidates.ts";
import type { SamplingConfig } from "./config.ts";
import { type CompletionSource, endpointSource, engineSource } from "./sources.ts";

/** The surroundings of a step. */
export interface DataStepContext {
  /** The step's own folder, which exists: parts while it works, the data set at its end. */
  readonly directory: string;
  readonly signal: AbortSignal;
  /** What this process computes with. */
  readonly compute: Computing;
  /** Content hashes of what goes in, by what they are, for the data set's lineage. */
  readonly inputs?: Readonly<Record<string, string>>;
  /** What a model or data set is called in the lineage; its path if absent. */
  readonly nameOf?: (path: string) => string;
  readonly onProgress?: ((progress: DataStepProgress) => void) | undefined;
}

/** A path as the lineage has it. */
export function nameIn({ nameOf }: DataStepContext, path: string): string {
  return nameOf?.(path) ?? path;
}

/** A model that can be sampled. */
export interface OpenedModel {
  readonly engine: Sampler;
  readonly tokenizer: Tokenizer;
}

/**
 * Does `work` with the model in `path` open, on this engine.
 *
 * @throws CheckpointError, HubError for a model that cannot be read or downloaded, or whose tokenizer belongs to
 * another model
 */
export async function withModel<T>(
  path: string,
  { compute, engine: spec = LOCAL_ENGINE }: { readonly compute: Computing; readonly engine?: EngineSpec | undefined },
  work: (model: OpenedModel) => Promise<T>,
): Promise<T> {
  const choice = readsWeights(spec) ? {} : { include: MODEL_TEXT_FILES };
  const directory = await modelDirectory((await resolveModel(path, choice)).path);
  const tokenizer = await loadTokenizer(directory);
  const engine = await openSampler(spec, { path: directory }, computeFor(spec, compute));
  try {
    if (tokenizer.vocabSize > engine.info.vocabSize) {
      throw new CheckpointError(
        `${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocabulary ${engine.info.vocabSize}. ` +
          "They belong to two models; put the model's own tokenizer files there.",
      );
    }
    return await work({ engine, tokenizer });
  } finally {
    await engine.dispose();
  }
}

/** A source of completions, and the task of a step with its prompts in that source's form. */
export interface OpenedSource {
  readonly source: CompletionSource;
  /** What it is called in the lineage. */
  readonly name: string;
  /** `change` may add to the task's conversations. */
  readonly taskFor: (
    spec: TaskSpec,
    seed: number,
    change?: (messages: readonly Message[]) => readonly Message[],
  ) => Promise<Task>;
}

/**
 * Does `work` with whatever a step's `model` names open, on the engine that its keys name.
 *
 * @throws as `withModel`, and ConfigError for an endpoint's address that is none
 */
export async function withSource<T>(
  { model: { path, endpoint }, engine: spec }: Pick<SamplingConfig, "model" | "engine">,
  context: DataStepContext,
  work: (opened: OpenedSource) => Promise<T>,
): Promise<T> {
  const opened = (source: CompletionSource, name: string) => {
    const taskOf: OpenedSource["taskFor"] = (spec, seed, change = (messages) => messages) =>
      createTask(spec, { seed, renderChat: (messages, options) => source.renderChat(change(messages), options) });
    return work({ source, name, taskFor: taskOf });
  };
  if (endpoint !== undefined) return opened(await endpointSource(endpoint, context.directory), endpointName(endpoint));
  const name = nameIn(context, path!);
  const isHere = readsWeights(spec ?? LOCAL_ENGINE);
  return withModel(path!, { compute: context.compute, engine: spec }, ({ engine, tokenizer }) =>
    opened(engineSource(engine, tokenizer), isHere ? name : `${name} on ${engine.info.name}`),
  );
}

/** The task of a suite, with the model's chat template. */
export function taskFor(spec: TaskSpec, seed: number, tokenizer: Tokenizer): Promise<Task> {
  return createTask(spec, {
    seed,
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, options),
  });
}
