/** Two to six runs: curves laid over each other, what differs in their recipes, and who answers better, tested in pairs. */

import { useEffect, useState } from "preact/hooks";
import type { RunComparison } from "../inspect/compare-runs.ts";
import { metricNote } from "../inspect/metric-notes.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { percent, plain } from "../number-text.ts";
import { goTo, hashOf, idsIn, type PagePlace } from "./address.ts";
import { CompletionLines } from "./answers.tsx";
import { type AxisKind, axisNames, axisOf } from "./axis.ts";
import { Loading, Missing, Notice, State, VerdictMark } from "./marks.tsx";
import { COLOURS, Plot } from "./plot.tsx";
import { type ShownRun, useRuns } from "./shown-run.ts";
import { ask } from "./source.ts";
import { isShareStatistic, oneLine, signed, statisticName, valueText } from "./words.ts";

const FIRST_METRICS = [
  "solve_rate",
  "reward",
  "completions/mean_length",
  "entropy",
  "kl",
  "grad_norm",
  "loss",
  "frac_reward_zero_std",
];
/** Statistics that are seen at once. */
const FIRST_STATISTICS = /^(solveRate|passAt\d+|majorityRate|accuracy|formatRate|truncatedRate|meanLength|tries)$/;

/** The page. */
export function ComparePage({ place }: { readonly place: PagePlace }) {
  const ids = idsIn(place.query.ids ?? "");
  const [comparison, setComparison] = useState<RunComparison>();
  const [error, setError] = useState("");
  useEffect(() => {
    setComparison(undefined);
    setError("");
    ask<RunComparison>(`/api/compare?${new URLSearchParams(ids.map((id) => ["id", id]))}`).then(
      setComparison,
      (reason: Error) => setError(reason.message),
    );
  }, [place.query.ids]);
  if (error !== "") return <Missing title="Runs compared" error={error} />;
  if (comparison === undefined) return <Loading />;
  return (
    <>
      <h1>Runs compared</h1>
      <ol class="compared">
        {comparison.runs.map(({ card }, i) => (
          <li key={card.id}>
            <span class={`key c${i % COLOURS.length}`}>
              <a href={hashOf({ page: "run", id: card.id })}>{card.id}</a>
            </span>
            <State state={card.state} />
          </li>
        ))}
      </ol>
      <Results comparison={comparison} />
      <Curves ids={ids} comparison={comparison} place={place} />
      <h2>Where their recipes differ</h2>
      <Differences comparison={comparison} />
      <Problems comparison={comparison} />
    </>
  );
}

