/** What the commands that write a model share: where they may write, and the options of how. */

import { readdir } from "node:fs/promises";
import { ConfigError, nearestName, RunDirError } from "../errors.ts";
import { systemReason } from "../files.ts";
import type { SaveOptions } from "../model/checkpoint.ts";
import { SAVE_DTYPES, type SaveDtype } from "../model/hf-config.ts";
import { parseSize } from "../number-text.ts";

/** Options of every command that writes weights; `saveOptions` reads them. */
export const SAVE_OPTIONS = {
  dtype: { type: "string", completes: () => SAVE_DTYPES },
  "max-shard-size": { type: "string" },
} as const;

const DTYPE_ALIASES: Readonly<Record<string, SaveDtype>> = {
  f32: "float32",
  fp32: "float32",
  bf16: "bfloat16",
  f16: "float16",
  fp16: "float16",
};

/** `--dtype` and `--max-shard-size` as the options of `saveModel`, which has its own defaults. Throws ConfigError. */
export function saveOptions(values: {
  dtype?: string | undefined;
  "max-shard-size"?: string | undefined;
}): SaveOptions {
  const { dtype, "max-shard-size": size } = values;
  return {
    ...(dtype !== undefined && { dtype: saveDtype(dtype) }),
    ...(size !== undefined && { maxShardBytes: byteSize("max-shard-size", size) }),
  };
}

function saveDtype(name: string): SaveDtype {
  const found = SAVE_DTYPES.find((dtype) => dtype === name) ?? DTYPE_ALIASES[name];
  if (found !== undefined) return found;
  const near = nearestName(name, SAVE_DTYPES);
  const hint = near === undefined ? "" : ` Did you mean ${near}?`;
  throw new ConfigError(
    `--dtype must be ${SAVE_DTYPES.slice(0, -1).join(", ")} or ${SAVE_DTYPES.at(-1)}, not ${JSON.stringify(name)}.${hint}`,
  );
}

/** A number of bytes as transformers writes them: 5GB, 300MB, 2GiB, or a plain number. */
function byteSize(option: string, text: string): number {
  const bytes = parseSize(text) ?? 0;
  if (bytes >= 1) return bytes;
  throw new ConfigError(`--${option} must be a size like 5GB, 300MB or 2GiB, not ${JSON.stringify(text)}.`);
}

/** Refuses a directory that has something in it. Throws RunDirError. */
export async function requireFreshDirectory(path: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new RunDirError(`Cannot write ${path}: ${reason}. Choose another --out.`);
  }
  if (names.length > 0) {
    throw new RunDirError(
      `${path} is not empty (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}). Choose another --out.`,
    );
  }
}
