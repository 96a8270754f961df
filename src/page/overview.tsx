/** The list of runs and pipelines: searched, grouped, sorted, and chosen from to be compared. */

import { useState } from "preact/hooks";
import type { Card } from "../dashboard/known-runs.ts";
import { MAX_COMPARED } from "../inspect/limits.ts";
import type { PipelineCard } from "../inspect/pipeline-answers.ts";
import type { RunCard } from "../inspect/run-answers.ts";
import { goTo, hashOf, idsText, type PagePlace } from "./address.ts";
import { useCards } from "./cards.ts";
import { Loading, Missing, Notice, Sparkline, State } from "./marks.tsx";
import { ago, duration, grouped, statisticName, valueText } from "./words.ts";

const GROUPS = { none: "nothing", task: "task", state: "state", pipeline: "pipeline" } as const;

const COLUMNS = [
  { by: "name", label: "run" },
  { by: "state", label: "state" },
  { by: "task", label: "task" },
  { by: "seed", label: "seed" },
  { by: "progress", label: "progress" },
  { by: "result", label: "held-out" },
  { by: "updated", label: "last sign" },
] as const;

function sortKey(card: Card, by: string): string | number {
  switch (by) {
    case "state":
      return card.state;
    case "task":
      return card.kind === "run" ? card.task : "";
    case "seed":
      return card.seed ?? -1;
    case "progress":
      return card.kind === "run" ? (card.progress ?? -1) : -1;
    case "result":
      return card.kind === "run" ? (card.result?.latest ?? -1) : -1;
    case "updated":
      return card.updatedAt ?? "";
    default:
      return card.id;
  }
}

