/** The curves of a stage, its alarms on them, and every metric with what it means. */

import { useEffect, useState } from "preact/hooks";
import { type AlarmSpan, alarmMetrics, alarmSpans } from "../inspect/alarm-metrics.ts";
import type { StageChart } from "../inspect/chart-catalogue.ts";
import { csvText } from "../inspect/csv-text.ts";
import type { RunView, StageMetric, StageView } from "../inspect/run-answers.ts";
import { percent, plain } from "../number-text.ts";
import { goTo, type PagePlace } from "./address.ts";
import { type AxisKind, axisNames, axisOf } from "./axis.ts";
import { saveFile, svgOf } from "./chart-export.ts";
import { Notice } from "./marks.tsx";
import { Plot, type PlotProps } from "./plot.tsx";
import type { Columns, ShownRun } from "./shown-run.ts";
import { addressWith, isFrozen } from "./source.ts";
import { valueText } from "./words.ts";

const AXES: Readonly<Record<AxisKind, string>> = { step: "optimizer step", tokens: "tokens", time: "time in steps, s" };

/** The tab: what was chosen is in the address. */
export function CurvesTab({
  store,
  view,
  place,
}: {
  readonly store: ShownRun;
  readonly view: RunView;
  readonly place: PagePlace;
}) {
  const { query } = place;
  const set = (change: Readonly<Record<string, string>>) =>
    goTo({ ...place, tab: "curves", query: { ...query, ...change } }, true);
  return <Curves store={store} view={view} query={query} onChange={set} />;
}

