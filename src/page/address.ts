/**
 * Where one is on the page, as the part of the address behind `#`: everything that is shown can be linked to, and the same
 * works in a file that was opened from disk.
 *
 *     #/                               the list of runs
 *     #/run/ID/TAB?key=value           a tab of a run
 *     #/pipeline/ID                    a pipeline
 *     #/compare?ids=A,B                runs side by side
 */

import { useEffect, useState } from "preact/hooks";
import { MAX_COMPARED } from "../inspect/limits.ts";

/** A place. */
export interface PagePlace {
  readonly page: "runs" | "run" | "pipeline" | "compare";
  readonly id: string;
  readonly tab: string;
  readonly query: Readonly<Record<string, string>>;
}

/** Reads `#…`; what it does not know is the list of runs. */
function placeIn(hash: string): PagePlace {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", id = "", tab = ""] = path.split("/").map(decoded);
  const query = Object.fromEntries(new URLSearchParams(search));
  const known = page === "run" || page === "pipeline" || page === "compare" ? page : "runs";
  return { page: known, id, tab, query };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `#…` for a place; keys without a value are left out. */
export function hashOf(place: Partial<PagePlace>): string {
  const { page = "runs", id = "", tab = "", query = {} } = place;
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const search = new URLSearchParams(given).toString();
  const parts = page === "runs" ? [] : [page, ...[id, tab].filter((part) => part !== "").map(encodeURIComponent)];
  return `#/${parts.join("/")}${search === "" ? "" : `?${search}`}`;
}

/** The place now; the component is drawn again when it changes. */
export function usePlace(): PagePlace {
  const [place, setPlace] = useState(() => placeIn(location.hash));
  useEffect(() => {
    const onChange = () => setPlace(placeIn(location.hash));
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return place;
}

/** Goes there. `replace`: without a step back in the browser's history, for filters that are typed. */
export function goTo(place: Partial<PagePlace>, replace = false): void {
  const hash = hashOf(place);
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}

/** The runs in an address, and back; a name may have a comma in it. */
export function idsIn(text: string): string[] {
  return text.split(",").filter(Boolean).slice(0, MAX_COMPARED).map(decodeURIComponent);
}

/** See `idsIn`. */
export function idsText(ids: readonly string[]): string {
  return ids.map(encodeURIComponent).join(",");
}
