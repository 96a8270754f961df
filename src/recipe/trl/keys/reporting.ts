/** Keys about where a run is shown: what `../reporting.ts` reads, and what goes with a service of somebody else. */

import { becomes, type KeyEntry, nothing } from "../rule.ts";

/** Keys of every trainer. */
export const REPORTING_KEYS: readonly KeyEntry[] = [
  ...becomes("texts", "report_to"),
  ...becomes("text", "logging_dir", "project", "workspace", "experiment_name"),
  ...becomes("boolean", "swanlab"),
  ...nothing(
    "of Weights & Biases, which takes a run's event files: wandb sync RUN/tensorboard (docs/trackers.md)",
    "wandb_entity",
    "wandb_project",
    "wandb_run_group",
    "wandb_run_id",
    "wandb_tags",
  ),
  ...nothing(
    "of trackio on a Space; a run reports to trackio on this machine, and trackio sync brings it to a Space",
    "trackio_bucket_id",
    "trackio_space_id",
    "trackio_static_space_id",
  ),
];