/** The curves of one of the view's stages; `query` says of which, and how they are drawn. */
export function Curves({
  store,
  view,
  query,
  onChange: set,
}: {
  readonly store: ShownRun;
  readonly view: RunView;
  readonly query: Readonly<Record<string, string>>;
  readonly onChange: (change: Readonly<Record<string, string>>) => void;
}) {
  const stage = view.stages.find(({ name }) => name === query.stage) ?? view.stages.at(-1);
  if (stage === undefined) return <Notice>Nothing is trained yet; the first row appears here by itself.</Notice>;
  const axis = (query.x ?? "step") as AxisKind;
  const smoothing = Number(query.smooth ?? 0.6);
  const pinned = (query.pin ?? "").split(",").filter(Boolean);
  const spans = alarmSpans(view.alarms, stage.name);
  const charts = [...alarmCharts(stage, spans), ...pinned.map((name) => metricChart(stage, name)), ...stage.charts];
  const settings: ChartSettings = { axis, smoothing, isLog: query.log === "1", spans };
  // One question for all charts.
  store.columns(stage.name, [...charts.flatMap(({ metrics }) => metrics.map(({ name }) => name)), ...axisNames(axis)]);
  const pin = (name: string) =>
    set({ pin: (pinned.includes(name) ? pinned.filter((one) => one !== name) : [name, ...pinned]).join(",") });
  return (
    <>
      <div class="bar" role="group" aria-label="What the curves show">
        {view.stages.length > 1 && (
          <span class="choices" role="group" aria-label="Stage">
            {view.stages.map(({ name }) => (
              <button
                type="button"
                key={name}
                aria-pressed={name === stage.name}
                onClick={() => set({ stage: name, pin: "" })}
              >
                {name}
              </button>
            ))}
          </span>
        )}
        <label>
          over{" "}
          <select value={axis} onChange={({ currentTarget }) => set({ x: currentTarget.value })}>
            {Object.entries(AXES).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label>
          smoothing{" "}
          <input
            type="range"
            min="0"
            max="1"
            step="0.02"
            value={smoothing}
            onInput={({ currentTarget }) => set({ smooth: currentTarget.value })}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={settings.isLog}
            onChange={({ currentTarget }) => set({ log: currentTarget.checked ? "1" : "" })}
          />{" "}
          log scale
        </label>
        {!isFrozen() && (
          <a class="grow end" href={addressWith("/api/metrics.csv", { id: store.id, stage: stage.name })} download>
            All metrics as CSV
          </a>
        )}
      </div>
      {!isFrozen() && <Alarms spans={spans} />}
      <h2 class="hidden">Curves of {stage.name}</h2>
      <div class="charts">
        {charts.map((chart) => (
          <Chart key={chart.id} store={store} stage={stage} chart={chart} settings={settings} />
        ))}
      </div>
      <MetricTable stage={stage} pinned={pinned} onPin={pin} />
    </>
  );
}

interface ChartSettings {
  readonly axis: AxisKind;
  readonly smoothing: number;
  readonly isLog: boolean;
  readonly spans: readonly AlarmSpan[];
}

/** A chart of one metric that no chart of the catalogue shows. */
function metricChart(stage: StageView, name: string): StageChart {
  const metric = [...stage.metrics, ...stage.timings].find((one) => one.name === name);
  return {
    id: `metric-${name}`,
    title: name,
    caption: metric ? `${metric.meaning} ${metric.watch}` : "",
    metrics: [{ name, label: name }],
    heldOut: [],
    isShare: metric?.isShare === true,
  };
}

/** Charts of metrics that an alarm is about and that would not be seen otherwise. */
function alarmCharts(stage: StageView, spans: readonly AlarmSpan[]): StageChart[] {
  const shown = new Set(stage.charts.flatMap(({ metrics }) => metrics.map(({ name }) => name)));
  const rang = spans.filter(({ raised }) => raised.state !== "note");
  const missing = rang.flatMap(({ raised }) => alarmMetrics(raised)).filter((name) => !shown.has(name));
  const has = (name: string) => stage.metrics.some((metric) => metric.name === name);
  return [...new Set(missing)].filter(has).map((name) => metricChart(stage, name));
}

function Alarms({ spans }: { readonly spans: readonly AlarmSpan[] }) {
  if (spans.length === 0) return null;
  return (
    <section aria-label="Alarms">
      <ol class="alarms">
        {spans.map(({ raised, from, to }, i) => (
          <li key={`${raised.alarm}${raised.reward}${from}`} class={to === undefined ? "rings" : ""}>
            <b>
              {i + 1} · {raised.alarm}
              {raised.reward ? ` (${raised.reward})` : ""}
            </b>{" "}
            <span class="soft">
              {raised.state === "note"
                ? `a note, step ${from}`
                : to === undefined
                  ? `since step ${from}`
                  : `steps ${from} to ${to}`}
            </span>
            <p>{raised.message}</p>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Chart({
  store,
  stage,
  chart,
  settings,
}: {
  readonly store: ShownRun;
  readonly stage: StageView;
  readonly chart: StageChart;
  readonly settings: ChartSettings;
}) {
  const names = chart.metrics.map(({ name }) => name);
  const { metrics, timings } = store.columns(stage.name, [...names, ...axisNames(settings.axis)]);
  const props = plotProps(chart, metrics, timings, settings);
  // A chart of nothing but zeros says nothing, unless it is what the run is judged by; the list of metrics has it.
  const isEmpty =
    props.series.length > 0 && props.series.every(({ y }) => y.every((value) => value === null || value === 0));
  const isAskedFor = chart.id.startsWith("metric-") || (props.bands?.length ?? 0) > 0;
  if (isEmpty && !isAskedFor && chart.heldOut.length === 0) return null;
  return (
    <figure class="chart">
      <figcaption>
        <h3>{chart.title}</h3>
        <p>{chart.caption}</p>
      </figcaption>
      <Plot {...props} />
      <p class="exports">
        <button type="button" class="quiet" onClick={() => saveFile(`${chart.id}.svg`, "image/svg+xml", svgOf(props))}>
          SVG<span class="hidden"> of {chart.title}</span>
        </button>
        <button type="button" class="quiet" onClick={() => saveFile(`${chart.id}.csv`, "text/csv", csvOf(props))}>
          CSV<span class="hidden"> of {chart.title}</span>
        </button>
      </p>
    </figure>
  );
}

function plotProps(
  chart: StageChart,
  metrics: Columns,
  timings: Columns,
  { axis, smoothing, isLog, spans }: ChartSettings,
): PlotProps {
  const toX = axisOf(axis, metrics, timings);
  const isOf = (name: string) => (metrics.values.has(name) ? metrics : timings);
  const series = chart.metrics.map(({ name, label }, colour) => {
    const columns = isOf(name);
    return { label, colour, x: toX.column(columns), y: columns.values.get(name) ?? [] };
  });
  const points = chart.heldOut.map(({ label, points: each }, i) => ({
    label,
    colour: series.length > 0 ? -1 : i,
    points: each.map((point) => ({ ...point, x: toX.step(point.x) })),
  }));
  const own = spans
    .map((span, i) => ({ span, number: i + 1 }))
    .filter(({ span }) => {
      const about = alarmMetrics(span.raised);
      return chart.metrics.some(({ name }) => about.includes(name));
    });
  return {
    title: chart.title,
    xLabel: AXES[axis],
    series,
    points,
    bands: own.map(({ span, number }) => ({
      from: toX.step(span.from),
      to: span.to === undefined ? undefined : toX.step(span.to),
      label: String(number),
    })),
    yMin: isLog ? undefined : chart.yMin,
    yMax: isLog ? undefined : chart.yMax,
    isLog,
    smoothing,
    format: chart.isShare ? percent : plain,
    syncKey: "run",
  };
}

function csvOf({ xLabel, series }: PlotProps): string {
  const x = series[0]?.x ?? [];
  const rows = x.map((value, i) => [value, ...series.map(({ y }) => y[i])]);
  return csvText([xLabel, ...series.map(({ label }) => label)], rows);
}

function MetricTable({
  stage,
  pinned,
  onPin,
}: {
  readonly stage: StageView;
  readonly pinned: readonly string[];
  readonly onPin: (name: string) => void;
}) {
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState(false);
  useEffect(() => setSearch(""), [stage.name]);
  const all = [...stage.metrics, ...stage.timings];
  const matches = ({ name, meaning }: StageMetric) => `${name} ${meaning}`.toLowerCase().includes(search.toLowerCase());
  return (
    <details class="metrics" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        Every metric of {stage.name}, and what it means ({all.length})
      </summary>
      {open && (
        <>
          <label>
            <span class="hidden">Search metrics</span>
            <input
              type="search"
              placeholder="Search metrics"
              value={search}
              onInput={({ currentTarget }) => setSearch(currentTarget.value)}
            />
          </label>
          <div class="scroll" tabIndex={0} role="region" aria-label="Metrics">
            <table>
              <thead>
                <tr>
                  <th>metric</th>
                  <th>now</th>
                  <th>what it means, and what to watch for</th>
                  <th>
                    <span class="hidden">chart</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {all.filter(matches).map(({ name, latest, meaning, watch, isShare, unit }) => (
                  <tr key={name}>
                    <th scope="row">
                      <code>{name}</code>
                    </th>
                    <td class="number">
                      {valueText(latest, isShare)} <span class="soft">{unit}</span>
                    </td>
                    <td>
                      {meaning} <span class="soft">{watch}</span>
                    </td>
                    <td>
                      <button
                        type="button"
                        aria-pressed={pinned.includes(name)}
                        aria-label={`Chart of ${name}`}
                        onClick={() => onPin(name)}
                      >
                        {pinned.includes(name) ? "hide" : "chart"}
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </details>
  );
}
