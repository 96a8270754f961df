/**
 * Which files of a repository are wanted. Of a model: what is needed to load it, and nothing that could run code when it
 * is loaded (`.bin`, `.pt`, `.pth` and `.pkl` are Python pickles). Of a data set: the files that hold rows, and its card,
 * which says which of them are which split.
 */

import { HubError } from "../errors.ts";
import { formatHubReference, type HubReference } from "./reference.ts";
import type { RemoteFile } from "./remote-file.ts";

/** What a tree of files and a name say, for choosing. */
type Listed = Pick<RemoteFile, "path">;

const MODEL_TEXT = /\.(?:json|jinja|txt|model|tiktoken)$/;
/** Written by trainers about their own run; no part of a model. */
const TRAINER_FILES = new Set(["trainer_state.json", "training_args.json", "all_results.json", "train_results.json"]);
const ESSENTIAL = new Set([
  "config.json",
  "generation_config.json",
  "model.safetensors.index.json",
  "adapter_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
]);
const STANDARD_WEIGHTS = /^(?:model|adapter_model)(?:-\d+-of-\d+)?\.safetensors$/;
const PICKLES = /\.(?:bin|pt|pth|pkl|ckpt)$/;
const ROWS = /\.(?:parquet|(?:jsonl|ndjson|json|csv|tsv)(?:\.gz)?)$/;
const MAX_SHOWN = 6;

/**
 * The wanted files of the list. `include`: patterns that a path has to match one of (`data/train-*.parquet`); without
 * any, the rules above.
 *
 * @throws HubError where that leaves nothing that can be used, saying what there is
 */
export function selectFiles<F extends Listed>(
  reference: HubReference,
  files: readonly F[],
  include: readonly string[] = [],
): F[] {
  if (include.length > 0) return matching(reference, files, include);
  return reference.kind === "model" ? modelFiles(reference, files) : dataFiles(reference, files);
}

/**
 * Whether a repository cannot be used without the file. A cache that Python filled may lack the others, such as a
 * license, or the vocabulary in a second form.
 */
export function isEssential(reference: HubReference, { path }: Listed): boolean {
  if (reference.kind === "dataset") return path !== "README.md";
  return path.endsWith(".safetensors") || ESSENTIAL.has(path);
}

/** Whether a path is one of a model's own files. */
function isModelText(path: string): boolean {
  if (/^additional_chat_templates\/[^/]+\.jinja$/.test(path)) return true;
  return !path.includes("/") && !path.startsWith(".") && MODEL_TEXT.test(path) && !TRAINER_FILES.has(path);
}

function modelFiles<F extends Listed>(reference: HubReference, files: readonly F[]): F[] {
  const atRoot = files.filter(({ path }) => !path.includes("/") && path.endsWith(".safetensors"));
  // Some repositories hold the same weights a second time, in another precision or format.
  const standard = atRoot.filter(({ path }) => STANDARD_WEIGHTS.test(path));
  const weights = standard.length > 0 ? standard : atRoot;
  if (weights.length > 0) {
    const chosen = new Set<F>([...files.filter(({ path }) => isModelText(path)), ...weights]);
    return files.filter((file) => chosen.has(file));
  }
  const pickles = files.filter(({ path }) => PICKLES.test(path));
  const gguf = files.filter(({ path }) => path.endsWith(".gguf"));
  const name = formatHubReference(reference);
  if (pickles.length > 0) {
    throw new HubError(
      `${name} has its weights only as pickles (${shown(pickles)}), which can run code when they are loaded; Aha reads ` +
        "safetensors alone. Look for a revision or a copy with model.safetensors, or convert it once with transformers: " +
        "AutoModelForCausalLM.from_pretrained(…).save_pretrained(…).",
    );
  }
  if (gguf.length > 0) {
    throw new HubError(
      `${name} has its weights only as GGUF (${shown(gguf)}), made to be run and not to be trained. Take the model that ` +
        "it was made from.",
    );
  }
  throw new HubError(`${name} has no weights (*.safetensors). ${contents(files)}`);
}

function dataFiles<F extends Listed>(reference: HubReference, files: readonly F[]): F[] {
  const rows = files.filter(({ path }) => ROWS.test(path) && !isHidden(path));
  if (rows.length === 0) {
    throw new HubError(
      `${formatHubReference(reference)} has no files with rows that Aha reads (.jsonl, .json, .parquet, .csv). ` +
        contents(files),
    );
  }
  const chosen = new Set<F>([...rows, ...files.filter(({ path }) => path === "README.md")]);
  return files.filter((file) => chosen.has(file));
}

function matching<F extends Listed>(reference: HubReference, files: readonly F[], include: readonly string[]): F[] {
  const patterns = include.map(patternOf);
  const isCard = (path: string) => reference.kind === "dataset" && path === "README.md";
  const found = files.filter(({ path }) => patterns.some((pattern) => pattern.test(path)));
  const refused = found.find(({ path }) => PICKLES.test(path));
  if (refused !== undefined) {
    throw new HubError(
      `${refused.path} of ${reference.name} is a pickle, which can run code when it is loaded: Aha does not download it.`,
    );
  }
  if (found.length === 0) {
    throw new HubError(
      `No file of ${formatHubReference(reference)} matches ${include.join(" or ")}. ${contents(files)}`,
    );
  }
  const chosen = new Set(found);
  return files.filter((file) => chosen.has(file) || isCard(file.path));
}

/** `*` stands for anything within a name, `**` also across folders, `?` for one character; a folder's name for all in it. */
function patternOf(glob: string): RegExp {
  const text = glob.endsWith("/") ? `${glob}**` : glob;
  const source = text.replace(/\*\*\/|\*\*|\*|\?|[^*?]+/g, (part) => {
    if (part === "**/") return "(?:.*/)?";
    if (part === "**") return ".*";
    if (part === "*") return "[^/]*";
    return part === "?" ? "[^/]" : part.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${source}$`);
}

function isHidden(path: string): boolean {
  return path.split("/").some((part) => part.startsWith("."));
}

function contents(files: readonly Listed[]): string {
  const visible = files.filter(({ path }) => !isHidden(path));
  return visible.length === 0 ? "It is empty." : `It has: ${shown(visible)}.`;
}

function shown(files: readonly Listed[]): string {
  const paths = files.slice(0, MAX_SHOWN).map(({ path }) => path);
  return `${paths.join(", ")}${files.length > MAX_SHOWN ? `, and ${files.length - MAX_SHOWN} more` : ""}`;
}
