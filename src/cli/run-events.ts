/** What happens in a run as programs get it: one JSON value an event, shared by `aha run` of a recipe and of a pipeline. */

import type { RunEvent } from "../recipe/observer.ts";

/** The event without the answers to held-out problems, which stay in the run directory; undefined for mere progress. */
export function trainingEventLine(event: RunEvent): object | undefined {
  switch (event.type) {
    case "progress":
    case "evaluating":
      return undefined;
    case "evaluated": {
      const { completions, ...record } = event.record;
      return { type: event.type, ...record, problems: completions.length };
    }
    case "stage-started":
    case "stage-finished":
      return { ...event, stage: event.stage.name };
    case "metrics":
    case "timing":
      return { type: event.type, stage: event.stage, ...event.row };
    default:
      return event;
  }
}
