/** Pages of a filtered list of rollouts, asked for as they are scrolled to, and again when the run has written more. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RolloutItem, RolloutPage } from "../inspect/rollout-answers.ts";
import { Paced } from "./paced.ts";
import type { ShownRun } from "./shown-run.ts";
import { addressWith, ask } from "./source.ts";

/** Rows of a page. */
const PAGE_ROWS = 100;
/** While somebody types. */
const TYPING_MS = 120;
/** Between two readings while a run writes. */
const WRITING_MS = 600;

/** A list of which some pages are known. */
export interface RolloutList {
  /** What the filter comes to; undefined until the first answer. */
  readonly head: RolloutPage | undefined;
  readonly error: string;
  /** Changes with the filter and the order. */
  readonly key: string;
  /** That of the list which `head` is about. */
  readonly shownKey: string;
  /** Changes with every answer. */
  readonly version: number;
  item(index: number): RolloutItem | undefined;
  /** Asks for the pages that these rows are on. */
  need(indices: readonly number[]): void;
}

interface Pages {
  readonly key: string;
  readonly items: Map<number, RolloutItem>;
  readonly asked: Set<number>;
}

/** The list for a query as the address has it. */
export function useRolloutList(store: ShownRun, query: Readonly<Record<string, string>>): RolloutList {
  const { by = "row", down = "1", ...filter } = query;
  const key = JSON.stringify([by, down, Object.entries(filter).sort()]);
  const [head, setHead] = useState<RolloutPage>();
  const [error, setError] = useState("");
  const [version, setVersion] = useState(0);
  const pages = useRef<Pages>({ key: "", items: new Map(), asked: new Set() });
  const load = async (of: Pages, page: number, signal?: AbortSignal) => {
    of.asked.add(page);
    const offset = page * PAGE_ROWS;
    const parameters = { id: store.id, ...filter, by, descending: down === "1", offset, limit: PAGE_ROWS };
    try {
      const answer = await ask<RolloutPage>(addressWith("/api/rollouts", parameters), signal);
      if (signal?.aborted) return;
      for (const [i, item] of answer.items.entries()) of.items.set(offset + i, item);
      pages.current = of;
      setHead(answer);
      setError("");
      setVersion((n) => n + 1);
    } catch (reason) {
      if (signal?.aborted) return;
      of.asked.delete(page);
      setError(reason instanceof Error ? reason.message : String(reason));
    }
  };
  const reading = useRef<Paced | undefined>(undefined);
  useEffect(() => {
    const controller = new AbortController();
    const paced = new Paced(WRITING_MS, () => load(again(pages.current, key), 0, controller.signal));
    // At once when the tab is opened; a little later while a filter is typed.
    const timer = setTimeout(() => paced.ask(), reading.current === undefined ? 0 : TYPING_MS);
    reading.current = paced;
    return () => {
      clearTimeout(timer);
      paced.end();
      controller.abort();
    };
  }, [store, key]);
  const stamp = useRef(store.rolloutStamp);
  useEffect(() => {
    if (stamp.current !== store.rolloutStamp) reading.current?.ask();
    stamp.current = store.rolloutStamp;
  }, [store.rolloutStamp]);
  return {
    ...{ head, error, key, version, shownKey: pages.current.key },
    item: (index) => pages.current.items.get(index),
    need: (indices) => {
      if (head === undefined) return;
      for (const page of new Set(indices.map((index) => Math.floor(index / PAGE_ROWS)))) {
        if (!pages.current.asked.has(page)) void load(pages.current, page);
      }
    },
  };
}

/** Pages that are to be read anew. Of the same list what is known stays in sight until the new is there. */
function again(known: Pages, key: string): Pages {
  return { key, items: new Map(known.key === key ? known.items : []), asked: new Set() };
}
