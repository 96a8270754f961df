/** `aha track`: sends a run to trackers. */

import { z } from "zod";
import "../node-entries.ts";
import { ConfigError } from "../errors.ts";
import { applyOverrides } from "../recipe/overrides.ts";
import { readRun } from "../run/run-reader.ts";
import { sendRun } from "../tracking/send-run.ts";
import { checkedTracker, type TrackerSpec, trackers } from "../tracking/trackers.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./parse-options.ts";
import { keyText, schemaKeys } from "./schema-keys.ts";

const HELP = `Usage: aha track RUN --to NAME [--to NAME]… [--set key=value]… [--json]
       aha track --list [--json]

Sends a run that is over, or was interrupted, to trackers: metrics, timings, held-out evaluations, alarms and some of the
completions. What a tracker has got already is not sent again. A recipe that names trackers (track: [${trackers.names.join(", ")}])
sends to them while it runs.

Trackers
${trackers.all.map(({ name, summary = "" }) => `  ${name.padEnd(14)}${summary}`).join("\n")}

Options
  --to NAME         the tracker; may be repeated
  --set key=value   a key of the tracker, e.g. --set logdir=tb; may be repeated, with a single --to; keys that the run's
                    recipe gives its tracker of that name count where they are not set
  --list            every tracker with its keys
  --json            one JSON line for each tracker that has got the run

Keys and tokens come from the environment (MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN, TRACKIO_DIR, …): docs/trackers.md.

Examples
  aha track runs/countdown-tiny-1 --to tensorboard
  aha track runs/countdown-tiny-1 --to mlflow --set uri=http://127.0.0.1:5000 --set experiment=countdown
`;

const OPTIONS = {
  to: { type: "string", multiple: true, completes: () => trackers.names },
  set: { type: "string", multiple: true },
  list: { type: "boolean" },
  json: { type: "boolean" },
} as const;

export const trackCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["directory"] },
  run: async (args, { out }) => {
    const { values, positionals } = parseOptions("track", args, OPTIONS, args.includes("--list") ? [] : ["RUN"]);
    if (values.list) {
      out(values.json ? `${JSON.stringify(listed(), undefined, 2)}\n` : listText());
      return 0;
    }
    const names = values.to ?? [];
    if (names.length === 0) {
      throw new ConfigError(`aha track: --to NAME is required; there are ${trackers.names.join(", ")}.`);
    }
    if (names.length > 1 && values.set !== undefined) {
      throw new ConfigError("aha track: --set is for one tracker; send to one --to at a time.");
    }
    const [directory] = positionals as [string];
    const inRecipe = trackersOf(readRun(directory).recipe);
    // All are checked before anything is sent.
    const specs = names.map((name): TrackerSpec => {
      const noted = inRecipe.find((spec) => spec.name === name) ?? { name };
      return checkedTracker({ ...(applyOverrides(noted, values.set ?? []) as TrackerSpec), name });
    });
    for (const spec of specs) {
      const { tracker, state } = await sendRun(directory, spec);
      out(
        values.json
          ? `${JSON.stringify({ run: directory, tracker, state })}\n`
          : `${tracker} has the run (${state}).\n`,
      );
    }
    return 0;
  },
};

function trackersOf(recipe: Readonly<Record<string, unknown>>): readonly TrackerSpec[] {
  return Array.isArray(recipe.track) ? (recipe.track as readonly TrackerSpec[]) : [];
}

function listed(): object[] {
  return trackers.all.map(({ name, summary = "", shape }) => ({
    name,
    summary,
    keys: schemaKeys(z.strictObject(shape())),
  }));
}

function listText(): string {
  const one = ({ name, summary = "", shape }: (typeof trackers.all)[number]) =>
    `${name}  ${summary}\n${schemaKeys(z.strictObject(shape()))
      .map((key) => `  ${keyText(key)}\n`)
      .join("")}`;
  return trackers.all.map(one).join("\n");
}
