/** draft */
export { computingOn } from "./compute/computing.ts";
export { devices } from "./compute/devices.ts";
export { LocalPolicy } from "./engine/local/local-policy.ts";
export { openEngine } from "./engine/open.ts";
export { evaluate } from "./eval/evaluate.ts";
export { MemoryFolder } from "./folder.ts";
export { readModel } from "./model/checkpoint.ts";
export { initializeParameters } from "./model/initialize.ts";
export { presetConfig } from "./model/presets.ts";
export { recipeSchema } from "./recipe/schema.ts";
export { createReward } from "./rewards/registry.ts";
export { createRewards } from "./rewards/spec.ts";
export { createTask } from "./tasks/registry.ts";
export { buildTokenizer } from "./tokenizer/build.ts";
export { trainGrpo } from "./train/grpo/grpo.ts";
export { trainers } from "./train/trainers.ts";
