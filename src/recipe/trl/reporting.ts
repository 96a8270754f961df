/**
 * Where a TRL recipe reports to: `report_to` of transformers' TrainingArguments, the arguments for SwanLab of the seeds'
 * scripts, and what goes with either becomes `track`. A recipe that names none gets none, as transformers has it since 5.0.
 *
 * What Aha does not report to is said and left out: where a run is shown changes nothing that it learns.
 */

import type { TrackerSpec } from "../../tracking/trackers.ts";
import type { TrlDraft } from "./conversion.ts";

/** What is said of W&B, which is named more often than all others. */
const WANDB_NOTE = "wandb as event files, which wandb sync takes";

/** Sets `track`. `canWrite`: whether a folder can be made on this machine. */
export function setReporting(draft: TrlDraft, canWrite: (directory: string) => boolean): void {
  const { settings } = draft;
  const wanted = (settings.texts("report_to") ?? []).map((name) => name.toLowerCase());
  const names = new Set<string>();
  const notes: string[] = [];
  for (const name of wanted) {
    if (name === "none") continue;
    if (name === "tensorboard" || name === "trackio" || name === "swanlab") names.add(name);
    else if (name === "mlflow") addMlflow(names, notes);
    else if (name === "wandb" || name === "all") {
      names.add("tensorboard");
      notes.push(
        name === "wandb" ? WANDB_NOTE : "all means what is installed in Python; event files are for all of it",
      );
    } else notes.push(`Aha does not report to ${name}`);
  }
  if (settings.boolean("swanlab") === true) names.add("swanlab");
  const specs = [...names].map((name) => specOf(name, draft, canWrite));
  if (specs.length > 0) draft.put("track", specs);
  say(draft, names, notes);
}

/** Its server is named by an environment variable; without one Python's MLflow writes into a folder. */
function addMlflow(names: Set<string>, notes: string[]): void {
  if (/^https?:\/\//.test(process.env.MLFLOW_TRACKING_URI?.trim() ?? "")) names.add("mlflow");
  else notes.push("mlflow needs a server: MLFLOW_TRACKING_URI names none");
}

function specOf(name: string, draft: TrlDraft, canWrite: (directory: string) => boolean): TrackerSpec {
  const { settings } = draft;
  const project = settings.text("project");
  switch (name) {
    case "tensorboard": {
      const logdir = settings.text("logging_dir");
      return { name, ...(logdir !== undefined && canWrite(logdir) && { logdir }) };
    }
    case "trackio":
      return { name, ...(project !== undefined && { project }) };
    case "swanlab": {
      const experimentName = settings.text("experiment_name");
      const workspace = workspaceOf(draft);
      return {
        name,
        ...(project !== undefined && { project }),
        ...(workspace !== undefined && { workspace }),
        ...(experimentName !== undefined && { experimentName }),
      };
    }
    default:
      return { name };
  }
}

/** `none` is YAML's text, and meant as Python's None. */
function workspaceOf({ settings }: TrlDraft): string | undefined {
  const workspace = settings.text("workspace");
  return workspace?.toLowerCase() === "none" ? undefined : workspace;
}

/** A line for each of the keys. */
function say(draft: TrlDraft, names: ReadonlySet<string>, notes: readonly string[]): void {
  const { settings } = draft;
  const note = notes.join("; ");
  const fromReportTo = [...names].filter((name) => name !== "swanlab" || !settings.boolean("swanlab"));
  if (settings.has("report_to")) {
    if (fromReportTo.length > 0) draft.goesTo("report_to", "track", fromReportTo, { note });
    else
      draft.hasNoEffect("report_to", note === "" ? "to nobody; every run leaves metrics.jsonl and report.html" : note);
  }
  if (settings.boolean("swanlab") === true) draft.goesTo("swanlab", "track", ["swanlab"]);
  else draft.hasNoEffect("swanlab", "off; every run leaves metrics.jsonl and report.html");
  const owners: Readonly<Record<string, readonly string[]>> = {
    logging_dir: ["tensorboard"],
    project: ["trackio", "swanlab"],
    workspace: ["swanlab"],
    experiment_name: ["swanlab"],
  };
  for (const [key, trackers] of Object.entries(owners)) {
    const [owner] = trackers.filter((name) => names.has(name));
    if (!settings.has(key)) continue;
    if (owner === undefined)
      draft.hasNoEffect(key, `of ${trackers.join(" and ")}, which the recipe does not report to`);
    else if (key === "workspace" && workspaceOf(draft) === undefined) draft.hasNoEffect(key, "none: the user's own");
    else sayOwned(draft, key, owner);
  }
}

const RECIPE_KEYS: Readonly<Record<string, string>> = { logging_dir: "logdir", experiment_name: "experimentName" };

function sayOwned(draft: TrlDraft, key: string, owner: string): void {
  const path = `track.${owner}.${RECIPE_KEYS[key] ?? key}`;
  const specs = (draft.recipe().track ?? []) as readonly TrackerSpec[];
  const value = specs.find(({ name }) => name === owner)?.[RECIPE_KEYS[key] ?? key];
  if (value === undefined) {
    draft.hasNoEffect(key, "the folder that it is in is not on this machine; event files go into the run directory");
  } else draft.goesTo(key, path, value);
}
