/** A report: charts that can be used take the place of drawn ones, and the picture of where the time went is added. */

import { render } from "preact";
import { useState } from "preact/hooks";
import type { FrozenRun } from "../inspect/frozen-run.ts";
import { Curves } from "./curves.tsx";
import { useRuns } from "./shown-run.ts";
import { freeze } from "./source.ts";
import { TimeTab } from "./time.tsx";

/** Puts the parts into the report that this script is in. */
export function showFrozen(frozen: FrozenRun): void {
  freeze(frozen);
  const id = frozen.run.card.id;
  for (const place of document.querySelectorAll<HTMLElement>("[data-stage]")) {
    const stage = place.dataset.stage!;
    if (!(stage in frozen.columns)) continue;
    place.textContent = "";
    place.className = "";
    render(<FrozenCurves id={id} stage={stage} />, place);
  }
  const time = document.querySelector("[data-part=time]");
  if (time) render(<FrozenTime id={id} />, time);
}

function FrozenCurves({ id, stage }: { readonly id: string; readonly stage: string }) {
  const [store] = useRuns([id]);
  const [query, setQuery] = useState<Readonly<Record<string, string>>>({ stage });
  const view = store?.view;
  if (store === undefined || view === undefined) return null;
  const only = { ...view, stages: view.stages.filter(({ name }) => name === stage), alarms: view.alarms };
  return <Curves store={store} view={only} query={query} onChange={(change) => setQuery({ ...query, ...change })} />;
}

function FrozenTime({ id }: { readonly id: string }) {
  const [store] = useRuns([id]);
  if (store?.view === undefined) return null;
  return (
    <>
      <h2>Where the time went</h2>
      <TimeTab store={store} view={store.view} />
    </>
  );
}
