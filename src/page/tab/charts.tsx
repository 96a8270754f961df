/**
 * The curves. Of R1-Zero: how many answers are right, how many tries they take, how long they are. Of a cold start that the
 * run begins with: what it learns from the demonstrations, and what becomes of its own answers.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { decimal, percent, plain } from "../../number-text.ts";
import type { EvaluationResult, IterationMetrics, LessonMetrics, TryOutResult } from "../../web/protocol.ts";
import { Plot, type PlotPoints } from "../plot.tsx";
import type { TabState } from "./state.ts";
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

/** A curve of the cold start, by its steps. */
interface LessonCurve {
  readonly title: string;
  readonly caption: string;
  readonly format: (value: number) => string;
  readonly yMax?: number;
  readonly lines: readonly {
    readonly label: string;
    readonly colour: number;
    readonly of: (state: Pick<TabState, "lessons" | "tryOuts">) => readonly (readonly [x: number, y: number | null])[];
  }[];
  readonly smoothing: number;
}

const LESSON_CURVES: readonly LessonCurve[] = [
  {
    title: "Loss",
    caption: "How unlikely it finds each next token of a demonstration: less is better.",
    format: decimal,
    lines: [
      {
        label: "of the demonstrations",
        colour: 0,
        of: ({ lessons }) => lessons.map(({ step, loss }) => [step, Number.isFinite(loss) ? loss : null]),
      },
    ],
    smoothing: 0.4,
  },
  {
    title: "Tokens right",
    caption: "Share of the next tokens that it would have written itself.",
    format: percent,
    yMax: 1,
    lines: [
      {
        label: "of the demonstrations",
        colour: 1,
        of: ({ lessons }) => lessons.map(({ step, tokenAccuracy = null }) => [step, tokenAccuracy]),
      },
    ],
    smoothing: 0.4,
  },
  {
    title: "Its own answers",
    caption: "What it writes by itself now and then, to the same problems: nothing of it is rewarded yet.",
    format: percent,
    yMax: 1,
    lines: [
      {
        label: "in the form",
        colour: 2,
        of: ({ tryOuts }) => tryOuts.map(({ step, formatRate }) => [step, formatRate]),
      },
      { label: "right", colour: 3, of: ({ tryOuts }) => tryOuts.map(({ step, solveRate }) => [step, solveRate]) },
    ],
    smoothing: 0,
  },
];

/** Three charts of the same height from the beginning, of the stage that runs; of the other one where somebody chooses. */
export function Charts() {
  const [chosen, setChosen] = useState<"cold-start" | "r1-zero">();
  const activity = useTab((state) => state.run?.activity);
  const hasLessons = useTab((state) => state.lessons.length > 0 || state.run?.activity === "cold-start");
  const isLearning = useTab((state) => state.history.length === 0);
  // A run that goes over into R1-Zero takes the charts along.
  useEffect(() => setChosen(undefined), [activity === "cold-start"]);
  const shown = hasLessons ? (chosen ?? (isLearning ? "cold-start" : "r1-zero")) : "r1-zero";
  return (
    <section aria-labelledby="curves-title">
      <h2 id="curves-title" class="hidden">
        Curves
      </h2>
      {hasLessons && (
        <div class="choices stages" role="group" aria-label="Curves of">
          <button type="button" aria-pressed={shown === "cold-start"} onClick={() => setChosen("cold-start")}>
            Cold start
          </button>
          <button type="button" aria-pressed={shown === "r1-zero"} onClick={() => setChosen("r1-zero")}>
            R1-Zero
          </button>
        </div>
      )}
      <div class="charts">{shown === "cold-start" ? <LessonCharts /> : <IterationCharts />}</div>
    </section>
  );
}

function IterationCharts() {
  const history = useTab((state) => state.history);
  const evaluations = useTab((state) => state.evaluations);
  const planned = useTab((state) => state.run?.iterations ?? state.ready?.iterations);
  const xs = useMemo(() => history.map(({ iteration }) => iteration), [history]);
  return (
    <>
      {CURVES.map((curve) => (
        <Figure key={curve.title} title={curve.title} caption={curve.caption}>
          <TabChart curve={curve} history={history} xs={xs} evaluations={evaluations} xMax={planned} />
        </Figure>
      ))}
    </>
  );
}

function LessonCharts() {
  const lessons = useTab((state) => state.lessons);
  const tryOuts = useTab((state) => state.tryOuts);
  return (
    <>
      {LESSON_CURVES.map((curve) => (
        <Figure key={curve.title} title={curve.title} caption={curve.caption}>
          <LessonChart curve={curve} lessons={lessons} tryOuts={tryOuts} />
        </Figure>
      ))}
    </>
  );
}

function Figure({
  title,
  caption,
  children,
}: {
  readonly title: string;
  readonly caption: string;
  readonly children: ComponentChildren;
}) {
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <p>{caption}</p>
      </figcaption>
      {children}
    </figure>
  );
}

function LessonChart({
  curve,
  lessons,
  tryOuts,
}: {
  readonly curve: LessonCurve;
  readonly lessons: readonly LessonMetrics[];
  readonly tryOuts: readonly TryOutResult[];
}) {
  const series = useMemo(
    () =>
      curve.lines.map(({ label, colour, of }) => {
        const points = of({ lessons, tryOuts });
        return { label, colour, x: points.map(([x]) => x), y: points.map(([, y]) => y) };
      }),
    [lessons, tryOuts],
  );
  return (
    <Plot
      title={curve.title}
      xLabel="step"
      series={series}
      yMin={0}
      yMax={curve.yMax}
      xRange={[0, lessons.at(-1)?.steps ?? 1]}
      smoothing={curve.smoothing}
      format={curve.format}
      height={170}
      syncKey="lessons"
    />
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
