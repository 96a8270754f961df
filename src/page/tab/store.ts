/** The state of the page, and who is told when a part of it changes. */

import { useEffect, useState } from "preact/hooks";
import { BLANK, type News, stateAfter, type TabState } from "./state.ts";

/** Holds the one state. */
class Store {
  state: TabState = BLANK;
  private readonly listeners = new Set<() => void>();

  /** News has come. */
  readonly tell = (news: News): void => {
    this.state = stateAfter(this.state, news);
    for (const listener of this.listeners) listener();
  };

  /** Returns how to stop listening. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** The page's. */
export const store = new Store();

/** A part of the state; what uses it is drawn again when that part is another object. */
export function useTab<T>(select: (state: TabState) => T): T {
  const [, setCount] = useState(0);
  const part = select(store.state);
  useEffect(() => {
    let shown = part;
    const look = () => {
      const now = select(store.state);
      if (now === shown) return;
      shown = now;
      setCount((count) => count + 1);
    };
    // Something may have changed between drawing and listening.
    look();
    return store.listen(look);
  }, []);
  return part;
}
