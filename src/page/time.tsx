/** Where the time of a run goes, and its memory. */

import type { RunView, StageView } from "../inspect/run-answers.ts";
import { plain } from "../number-text.ts";
import { Notice } from "./marks.tsx";
import { Plot } from "./plot.tsx";
import type { ShownRun } from "./shown-run.ts";
import { duration } from "./words.ts";

const PARTS: Readonly<Record<string, string>> = {
  sampling_time: "sampling",
  rewards_time: "rewards",
  reference_time: "reference",
  teacher_time: "teacher",
  update_time: "training",
};

/** Seconds of a step that no part claims belong to training: only stages that sample tell their parts apart. */
function partsOf({ time }: StageView): { readonly name: string; readonly label: string; readonly seconds: number }[] {
  const parts = Object.entries(time).filter(([name]) => name !== "step_time");
  if (parts.length === 0) return [{ name: "step_time", label: "training", seconds: time.step_time ?? 0 }];
  const order = Object.keys(PARTS);
  return parts
    .map(([name, seconds]) => ({
      name,
      seconds,
      label: PARTS[name] ?? name.replace(/_time$/, "").replaceAll("_", " "),
    }))
    .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

/** Wall-clock seconds of the stage's sessions that lie between its steps: evaluations, checkpoints. */
function betweenSteps(view: RunView, stage: StageView): number | undefined {
  const begun = view.events.findIndex((event) => event.event === "stage-started" && event.stage === stage.name);
  const own = begun < 0 ? [] : view.events.slice(begun);
  const next = own.findIndex((event, i) => i > 0 && event.event === "stage-started" && event.stage !== stage.name);
  const lines = next < 0 ? own : own.slice(0, next + 1);
  // A stage that was interrupted has pauses in which nothing ran: they are nobody's time.
  if (lines.length < 2 || lines.some(({ event }) => event === "resumed")) return undefined;
  const seconds = (Date.parse(lines.at(-1)!.at) - Date.parse(lines[0]!.at)) / 1000;
  return Math.max(0, seconds - (stage.time.step_time ?? 0));
}

/** The tab. */
export function TimeTab({ store, view }: { readonly store: ShownRun; readonly view: RunView }) {
  if (view.stages.length === 0) return <Notice>Nothing is trained yet.</Notice>;
  return (
    <>
      {view.stages.map((stage) => (
        <StageTime key={stage.name} store={store} view={view} stage={stage} />
      ))}
    </>
  );
}

function StageTime({
  store,
  view,
  stage,
}: {
  readonly store: ShownRun;
  readonly view: RunView;
  readonly stage: StageView;
}) {
  const between = betweenSteps(view, stage);
  const parts = [
    ...partsOf(stage),
    ...(between === undefined ? [] : [{ name: "between", label: "between steps", seconds: between }]),
  ].filter(({ seconds }) => seconds > 0);
  const total = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const names = partsOf(stage).map(({ name }) => name);
  const { timings } = store.columns(stage.name, [...names, "step_time", "resident_mib"]);
  const series = partsOf(stage).map(({ name, label }, colour) => ({
    ...{ label, colour, x: timings.steps },
    y: timings.values.get(name) ?? [],
  }));
  const memory = timings.values.get("resident_mib");
  return (
    <section class="stage-time">
      <h2>{stage.name}</h2>
      {total === 0 ? (
        <p class="soft">No step has ended yet.</p>
      ) : (
        <>
          <div
            class="shares"
            role="img"
            aria-label={parts.map(({ label, seconds }) => `${label} ${duration(seconds)}`).join(", ")}
          >
            {parts.map(({ name, label, seconds }, i) => (
              <div
                key={name}
                class={`part p${i}`}
                style={{ flexGrow: String(seconds / total) }}
                title={`${label}: ${duration(seconds)}`}
              />
            ))}
          </div>
          <dl class="facts">
            {parts.map(({ name, label, seconds }, i) => (
              <div key={name}>
                <dt>
                  <span class={`swatch p${i}`} />
                  {label}
                </dt>
                <dd>
                  {Math.round((100 * seconds) / total)} % <span class="soft">{duration(seconds)}</span>
                </dd>
              </div>
            ))}
          </dl>
          <div class="charts wide">
            <figure class="chart">
              <figcaption>
                <h3>Seconds a step</h3>
                <p>What each step's time went into. “Between steps” are evaluations, checkpoints, and waiting.</p>
              </figcaption>
              <Plot
                title="Seconds a step"
                xLabel="optimizer step"
                series={series}
                yMin={0}
                smoothing={0.6}
                syncKey="time"
              />
            </figure>
            {memory && (
              <figure class="chart">
                <figcaption>
                  <h3>Memory</h3>
                  <p>Of the process that trains, in MiB. It should level off.</p>
                </figcaption>
                <Plot
                  title="Memory"
                  xLabel="optimizer step"
                  series={[{ label: "resident, MiB", colour: 0, x: timings.steps, y: memory }]}
                  yMin={0}
                  smoothing={0}
                  format={plain}
                  syncKey="time"
                />
              </figure>
            )}
          </div>
        </>
      )}
    </section>
  );
}