/** The page. */
export function Overview({ place }: { readonly place: PagePlace }) {
  const { cards, connection, error } = useCards();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const { search = "", group = "none", by = "updated", order = "down" } = place.query;
  const set = (change: Readonly<Record<string, string>>) =>
    goTo({ page: "runs", query: { ...place.query, ...change } }, true);
  if (cards === undefined) return error === "" ? <Loading /> : <Missing title="Runs" error={error} />;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const textOf = (card: Card) =>
    [card.id, card.name, card.question, card.state, card.kind === "run" ? card.task : "pipeline"]
      .join(" ")
      .toLowerCase();
  const runs = cards.filter((card): card is RunCard => card.kind === "run");
  const pipelines = cards.filter((card): card is PipelineCard => card.kind === "pipeline");
  const shown = runs
    .filter((card) => words.every((word) => textOf(card).includes(word)))
    .sort((a, b) => {
      const [x, y] = [sortKey(a, by), sortKey(b, by)];
      const up = x < y ? -1 : x > y ? 1 : a.id < b.id ? -1 : 1;
      return order === "down" ? -up : up;
    });
  const groupOf = (card: RunCard) =>
    group === "task"
      ? card.task
      : group === "state"
        ? card.state
        : group === "pipeline"
          ? (card.pipeline ?? "no pipeline")
          : "";
  const groups = [...new Set(shown.map(groupOf))];
  const choose = (id: string, on: boolean) =>
    setChosen((ids) => (on ? [...ids, id].slice(-MAX_COMPARED) : ids.filter((one) => one !== id)));
  return (
    <>
      <div class="headline">
        <h1>Runs</h1>
        <span class="soft" role="status">
          {connection === "lost" ? "connection lost, trying again …" : ""}
        </span>
      </div>
      {cards.length === 0 ? (
        <Notice>
          There is no run here yet. Start one with <code>aha run recipes/countdown/tiny/recipe.yaml</code>; it appears
          by itself.
        </Notice>
      ) : (
        <form class="bar" role="search" onSubmit={(event) => event.preventDefault()}>
          <label class="grow">
            <span class="hidden">Search runs</span>
            <input
              type="search"
              data-search
              placeholder="Search by name, task, state, question   ( / )"
              value={search}
              onInput={({ currentTarget }) => set({ search: currentTarget.value })}
            />
          </label>
          <label>
            Group by{" "}
            <select value={group} onChange={({ currentTarget }) => set({ group: currentTarget.value })}>
              {Object.entries(GROUPS).map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <button
            type="button"
            class="main"
            disabled={chosen.length < 2}
            onClick={() => goTo({ page: "compare", query: { ids: idsText(chosen) } })}
          >
            {chosen.length < 2 ? "Compare: choose two to six" : `Compare ${chosen.length} runs`}
          </button>
        </form>
      )}
      {pipelines.length > 0 && (
        <section aria-label="Pipelines" class="pipelines">
          {pipelines
            .filter((card) => words.every((word) => textOf(card).includes(word)))
            .map((card) => (
              <a key={card.id} class="card" href={hashOf({ page: "pipeline", id: card.id })}>
                <span class="soft">pipeline</span>
                <b>{card.name}</b> <State state={card.state} />
                <span class="soft">
                  {card.stages.filter(({ state }) => state === "finished").length} of {card.stages.length} stages ·{" "}
                  {duration(card.seconds)} of work
                </span>
              </a>
            ))}
        </section>
      )}
      {groups.map((name) => (
        <section key={name}>
          {name !== "" && <h2>{name}</h2>}
          <table class="runs">
            <thead>
              <tr>
                <th class="choice">
                  <span class="hidden">compare</span>
                </th>
                {COLUMNS.map((column) => (
                  <th
                    key={column.by}
                    class={column.by}
                    aria-sort={by !== column.by ? "none" : order === "down" ? "descending" : "ascending"}
                  >
                    <button
                      type="button"
                      onClick={() =>
                        set({ by: column.by, order: by === column.by && order === "down" ? "up" : "down" })
                      }
                    >
                      {column.label}
                    </button>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown
                .filter((card) => groupOf(card) === name)
                .map((card) => (
                  <RunRow key={card.id} card={card} chosen={chosen.includes(card.id)} onChoose={choose} />
                ))}
            </tbody>
          </table>
        </section>
      ))}
      {cards.length > 0 && shown.length === 0 && runs.length > 0 && <p class="soft">No run matches “{search}”.</p>}
    </>
  );
}

function RunRow({
  card,
  chosen,
  onChoose,
}: {
  readonly card: RunCard;
  readonly chosen: boolean;
  readonly onChoose: (id: string, on: boolean) => void;
}) {
  const { stage, result } = card;
  return (
    <tr>
      <td class="choice">
        <input
          type="checkbox"
          aria-label={`Compare ${card.id}`}
          checked={chosen}
          onChange={({ currentTarget }) => onChoose(card.id, currentTarget.checked)}
        />
      </td>
      <th scope="row" class="name">
        <a href={hashOf({ page: "run", id: card.id })}>{card.id}</a>
        <span class="soft">{card.problem ?? card.question}</span>
      </th>
      <td class="state">
        <State state={card.state} />
        {card.alarms > 0 && <span class="bell"> {card.alarms === 1 ? "1 alarm" : `${card.alarms} alarms`}</span>}
      </td>
      <td class="task">{card.task}</td>
      <td class="seed">{card.seed}</td>
      <td class="progress">
        {stage && (
          <>
            <progress max={1} value={card.state === "finished" ? 1 : (card.progress ?? 0)} aria-label="progress" />
            <span class="soft">
              {stage.name} {grouped(stage.done)}
              {stage.total === undefined ? "" : ` of ${grouped(stage.total)}`}
            </span>
          </>
        )}
      </td>
      <td class="result">
        {result && (
          <>
            <Sparkline values={result.values} label={`${statisticName(result.statistic)} over the run`} />
            <span>
              {valueText(result.latest, result.isShare)}{" "}
              <span class="soft">
                {statisticName(result.statistic)}
                {result.interval &&
                  `, ${valueText(result.interval[0], result.isShare)} to ${valueText(result.interval[1], result.isShare)}`}
              </span>
            </span>
          </>
        )}
      </td>
      <td class="updated">
        {ago(card.updatedAt)}
        <span class="soft">{duration(card.seconds)} of work</span>
      </td>
    </tr>
  );
}
