/**
 * The tensors of a checkpoint beside those that its config demands, told by name, shape and dtype alone.
 *
 * A tensor that is missing, of another shape or of numbers that are not read, is an error that names it. So is a tensor
 * that the config does not ask for (transformers skips it with a warning): a bias that the config does not mention, or
 * a layer too many, means that the config is not this model's. Passed over are only tensors that cannot change what the
 * model says: buffers that follow from the config, and heads for another use.
 */

import { CheckpointError } from "../errors.ts";
import type { ModelConfig, ModelHead } from "./model-config.ts";
import { parameterSpecs } from "./parameters.ts";
import { CONVERT_ADVICE, isReadDtype, type TensorFile } from "./safetensors.ts";

/** The output projection. */
export const HEAD = "lm_head.weight";
/** The embedding, which is the output projection too where the two are tied. */
export const EMBEDDING = "model.embed_tokens.weight";

/** Tables of rotary positions, and masks and position numbers that older versions of libraries kept as buffers. */
const BUFFERS = /(?:^|\.)(?:rotary_emb\.\w+|position_ids|masked_bias|causal_mask)$/;

/** Value heads of RL trainers, heads of classifiers and reward models, and those that predict further tokens. */
const OTHER_HEADS = /^(?:v_head|value_head|score|classifier|mtp|model\.mtp)\./;

/** The parts that wrappers add to the names of a model's tensors, and the program that adds each. */
const WRAPPERS: readonly (readonly [part: string, by: string])[] = [
  ["_orig_mod.", "torch.compile: save the model that it wraps (model._orig_mod)"],
  ["_fsdp_wrapped_module.", "FSDP: save with its full state dict"],
  ["_checkpoint_wrapped_module.", "activation checkpointing: save the model that it wraps"],
  ["_forward_module.", "Lightning or DeepSpeed: save the module that it wraps"],
  [
    "base_model.model.",
    "PEFT: save after merge_and_unload(), or save the adapter by itself and give it with --adapter",
  ],
  [".base_layer.", "PEFT: save after merge_and_unload(), or save the adapter by itself and give it with --adapter"],
  ["pretrained_model.", "TRL's value head: save the pretrained_model inside"],
  ["language_model.", "a model of text and images, of which only the language model can be used: save that by itself"],
  ["module.", "DataParallel or DeepSpeed: save the module that it wraps (model.module)"],
];

/** Where each tensor is; `EMBEDDING` also where a tied checkpoint has stored it under the name of the head. */
type FileOf = Map<string, TensorFile>;

/**
 * Compares, and gives the tied head of a checkpoint that stores nothing else the embedding's name.
 *
 * @returns the names of tensors that are passed over.
 * @throws CheckpointError, naming up to five tensors.
 */
export function matchTensors(directory: string, config: ModelConfig, head: ModelHead, fileOf: FileOf): string[] {
  refuseWrappers(directory, fileOf);
  const headFile = fileOf.get(HEAD);
  if (config.tieWordEmbeddings && headFile !== undefined && !fileOf.has(EMBEDDING)) {
    headFile.alias?.(HEAD, EMBEDDING);
    fileOf.delete(HEAD);
    fileOf.set(EMBEDDING, headFile);
  }
  const expected = new Map(parameterSpecs(config, head).map(({ checkpointName, shape }) => [checkpointName, shape]));
  // Some tied checkpoints store the embedding a second time; its values are compared when it is read.
  if (head === "tokens" && config.tieWordEmbeddings && fileOf.has(HEAD)) {
    expected.set(HEAD, [config.vocabSize, config.hiddenSize]);
  }
  const problems: string[] = [];
  let isUnreadable = false;
  for (const [name, shape] of expected) {
    const found = fileOf.get(name)?.entries.get(name);
    if (found === undefined) problems.push(`${name} is missing`);
    else if (found.shape.join() !== shape.join()) {
      problems.push(`${name}: expected shape [${shape.join(", ")}], found [${found.shape.join(", ")}]`);
    } else if (!isReadDtype(found.dtype)) {
      problems.push(`${name} is stored as ${found.dtype}`);
      isUnreadable = true;
    }
  }
  const others = [...fileOf.keys()].filter((name) => !expected.has(name));
  const ignored = others.filter((name) => canBeIgnored(name, head));
  for (const name of others) if (!ignored.includes(name)) problems.push(`${name} is not a tensor of this model`);
  if (problems.length === 0) return ignored;
  if (expected.has(HEAD) && !fileOf.has(HEAD)) {
    problems.push(`for a model whose head is its embedding set tie_word_embeddings = true`);
  }
  const more = problems.length > 5 ? `; and ${problems.length - 5} more` : "";
  throw new CheckpointError(
    `The weights in ${directory} are not those of its config.json: ${problems.slice(0, 5).join("; ")}${more}.` +
      (isUnreadable ? ` ${CONVERT_ADVICE}` : ""),
  );
}

function canBeIgnored(name: string, head: ModelHead): boolean {
  return BUFFERS.test(name) || OTHER_HEADS.test(name) || (head === "score" && name === HEAD);
}

/** Refuses names that another program's wrapper has changed, with the part that it put in. */
function refuseWrappers(directory: string, fileOf: ReadonlyMap<string, TensorFile>): void {
  const names = [...fileOf.keys()];
  const refuse = (example: string, what: string): never => {
    throw new CheckpointError(
      `The weights in ${directory} are named ${what}, as in ${example}. Expected ${EMBEDDING} and the like.`,
    );
  };
  for (const [part, by] of WRAPPERS) {
    const example = names.find((name) => name.startsWith(part) || name.includes(`.${part.replace(/^\./, "")}`));
    if (example !== undefined) refuse(example, `with ${JSON.stringify(part)}, by ${by}`);
  }
  if (fileOf.has(EMBEDDING) || fileOf.has(HEAD)) return;
  const tail = EMBEDDING.slice(EMBEDDING.indexOf(".") + 1);
  const example = names.find((name) => name === tail || name.endsWith(`.${tail}`));
  if (example === undefined) return;
  const prefix = example.slice(0, example.length - tail.length);
  refuse(
    example,
    prefix === ""
      ? 'without "model.", as AutoModel saves a model without its head: save it with AutoModelForCausalLM'
      : `with ${JSON.stringify(prefix)} in place of "model.": rename them`,
  );
}
