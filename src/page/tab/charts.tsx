/** The curves: how many answers are right, how many tries they take, how long they are. */

import { useMemo } from "preact/hooks";
import { decimal, percent, plain } from "../../number-text.ts";
import type { EvaluationResult, IterationMetrics } from "../../web/protocol.ts";
import { Plot, type PlotPoints } from "../plot.tsx";
import { useTab } from "./store.ts";

interface TabCurve {
  readonly title: string;
  readonly caption: string;
  readonly label: string;
  readonly colour: number;
  readonly of: (metrics: IterationMetrics) => number;
  readonly heldOut: (result: EvaluationResult) => { readonly y: number; readonly low: number; readonly high: number };
  readonly format: (value: number) => string;
  readonly yMax?: number;
}

const point = (y: number) => ({ y, low: y, high: y });

const CURVES: readonly TabCurve[] = [
  {
    title: "Solved",
    caption: "Share of answers that are right, by the rules of the game.",
    label: "in training",
    colour: 0,
    of: ({ solveRate }) => solveRate,
    heldOut: ({ solveRate, low, high }) => ({ y: solveRate, low, high }),
    format: percent,
    yMax: 1,
  },
  {
    title: "Tries per answer",
    caption: "Equations that it tries before it answers. Nobody rewards them.",
    label: "in training",
    colour: 1,
    of: ({ tries }) => tries,
    heldOut: ({ tries }) => point(tries),
    format: decimal,
  },
  {
    title: "Length",
    caption: "Tokens per answer: it thinks longer because that pays.",
    label: "in training",
    colour: 2,
    of: ({ length }) => length,
    heldOut: ({ length }) => point(length),
    format: plain,
  },
];

/** All three; their height is the same from the beginning. */
export function Charts() {
  const history = useTab((state) => state.history);
  const evaluations = useTab((state) => state.evaluations);
  const planned = useTab((state) => state.run?.iterations ?? state.ready?.iterations);
  const xs = useMemo(() => history.map(({ iteration }) => iteration), [history]);
  return (
    <section aria-labelledby="curves-title">
      <h2 id="curves-title" class="hidden">
        Curves
      </h2>
      <div class="charts">
        {CURVES.map((curve) => (
          <figure class="chart" key={curve.title}>
            <figcaption>
              <h3>{curve.title}</h3>
              <p>{curve.caption}</p>
            </figcaption>
            <TabChart curve={curve} history={history} xs={xs} evaluations={evaluations} xMax={planned} />
          </figure>
        ))}
      </div>
    </section>
  );
}

function TabChart({
  curve,
  history,
  xs,
  evaluations,
  xMax,
}: {
  readonly curve: TabCurve;
  readonly history: readonly IterationMetrics[];
  readonly xs: readonly number[];
  readonly evaluations: readonly EvaluationResult[];
  readonly xMax: number | undefined;
}) {
  const ys = useMemo(() => history.map(curve.of), [history]);
  const points = useMemo((): PlotPoints[] => {
    const each = evaluations.map((result) => ({ x: result.iteration, ...curve.heldOut(result) }));
    return [{ label: "held-out problems", colour: -1, points: each }];
  }, [evaluations]);
  return (
    <Plot
      title={curve.title}
      xLabel="iteration"
      series={[{ label: curve.label, x: xs, y: ys, colour: curve.colour }]}
      points={points}
      yMin={0}
      yMax={curve.yMax}
      xRange={[0, Math.max(1, xMax ?? 1)]}
      smoothing={0.4}
      format={curve.format}
      height={170}
      syncKey="tab"
    />
  );
}
