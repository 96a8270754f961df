/** The keys of accelerate's file, which people also put into the training file, and those below its deepspeed_config. */

import { becomes, type KeyEntry, type KeyRule } from "../rule.ts";
import { LAUNCHER_KEYS_WITHOUT_MEANING, ZERO_KEYS } from "./without-meaning.ts";

/** What the launcher's file may hold (`--accelerate`). */
export const LAUNCHER_ENTRIES: readonly KeyEntry[] = [
  ...becomes("whole", "num_processes"),
  ...becomes("mapping", "deepspeed_config"),
  ...LAUNCHER_KEYS_WITHOUT_MEANING,
];

/** What `deepspeed_config` may hold. */
export const DEEPSPEED_KEYS: ReadonlyMap<string, KeyRule> = new Map([
  ...becomes("text", "gradient_accumulation_steps", "gradient_clipping"),
  ...ZERO_KEYS,
]);
