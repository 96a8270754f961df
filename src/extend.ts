/**
 * How a program adds to Aha from outside: what it registers here is found by name in every recipe and pipeline that the
 * program then reads, like what Aha brings itself.
 *
 *     extend({ trainers: [myTrainer], rewards: [myReward] });
 *
 * A name stands for one thing for as long as the process runs: a name that is taken is refused.
 */

import type { DeviceKind } from "./compute/device.ts";
import { devices } from "./compute/devices.ts";
import type { DataStep } from "./data-steps/step.ts";
import { dataSteps } from "./data-steps/steps.ts";
import type { EngineKind } from "./engine/engine-kind.ts";
import { engines } from "./engine/open.ts";
import type { PolicyLoss } from "./losses/policy-loss.ts";
import { losses } from "./losses/registry.ts";
import type { ModelFamily } from "./model/families/family.ts";
import { families } from "./model/families/registry.ts";
import type { RewardEntry } from "./rewards/entry.ts";
import { rewards } from "./rewards/registry.ts";
import type { TaskEntry } from "./tasks/entry.ts";
import { tasks } from "./tasks/registry.ts";
import type { TrackerKind } from "./tracking/tracker.ts";
import { trackers } from "./tracking/trackers.ts";
import type { Trainer } from "./train/trainer.ts";
import { trainers } from "./train/trainers.ts";

/** What a program may add. */
export interface Extension {
  readonly trainers?: readonly Trainer[];
  readonly dataSteps?: readonly DataStep[];
  readonly losses?: readonly PolicyLoss[];
  readonly rewards?: readonly RewardEntry[];
  readonly tasks?: readonly TaskEntry[];
  readonly families?: readonly ModelFamily[];
  readonly trackers?: readonly TrackerKind[];
  readonly engines?: readonly EngineKind[];
  readonly devices?: readonly DeviceKind[];
}

/** Registers everything in `extension`. Throws ConfigError for a name that is taken, or that no recipe could write. */
export function extend(extension: Extension): void {
  for (const trainer of extension.trainers ?? []) trainers.add(trainer);
  for (const step of extension.dataSteps ?? []) dataSteps.add(step);
  for (const loss of extension.losses ?? []) losses.add(loss);
  for (const reward of extension.rewards ?? []) rewards.add(reward);
  for (const task of extension.tasks ?? []) tasks.add(task);
  for (const family of extension.families ?? []) families.add(family);
  for (const tracker of extension.trackers ?? []) trackers.add(tracker);
  for (const engine of extension.engines ?? []) engines.add(engine);
  for (const device of extension.devices ?? []) devices.add(device);
}
