/** The runs that a dashboard shows: found again every now and then, each opened when it is first looked at. */

import { existsSync } from "node:fs";
import { type FoundRun, findRuns } from "../inspect/find-runs.ts";
import { LiveRun } from "../inspect/live-run.ts";
import { type PipelineCard, pipelineCard } from "../inspect/pipeline-answers.ts";
import { type RunCard, runCard } from "../inspect/run-answers.ts";
import { HttpError } from "./http-error.ts";

/** How long what was found counts as found. */
const LOOK_AGAIN_MS = 1000;

/** A line of the list. */
export type Card = RunCard | PipelineCard;

export class KnownRuns {
  private readonly roots: readonly string[];
  private readonly from: string;
  private readonly open = new Map<string, LiveRun>();
  private found: readonly FoundRun[] = [];
  private foundAt = Number.NEGATIVE_INFINITY;

  /** `roots`: runs, pipelines, or folders of them; ids are paths relative to `from`. */
  constructor(roots: readonly string[], from: string) {
    this.roots = roots;
    this.from = from;
  }

  list(): readonly FoundRun[] {
    if (performance.now() - this.foundAt > LOOK_AGAIN_MS) {
      this.found = findRuns(this.roots, this.from);
      this.foundAt = performance.now();
    }
    return this.found;
  }

  /** The run or pipeline of that id; one that was shown and is gone is told so. Throws HttpError 404, 410. */
  named(id: string): FoundRun {
    const find = () => this.list().find((one) => one.id === id && existsSync(one.directory));
    let found = find();
    if (found === undefined) {
      // It may have come just now.
      this.foundAt = Number.NEGATIVE_INFINITY;
      found = find();
    }
    if (found !== undefined) return found;
    if (this.open.has(id)) throw new HttpError(410, `${id} is gone: its directory was moved or deleted.`);
    throw new HttpError(404, `There is no run ${JSON.stringify(id)} here.`);
  }

  /** Throws HttpError 404 or 410. */
  run(id: string): { readonly found: FoundRun; readonly live: LiveRun } {
    const found = this.named(id);
    if (found.kind !== "run") throw new HttpError(404, `${id} is a pipeline; its stages are runs.`);
    return { found, live: this.liveOf(found) };
  }

  private liveOf({ id, directory }: FoundRun): LiveRun {
    let live = this.open.get(id);
    if (live === undefined) {
      live = new LiveRun(directory);
      this.open.set(id, live);
    }
    return live;
  }

  /** A card for each, read anew. */
  async cards(): Promise<Card[]> {
    const cards: Card[] = [];
    for (const found of this.list()) {
      if (found.kind === "pipeline") {
        cards.push(pipelineCard(found.id, found.directory));
        continue;
      }
      const live = this.liveOf(found);
      await live.refresh();
      cards.push(runCard(found.id, found.pipeline, live));
    }
    return cards;
  }
}
