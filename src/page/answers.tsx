/** The held-out problems: how each was answered at two moments of the run, side by side. */

import { useEffect, useState } from "preact/hooks";
import { completionParts } from "../inspect/completion-lines.ts";
import type { EvaluationHead } from "../inspect/live-run.ts";
import type { RunView } from "../inspect/run-answers.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { plain } from "../number-text.ts";
import type { EvaluatedCompletionRecord, EvaluationRecord } from "../run/records.ts";
import { goTo, type PagePlace } from "./address.ts";
import { Loading, Notice, VerdictMark } from "./marks.tsx";
import { addressWith, ask } from "./source.ts";
import { isShareStatistic, oneLine, statisticName, valueText } from "./words.ts";

const PAGE = 25;

const KINDS = {
  all: "all",
  gained: "solved only afterwards",
  lost: "solved only before",
  kept: "solved both times",
  missed: "solved neither time",
} as const;
type Kind = keyof typeof KINDS;

function momentOf({ stage, step, moment, decoding }: EvaluationHead): string {
  const when =
    moment === "before" ? `before ${stage}` : moment === "after" ? `after ${stage}` : `${stage}, step ${step}`;
  return decoding === "greedy" ? `${when}, greedy` : when;
}

/** An evaluation with its answers. */
function useEvaluation(
  id: string,
  index: number | undefined,
): { readonly record: EvaluationRecord | undefined; readonly error: string } {
  const [record, setRecord] = useState<EvaluationRecord>();
  const [error, setError] = useState("");
  useEffect(() => {
    setRecord(undefined);
    if (index === undefined) return;
    let current = true;
    ask<EvaluationRecord>(addressWith("/api/evaluation", { id, index })).then(
      (value) => current && setRecord(value),
      (reason: Error) => current && setError(reason.message),
    );
    return () => {
      current = false;
    };
  }, [id, index]);
  return { record, error };
}

/** The tab. */
export function AnswersTab({ view, place }: { readonly view: RunView; readonly place: PagePlace }) {
  const sampled = view.evaluations.filter(({ decoding }) => decoding === "sampled");
  const find = (index: string | undefined) => view.evaluations.find((one) => String(one.index) === index);
  const before = find(place.query.before) ?? sampled[0];
  const after = find(place.query.after) ?? sampled.at(-1);
  const first = useEvaluation(view.card.id, before?.index);
  const second = useEvaluation(view.card.id, after?.index);
  const [shown, setShown] = useState(PAGE);
  const set = (change: Readonly<Record<string, string>>) =>
    goTo({ ...place, tab: "answers", query: { ...place.query, ...change } }, true);
  if (before === undefined || after === undefined) return <Notice>No held-out problem was answered yet.</Notice>;
  const choice = (label: string, key: string, value: EvaluationHead) => (
    <label>
      {label}{" "}
      <select value={value.index} onChange={({ currentTarget }) => set({ [key]: currentTarget.value })}>
        {view.evaluations.map((one) => (
          <option key={one.index} value={one.index}>
            {momentOf(one)}
          </option>
        ))}
      </select>
    </label>
  );
  const error = first.error || second.error;
  const pairs = first.record && second.record ? pairsOf(first.record, second.record) : undefined;
  const kind = (place.query.kind ?? "all") as Kind;
  const matching = pairs?.filter((pair) => kind === "all" || pair.kind === kind) ?? [];
  return (
    <>
      <div class="bar">
        {choice("left", "before", before)}
        {choice("right", "after", after)}
      </div>
      <StatisticTable before={before} after={after} />
      {error !== "" && <Notice kind="bad">{error}</Notice>}
      {error === "" && pairs === undefined && <Loading />}
      {pairs && (
        <>
          <div class="bar choices" role="group" aria-label="Which problems">
            {(Object.keys(KINDS) as Kind[]).map((name) => (
              <button type="button" key={name} aria-pressed={name === kind} onClick={() => set({ kind: name })}>
                {KINDS[name]} ({name === "all" ? pairs.length : pairs.filter((pair) => pair.kind === name).length})
              </button>
            ))}
          </div>
          <h2 class="hidden">Problems</h2>
          {matching.slice(0, shown).map(({ left, right }) => (
            <article class="problem" key={`${right.problemId}-${right.sample}`}>
              <h3 dir="auto">{visibleText(oneLine(right.prompt))}</h3>
              <div class="sides">
                <Answer label={momentOf(before)} answer={left} />
                <Answer label={momentOf(after)} answer={right} />
              </div>
            </article>
          ))}
          {matching.length === 0 && <p class="soft">There is none.</p>}
          {matching.length > shown && (
            <button type="button" onClick={() => setShown(shown + PAGE)}>
              Show more ({matching.length - shown} left)
            </button>
          )}
        </>
      )}
    </>
  );
}

