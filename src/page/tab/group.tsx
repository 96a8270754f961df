/**
 * One group: the answers to one problem, what each got, and how it compares. While it trains a new group comes with every
 * iteration; the one that somebody looks at stays until they let it go.
 */

import { useMemo, useRef, useState } from "preact/hooks";
import { visibleText } from "../../inspect/visible-text.ts";
import { plain } from "../../number-text.ts";
import type { GroupMessage, TabCompletion } from "../../web/protocol.ts";
import { VerdictMark } from "../marks.tsx";
import { CompletionView } from "./completion.tsx";
import { useTab } from "./store.ts";
import { answerIn, type TriedLine, triedLines, triesIn, triesWords } from "./tries.ts";
import { isEven, meanReward } from "./why.ts";
import { send } from "./worker-link.ts";

/** What somebody holds on to. */
interface Held {
  readonly group: GroupMessage;
  readonly chosen: number;
}

/** The panel; its size does not depend on what is in it. */
export function GroupPanel() {
  const newest = useTab((state) => state.group);
  const [held, setHeld] = useState<Held>();
  const [pointed, setPointed] = useState<GroupMessage>();
  const group = held?.group ?? pointed ?? newest;
  const chosen = held?.chosen ?? (group === undefined ? 0 : bestOf(group));
  const lines = useMemo(
    () =>
      group?.completions.map(({ tokens }) =>
        triedLines(
          tokens.map(({ text }) => text),
          group.problem,
        ),
      ),
    [group],
  );
  return (
    <section class="group" aria-labelledby="group-title">
      <div class="group-head">
        <h2 id="group-title">One group, answer by answer</h2>
        <Which group={group} isHeld={held !== undefined} onFollow={() => setHeld(undefined)} />
      </div>
      {group === undefined || lines === undefined ? (
        <div class="group-body nothing">
          <p class="soft">
            After the first iteration you see here how the model answered one problem, several times: which answers were
            right, what the rules gave for each, and what the step then made of every token.
          </p>
        </div>
      ) : (
        <div class="group-body" onPointerEnter={() => setPointed(group)} onPointerLeave={() => setPointed(undefined)}>
          <div class="answers">
            <Summary group={group} />
            <Rows group={group} lines={lines} chosen={chosen} onChoose={(row) => setHeld({ group, chosen: row })} />
          </div>
          <CompletionView
            key={`${group.tryOutStep ?? ""}/${group.iteration}/${group.group}/${chosen}`}
            group={group}
            completion={group.completions[chosen]!}
            lines={lines[chosen]!}
            onHold={() => setHeld((before) => before ?? { group, chosen })}
          />
        </div>
      )}
    </section>
  );
}

/** The answer with the highest advantage: what the step pushed up most. Of a try-out the one that the rules like best. */
function bestOf({ completions, tryOutStep }: GroupMessage): number {
  const worth = ({ advantage, reward }: TabCompletion) => (tryOutStep === undefined ? advantage : (reward ?? 0));
  let best = 0;
  for (const [i, completion] of completions.entries()) if (worth(completion) > worth(completions[best]!)) best = i;
  return best;
}

function whenOf({ iteration, tryOutStep }: GroupMessage): string {
  return tryOutStep === undefined ? `iteration ${iteration}` : `cold start, step ${tryOutStep}`;
}

/** Which group is shown, and the choice of another. */
function Which({
  group,
  isHeld,
  onFollow,
}: {
  readonly group: GroupMessage | undefined;
  readonly isHeld: boolean;
  readonly onFollow: () => void;
}) {
  const watched = useTab((state) => state.watched);
  const watch = (which: number | "mixed") => {
    onFollow();
    send({ type: "watch", group: which });
  };
  const groups = group?.groups ?? 0;
  return (
    <div class="which">
      <span class="soft number">{group && whenOf(group)}</span>
      <label>
        <span class="soft">problem</span>{" "}
        <select
          value={String(watched)}
          disabled={group === undefined}
          onChange={({ currentTarget: { value } }) => watch(value === "mixed" ? "mixed" : Number(value))}
        >
          <option value="mixed">the most mixed</option>
          {Array.from({ length: Math.max(groups, watched === "mixed" ? 0 : watched + 1) }, (_, i) => (
            <option key={i} value={String(i)}>
              {i + 1} of {groups}
            </option>
          ))}
        </select>
      </label>
      <button type="button" disabled={!isHeld} onClick={onFollow}>
        {isHeld ? "Let go, show the newest" : "Showing the newest"}
      </button>
    </div>
  );
}

function Summary({ group }: { readonly group: GroupMessage }) {
  const { problem, completions, tryOutStep } = group;
  const solved = completions.filter(({ isSolved }) => isSolved).length;
  const why =
    tryOutStep !== undefined
      ? "What it writes by itself so far. The cold start only copies demonstrations: nothing is rewarded or compared yet."
      : isEven(group)
        ? "All rewards are equal, so there is nothing to compare: this group teaches nothing."
        : `Mean reward ${plain(meanReward(group))}: what is above it gets likelier, what is below it less likely.`;
  return (
    <div class="summary">
      <p class="problem-line">
        <b>
          {problem.numbers.join(", ")} → {problem.target}
        </b>
        <span>
          {solved} of {completions.length} right
        </span>
      </p>
      <p class="soft">{why}</p>
    </div>
  );
}

function Rows({
  group,
  lines,
  chosen,
  onChoose,
}: {
  readonly group: GroupMessage;
  readonly lines: readonly (readonly TriedLine[])[];
  readonly chosen: number;
  readonly onChoose: (row: number) => void;
}) {
  const list = useRef<HTMLOListElement>(null);
  const most = Math.max(...group.completions.map(({ advantage }) => Math.abs(advantage)), 1e-9);
  return (
    <ol class="rows" ref={list} aria-label="The answers">
      {group.completions.map((completion, i) => (
        <li key={i}>
          <button type="button" aria-current={i === chosen} onClick={() => onChoose(i)}>
            <VerdictMark solved={completion.isSolved} />
            {group.tryOutStep === undefined ? <AdvantageBar completion={completion} most={most} /> : <span />}
            <span class="number tries">{triesWords(triesIn(lines[i]!))}</span>
            <span class="snippet" dir="auto">
              {visibleText(answerIn(lines[i]!) ?? (completion.isCut ? "cut off" : "no answer"))}
            </span>
          </button>
        </li>
      ))}
    </ol>
  );
}

/** A bar to the right or to the left of the baseline, and the number. */
function AdvantageBar({ completion, most }: { readonly completion: TabCompletion; readonly most: number }) {
  const { advantage } = completion;
  const width = (Math.abs(advantage) / most) * 30;
  return (
    <span class="advantage-bar">
      <svg viewBox="0 0 64 14" width="64" height="14" aria-hidden="true">
        <rect
          class={advantage < 0 ? "minus" : "plus"}
          x={advantage < 0 ? 32 - width : 32}
          y="2"
          width={width}
          height="10"
        />
        <line x1="32" x2="32" y1="0" y2="14" />
      </svg>
      <span class="number">
        <span class="hidden">advantage </span>
        {advantage === 0 ? "0" : `${advantage < 0 ? "−" : "+"}${Math.abs(advantage).toFixed(2)}`}
      </span>
    </span>
  );
}
