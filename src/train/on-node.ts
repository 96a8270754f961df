/** What a stage can reach on Node beside its engine. */

import { modelDirectory } from "../model/gguf/model-directory.ts";
import { NODE_REWARD_DEPS } from "../rewards/on-node.ts";
import type { Reach } from "./context.ts";

/** Endpoints over the network, users' rewards in worker threads, GGUF files imported into the user's cache. */
export const NODE_REACH: Reach = { ...NODE_REWARD_DEPS, modelDirectory: (path) => modelDirectory(path) };