interface Pair {
  readonly left: EvaluatedCompletionRecord;
  readonly right: EvaluatedCompletionRecord;
  readonly kind: Kind;
}

/** Problems that both evaluations have, each with its first answers. */
function pairsOf(first: EvaluationRecord, second: EvaluationRecord): Pair[] {
  const before = new Map(first.completions.filter(({ sample }) => sample === 0).map((one) => [one.problemId, one]));
  return second.completions.flatMap((right) => {
    const left = right.sample === 0 ? before.get(right.problemId) : undefined;
    if (left === undefined) return [];
    const kind: Kind = right.solved ? (left.solved ? "kept" : "gained") : left.solved ? "lost" : "missed";
    return [{ left, right, kind }];
  });
}

function Answer({ label, answer }: { readonly label: string; readonly answer: EvaluatedCompletionRecord }) {
  return (
    <div>
      <h4>
        {label} · {answer.lengthTokens} tokens{answer.finishReason === "length" ? ", cut off" : ""}{" "}
        <VerdictMark solved={answer.solved} />
      </h4>
      <CompletionLines text={answer.completion} solved={answer.solved} />
    </div>
  );
}

/** Lines that are tries, and the answer below them, which stays in sight however many they are. */
export function CompletionLines({ text, solved }: { readonly text: string; readonly solved: boolean }) {
  const { thinking, ending, isAnswer } = completionParts(text);
  if (ending.length === 0) return <p class="soft">(nothing)</p>;
  return (
    <>
      {thinking.length > 0 && (
        <ol class="lines" tabIndex={0} aria-label="The thinking">
          {thinking.map(({ text: line, kind }, i) => (
            <li key={`${i}`} class={kind === "hit" && !solved ? "hit mistaken" : kind} dir="auto">
              {visibleText(line)}
            </li>
          ))}
        </ol>
      )}
      <p class="final-answer" dir="auto">
        <span class="soft">{isAnswer ? "answer" : "ends with"}</span> {visibleText(ending.join("\n"))}
      </p>
    </>
  );
}

function StatisticTable({ before, after }: { readonly before: EvaluationHead; readonly after: EvaluationHead }) {
  const names = Object.keys(after.statistics).filter((name) => !/^(min|max)|Terminated|reflectionWords/.test(name));
  const cell = ({ statistics, intervals }: EvaluationHead, name: string) => {
    const isShare = isShareStatistic(name);
    const interval = intervals[name];
    return (
      <td class="number">
        {valueText(statistics[name], isShare)}
        {interval && (
          <span class="soft">
            {" "}
            {valueText(interval[0], isShare)} to {valueText(interval[1], isShare)}
          </span>
        )}
      </td>
    );
  };
  return (
    <details class="metrics">
      <summary>
        {statisticName(names[0] ?? "")}: {valueText(before.statistics[names[0] ?? ""], true)} →{" "}
        {valueText(after.statistics[names[0] ?? ""], true)}, and {Math.max(0, names.length - 1)} more statistics of{" "}
        {plain(after.completionCount)} answers
      </summary>
      <table>
        <thead>
          <tr>
            <th>statistic, 95 % interval</th>
            <th>{momentOf(before)}</th>
            <th>{momentOf(after)}</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row">{statisticName(name)}</th>
              {cell(before, name)}
              {cell(after, name)}
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