function Results({ comparison }: { readonly comparison: RunComparison }) {
  const { runs, tests, untested } = comparison;
  const [all, setAll] = useState(false);
  const known = [...new Set(runs.flatMap(({ last }) => Object.keys(last?.statistics ?? {})))];
  const names = known.filter((name) => all || FIRST_STATISTICS.test(name));
  const tested = tests.some((test) => test !== undefined);
  return (
    <>
      <h2>Held-out problems, after the last evaluation</h2>
      {untested && <Notice>{untested}</Notice>}
      {tested && (
        <ul class="tests">
          {tests.map((test, i) => {
            const other = runs[i + 1]!.card.id;
            if (test?.mcNemar === undefined) return null;
            const { onlyFirst, onlySecond, pValue } = test.mcNemar;
            const better = onlyFirst === onlySecond ? "neither" : onlySecond > onlyFirst ? other : runs[0]!.card.id;
            return (
              <li key={other}>
                <b>{other}</b> against <b>{runs[0]!.card.id}</b>: {onlySecond} problems only it solves, {onlyFirst} only
                the first one; McNemar's exact test p {pValue < 0.001 ? "< 0.001" : `= ${plain(pValue)}`}.{" "}
                {pValue < 0.05 ? `${better} is better by more than luck.` : "That may be luck."}
              </li>
            );
          })}
        </ul>
      )}
      <label class="bar">
        <input type="checkbox" checked={all} onChange={({ currentTarget }) => setAll(currentTarget.checked)} /> every
        statistic
      </label>
      <div class="scroll" tabIndex={0} role="region" aria-label="Results">
        <table>
          <thead>
            <tr>
              <th>statistic, 95 % interval</th>
              {runs.map(({ card, last }) => (
                <th key={card.id}>
                  {card.id}
                  <span class="soft">{last ? `${last.stage}, step ${last.step}` : "not evaluated"}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => {
              const isShare = isShareStatistic(name);
              return (
                <tr key={name}>
                  <th scope="row">{statisticName(name)}</th>
                  {runs.map(({ card, last }, i) => {
                    const interval = last?.intervals[name];
                    const difference = i === 0 ? undefined : tests[i - 1]?.differences[name];
                    const isSure = difference && (difference.interval[0] > 0 || difference.interval[1] < 0);
                    return (
                      <td key={card.id} class="number">
                        {valueText(last?.statistics[name], isShare)}
                        {interval && (
                          <span class="soft">
                            {valueText(interval[0], isShare)} to {valueText(interval[1], isShare)}
                          </span>
                        )}
                        {difference && (
                          <span class={isSure ? "difference sure" : "difference soft"}>
                            {signed(difference.difference, isShare)} ({signed(difference.interval[0], isShare)} to{" "}
                            {signed(difference.interval[1], isShare)})
                          </span>
                        )}
                      </td>
                    );
                  })}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Curves({
  ids,
  comparison,
  place,
}: {
  readonly ids: readonly string[];
  readonly comparison: RunComparison;
  readonly place: PagePlace;
}) {
  const { query } = place;
  const stages = [...new Set(comparison.runs.flatMap(({ stages: each }) => each.map(({ name }) => name)))];
  const trained = stages.filter((stage) => comparison.runs.some(({ metrics }) => metrics[stage]));
  const stage = trained.find((name) => name === query.stage) ?? trained.at(-1);
  const set = (change: Readonly<Record<string, string>>) => goTo({ ...place, query: { ...query, ...change } }, true);
  const stores = useRuns(ids);
  if (stage === undefined) return null;
  const names = [...new Set(comparison.runs.flatMap(({ metrics }) => metrics[stage] ?? []))];
  const chosen = query.metrics ? query.metrics.split(",") : FIRST_METRICS.filter((name) => names.includes(name));
  return (
    <>
      <h2>Curves</h2>
      <div class="bar">
        {trained.length > 1 && (
          <span class="choices" role="group" aria-label="Stage">
            {trained.map((name) => (
              <button
                type="button"
                key={name}
                aria-pressed={name === stage}
                onClick={() => set({ stage: name, metrics: "" })}
              >
                {name}
              </button>
            ))}
          </span>
        )}
        <label>
          over{" "}
          <select value={query.x ?? "step"} onChange={({ currentTarget }) => set({ x: currentTarget.value })}>
            <option value="step">optimizer step</option>
            <option value="tokens">tokens</option>
            <option value="time">time in steps, s</option>
          </select>
        </label>
        <label>
          add{" "}
          <select
            value=""
            onChange={({ currentTarget }) => set({ metrics: [...chosen, currentTarget.value].join(",") })}
          >
            <option value="">a metric …</option>
            {names
              .filter((name) => !chosen.includes(name) && name !== "iteration")
              .map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
          </select>
        </label>
      </div>
      <div class="charts">
        {chosen.map((name) => (
          <Overlay key={name} stores={stores} stage={stage} name={name} axis={(query.x ?? "step") as AxisKind} />
        ))}
      </div>
    </>
  );
}

function Overlay({
  stores,
  stage,
  name,
  axis,
}: {
  readonly stores: readonly ShownRun[];
  readonly stage: string;
  readonly name: string;
  readonly axis: AxisKind;
}) {
  const { isShare, meaning } = metricNote(name);
  const series = stores.map((store, colour) => {
    const { metrics, timings } = store.columns(stage, [name, ...axisNames(axis)]);
    return {
      label: store.id,
      colour,
      x: axisOf(axis, metrics, timings).column(metrics),
      y: metrics.values.get(name) ?? [],
    };
  });
  return (
    <figure class="chart">
      <figcaption>
        <h3>{name}</h3>
        <p>{meaning}</p>
      </figcaption>
      <Plot
        title={name}
        xLabel={axis}
        series={series}
        smoothing={0.6}
        format={isShare ? percent : plain}
        syncKey="compare"
      />
    </figure>
  );
}

function Differences({ comparison }: { readonly comparison: RunComparison }) {
  const { differences, runs } = comparison;
  if (differences.length === 0) return <p class="soft">Nowhere: they are runs of the same recipe.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Differences of the recipes">
      <table>
        <thead>
          <tr>
            <th>key</th>
            {runs.map(({ card }) => (
              <th key={card.id}>{card.id}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {differences.map(({ key, values }) => (
            <tr key={key}>
              <th scope="row">
                <code>{key}</code>
              </th>
              {values.map((value, i) => (
                <td key={runs[i]!.card.id}>
                  {value === undefined ? <span class="soft">absent</span> : <code>{value}</code>}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Problems({ comparison }: { readonly comparison: RunComparison }) {
  const [shown, setShown] = useState(10);
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const { problems, runs } = comparison;
  if (problems.length === 0) return null;
  const isDifferent = ({ answers }: RunComparison["problems"][number]) =>
    new Set(answers.map((answer) => answer?.solved)).size > 1;
  const matching = onlyDifferent ? problems.filter(isDifferent) : problems;
  return (
    <>
      <h2>The same problems side by side</h2>
      <label class="bar">
        <input
          type="checkbox"
          checked={onlyDifferent}
          onChange={({ currentTarget }) => setOnlyDifferent(currentTarget.checked)}
        />{" "}
        only where one is right and another is not ({problems.filter(isDifferent).length} of {problems.length})
      </label>
      {matching.slice(0, shown).map(({ prompt, answers }) => (
        <article class="problem" key={prompt}>
          <h3 dir="auto">{visibleText(oneLine(prompt))}</h3>
          <div class="sides">
            {answers.map((answer, i) => (
              <div key={runs[i]!.card.id}>
                <h4>
                  {runs[i]!.card.id} {answer ? <VerdictMark solved={answer.solved} /> : "not evaluated"}
                </h4>
                {answer && <CompletionLines text={answer.completion} solved={answer.solved} />}
              </div>
            ))}
          </div>
        </article>
      ))}
      {matching.length > shown && (
        <button type="button" onClick={() => setShown(shown + 20)}>
          Show more ({matching.length - shown} left)
        </button>
      )}
    </>
  );
}
