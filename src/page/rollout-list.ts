/** Pages of a filtered list of rollouts, asked for as they are scrolled to, and again when the run has written more. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RolloutItem, RolloutPage } from "../inspect/rollout-answers.ts";
import type { ShownRun } from "./shown-run.ts";
import { addressWith, ask } from "./source.ts";

/** Rows of a page. */
const PAGE_ROWS = 100;
/** While somebody types, and while a run writes. */
const TYPING_MS = 120;
const WRITING_MS = 900;

/** A list of which some pages are known. */
export interface RolloutList {
  /** What the filter comes to; undefined until the first answer. */
  readonly head: RolloutPage | undefined;
  readonly error: string;
  /** Changes with the filter and the order. */
  readonly key: string;
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
  const last = useRef("");
  useEffect(() => {
    const controller = new AbortController();
    // At once when the tab is opened; a little later while a filter is typed; seldom while the run writes.
    const delay = last.current === "" ? 0 : last.current === key ? WRITING_MS : TYPING_MS;
    const timer = setTimeout(() => {
      last.current = key;
      void load({ key, items: new Map(), asked: new Set() }, 0, controller.signal);
    }, delay);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [store, key, store.rolloutStamp]);
  return {
    ...{ head, error, key, version },
    item: (index) => pages.current.items.get(index),
    need: (indices) => {
      if (head === undefined) return;
      for (const page of new Set(indices.map((index) => Math.floor(index / PAGE_ROWS)))) {
        if (!pages.current.asked.has(page)) void load(pages.current, page);
      }
    },
  };
}
