/**
 * The entries of registries that are made of Node, put into them: an engine that keeps files, a tracker that writes them, a
 * device with a native library. Who reads recipes on Node imports this file for what it does. An entry that runs anywhere is
 * listed in its registry, which the core imports.
 */

// The devices have a list of their own, since `Compute` needs them without everything else.
import "./compute/node-devices.ts";
import { mlflow } from "./tracking/mlflow/mlflow.ts";
import { swanlab } from "./tracking/swanlab/swanlab.ts";
import { tensorboard } from "./tracking/tensorboard/tensorboard.ts";
import { trackers } from "./tracking/trackers.ts";
import { trackio } from "./tracking/trackio.ts";

for (const tracker of [tensorboard, trackio, swanlab, mlflow]) trackers.add(tracker);
