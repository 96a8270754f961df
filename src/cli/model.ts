/** `aha model`: make a model with random weights, look at one, score token sequences with one, write, merge or export one. */

import { ConfigError, nearestName } from "../errors.ts";
import type { Command, CommandSyntax } from "./command.ts";
import { MODEL_HUB_HELP, MODEL_HUB_USAGE, PULL_OPTIONS, PUSH_OPTIONS, runModelPull, runModelPush } from "./hub.ts";
import { CONVERT_HELP, CONVERT_OPTIONS, runModelConvert } from "./model-convert.ts";
import { EXPORT_HELP, EXPORT_OPTIONS, runModelExport } from "./model-export.ts";
import { INFO_HELP, INFO_OPTIONS, runModelInfo } from "./model-info.ts";
import { INIT_HELP, INIT_OPTIONS, runModelInit } from "./model-init.ts";
import { MERGE_HELP, MERGE_OPTIONS, runModelMerge } from "./model-merge.ts";
import { runModelScore, SCORE_OPTIONS } from "./model-score.ts";

const HELP = `Usage:
  aha model init (--preset NAME | --config FILE) [--tokenizer NAME|DIR] --out DIR [--seed N] [--dtype NAME] …
  aha model info DIR [--adapter DIR] [--json]
  aha model score DIR --tokens FILE [--adapter DIR] [--temperature T] [--engine SPEC] [--device NAME] [--dtype NAME] [--threads N] [--json]
  aha model convert DIR|FILE.gguf --out DIR [--dtype NAME] [--max-shard-size N]
  aha model merge BASE ADAPTER --out DIR [--dtype NAME] [--max-shard-size N] [--json]
  aha model export DIR --gguf [--out FILE] [--dtype NAME] [--tokenizer NAME] [--json]
  ${MODEL_HUB_USAGE}

DIR is a model directory in the Hugging Face layout, or the directory of a run; info, score, convert, merge and export also
take a model of the Hugging Face Hub, ORG/NAME[@REVISION]. info and score also take a LoRA adapter; convert and export
take whole models only: merge first.

${INIT_HELP}
${INFO_HELP}
score  log-probabilities of token sequences, to compare a model with other programs.
  --tokens FILE      a JSON array of arrays of at least two token ids
  --adapter DIR      apply this LoRA adapter (PEFT's format); DIR may be an adapter itself, which names its base
  --temperature T    divides the logits (1)
  --device NAME      what it is computed on: cpu, webgpu, cuda; or auto, a GPU where there is one (cpu)
  --dtype NAME       what the layers compute in: float32, bfloat16 or float16 (float32)
  --threads N        threads to compute with (one per processor, at most 8)
  --json             an array of arrays: for n tokens the n - 1 log-probabilities of the second to the last, each
                     given all tokens before it; in nats

${CONVERT_HELP}
${MERGE_HELP}
${EXPORT_HELP}
${MODEL_HUB_HELP}

Example:
  aha model init --preset tiny --tokenizer countdown-compact --out my-model --seed 1
  aha model info my-model
  aha model export my-model --gguf --out my-model.gguf
`;

const SUBCOMMANDS: Readonly<Record<string, CommandSyntax & { readonly run: Command["run"] }>> = {
  init: { run: runModelInit, options: INIT_OPTIONS, arguments: [] },
  info: { run: runModelInfo, options: INFO_OPTIONS, arguments: ["model"] },
  score: { run: runModelScore, options: SCORE_OPTIONS, arguments: ["model"] },
  convert: { run: runModelConvert, options: CONVERT_OPTIONS, arguments: ["model"] },
  merge: { run: runModelMerge, options: MERGE_OPTIONS, arguments: ["model", "directory"] },
  export: { run: runModelExport, options: EXPORT_OPTIONS, arguments: ["model"] },
  pull: { run: runModelPull, options: PULL_OPTIONS, arguments: [() => []] },
  push: { run: runModelPush, options: PUSH_OPTIONS, arguments: ["model", () => []] },
};

export const modelCommand: Command = {
  help: HELP,
  syntax: { subcommands: SUBCOMMANDS },
  run: async ([subcommand, ...args], context) => {
    const names = Object.keys(SUBCOMMANDS);
    if (subcommand !== undefined && Object.hasOwn(SUBCOMMANDS, subcommand))
      return SUBCOMMANDS[subcommand]!.run(args, context);
    const near = subcommand === undefined ? undefined : nearestName(subcommand, names);
    const given = subcommand === undefined ? "none was given" : `there is no ${JSON.stringify(subcommand)}`;
    const hint = near === undefined ? "" : ` Did you mean ${near}?`;
    throw new ConfigError(
      `aha model takes a subcommand (${names.join(", ")}); ${given}.${hint} See \`aha model --help\`.`,
    );
  },
};
