/** Small models with random weights, as directories, and a command's surroundings that keep what is written. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandContext } from "../../src/cli/command.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { type BuiltTokenizer, buildTokenizer } from "../../src/tokenizer/build.ts";

/** A new directory with a one-layer model of random weights and its tokenizer. */
export async function randomModel(tokenizerName: BuiltTokenizer, maxContextTokens = 128): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "aha-model-"));
  const tokenizer = buildTokenizer(tokenizerName);
  const config = { ...presetConfig("tiny", tokenizer), numLayers: 1, hiddenSize: 32, headDim: 8, maxContextTokens };
  await saveModel(directory, config, initializeParameters(config, { seed: 1 }));
  await tokenizer.save(diskFolder(directory));
  return directory;
}

/** A command's context that collects standard output and notes. */
export function recordingContext(signal = new AbortController().signal) {
  const written = { out: "", notes: "" };
  const context: CommandContext = {
    out: (text) => {
      written.out += text;
    },
    note: (text) => {
      written.notes += text;
    },
    signal,
    interactive: false,
  };
  return { context, written };
}
