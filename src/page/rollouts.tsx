/** The completions that a run was trained on: found, filtered, sorted; one of them opened beside the list. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RolloutItem, RolloutPage } from "../inspect/rollout-answers.ts";
import type { RunView } from "../inspect/run-answers.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { percent, plain } from "../number-text.ts";
import { goTo, type PagePlace } from "./address.ts";
import { Notice } from "./marks.tsx";
import { OpenedCompletion } from "./rollout-detail.tsx";
import { RolloutFilters } from "./rollout-filters.tsx";
import { type RolloutList, useRolloutList } from "./rollout-list.ts";
import { useRowWindow } from "./row-window.ts";
import type { ShownRun } from "./shown-run.ts";
import { isTyping } from "./typing.ts";
import { grouped, oneLine } from "./words.ts";

const ROW_HEIGHT = 52;

const COLUMNS = [
  { by: "iteration", label: "iteration" },
  { by: "promptId", label: "problem, completion" },
  { by: "solved", label: "verdict" },
  { by: "reward", label: "reward" },
  { by: "advantage", label: "advantage" },
  { by: "length", label: "tokens" },
] as const;

/** The tab. Filter, order and what is open are in the address. */
export function RolloutsTab({
  store,
  view,
  place,
}: {
  readonly store: ShownRun;
  readonly view: RunView;
  readonly place: PagePlace;
}) {
  const { row = "", ...filter } = place.query;
  const list = useRolloutList(store, filter);
  const { head, error } = list;
  const isRunning = view.card.state === "running";
  const told = useTold(list, isRunning);
  const scroller = useRef<HTMLDivElement>(null);
  const total = head?.matched ?? 0;
  const { rows, height } = useRowWindow(scroller, total, ROW_HEIGHT);
  const [marked, setMarked] = useState(0);
  const set = (change: Readonly<Record<string, string>>, replace = true) =>
    goTo({ ...place, tab: "rollouts", query: { ...place.query, ...change } }, replace);
  const open = (index: number) => {
    const item = list.item(index);
    if (item) set({ row: String(item.row) }, row !== "");
  };
  useEffect(() => list.need(rows.map(({ index }) => index)), [rows.map(({ index }) => index).join(), list.version]);
  useEffect(() => {
    setMarked(0);
    if (scroller.current) scroller.current.scrollTop = 0;
  }, [list.key]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape" && row !== "") set({ row: "" });
      const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
      if (step === 0) return;
      const next = Math.min(total - 1, Math.max(0, marked + step));
      setMarked(next);
      if (row !== "") open(next);
      const top = next * ROW_HEIGHT;
      const node = scroller.current;
      if (node && (top < node.scrollTop || top + ROW_HEIGHT > node.scrollTop + node.clientHeight))
        node.scrollTop = top - ROW_HEIGHT;
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  if (error !== "" && head === undefined) return <Notice kind="bad">{error}</Notice>;
  const { by = "row", down = "1" } = filter;
  return (
    <div class={row === "" ? "rollouts" : "rollouts with-open"}>
      <div class="found">
        <RolloutFilters query={filter} head={head} onChange={set} />
        {error !== "" && <Notice kind="bad">{error}</Notice>}
        <p class="soft count">{head === undefined ? "Reading the completions …" : countText(head, isRunning)}</p>
        <p class="hidden" role="status">
          {told}
        </p>
        <div class="grid" role="table" aria-label="Completions" aria-rowcount={total}>
          <div class="grid-head" role="row">
            {COLUMNS.map((column) => (
              <div
                key={column.by}
                role="columnheader"
                class={column.by}
                aria-sort={by !== column.by ? "none" : down === "1" ? "descending" : "ascending"}
              >
                <button
                  type="button"
                  onClick={() => set({ by: column.by, down: by === column.by && down === "1" ? "0" : "1" })}
                >
                  {column.label}
                </button>
              </div>
            ))}
          </div>
          <div class="grid-scroll" ref={scroller} role="rowgroup" tabIndex={0} aria-label="Rows of completions">
            <div style={{ height: `${height}px` }} role="presentation">
              {rows.map(({ index, start }) => {
                const item = list.item(index);
                return (
                  <div
                    key={index}
                    role="row"
                    aria-rowindex={index + 1}
                    class={`grid-row ${item && String(item.row) === row ? "open" : ""} ${index === marked ? "marked" : ""}`}
                    style={{ transform: `translateY(${start}px)`, height: `${ROW_HEIGHT}px` }}
                    onClick={() => {
                      setMarked(index);
                      open(index);
                    }}
                  >
                    {item ? (
                      <Cells item={item} onOpen={() => open(index)} />
                    ) : (
                      <div role="cell" class="soft">
                        …
                      </div>
                    )}
                  </div>
                );
              })}
            </div>
          </div>
        </div>
      </div>
      {row !== "" && (
        <OpenedCompletion
          key={row}
          id={store.id}
          row={Number(row)}
          onOpen={(other) => set({ row: String(other) }, false)}
          onClose={() => set({ row: "" })}
          onProblem={(text) => goTo({ ...place, tab: "rollouts", query: { text, row } })}
        />
      )}
    </div>
  );
}

/** What the filter comes to, in a line. */
function countText(head: RolloutPage, isRunning: boolean): string {
  const parts =
    head.total === 0
      ? [
          isRunning
            ? "No completion is sampled yet."
            : "This run has no completions: only stages that sample write them.",
        ]
      : [
          `${grouped(head.matched)} of ${grouped(head.total)} completions`,
          ...(head.judged > 0 ? [`${percent(head.solved / head.judged)} solved`] : []),
          ...(head.meanReward === null ? [] : [`reward ${plain(head.meanReward)}`]),
          ...(head.meanLength === null ? [] : [`${plain(head.meanLength)} tokens`]),
        ];
  if (head.damaged > 0) parts.push(`${head.damaged} damaged lines left out`);
  if (head.textsIncomplete) parts.push("too much text for memory: a search by text does not see all of it");
  return parts.join(" · ");
}

/** What readers of the screen are told: what a filter comes to, and not each completion that a run adds to it. */
function useTold({ head, shownKey }: RolloutList, isRunning: boolean): string {
  const [told, setTold] = useState("");
  useEffect(() => setTold(head === undefined ? "" : countText(head, isRunning)), [shownKey]);
  return told;
}

function Cells({ item, onOpen }: { readonly item: RolloutItem; readonly onOpen: () => void }) {
  return (
    <>
      <div role="cell" class="iteration">
        {item.iteration}
      </div>
      <div role="cell" class="promptId">
        <button type="button" class="opener" onClick={onOpen} dir="auto">
          {visibleText(oneLine(item.prompt)) || "(no prompt)"}
        </button>
        <span class="soft snippet" dir="auto">
          {visibleText(oneLine(item.completion)) || "(nothing)"}
        </span>
      </div>
      <div role="cell" class="solved">
        {item.solved === null ? (
          ""
        ) : item.solved ? (
          <span class="verdict right">✓</span>
        ) : (
          <span class="verdict wrong">✗</span>
        )}
        <span class="hidden">{item.solved === null ? "not judged" : item.solved ? "right" : "wrong"}</span>
      </div>
      <div role="cell" class="reward number">
        {plain(item.reward)}
      </div>
      <div
        role="cell"
        class={`advantage number ${(item.advantage ?? 0) > 0 ? "up" : (item.advantage ?? 0) < 0 ? "down" : ""}`}
      >
        {plain(item.advantage)}
      </div>
      <div role="cell" class="length number">
        {item.lengthTokens}
        {item.cut && <span title="cut off at the length limit"> ✂</span>}
      </div>
    </>
  );
}
