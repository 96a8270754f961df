/** One completion: its tokens in colour, its rewards with their reasons, its group, and the same problem over time. */

import { useEffect, useState } from "preact/hooks";
import type { OpenedRollout, RolloutItem } from "../inspect/rollout-answers.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { plain } from "../number-text.ts";
import { Loading, Notice, VerdictMark } from "./marks.tsx";
import { addressWith, ask } from "./source.ts";
import { Tokens } from "./tokens.tsx";
import { grouped, oneLine } from "./words.ts";

/** Reads the row and shows it. */
export function OpenedCompletion({
  id,
  row,
  onOpen,
  onClose,
  onProblem,
}: {
  readonly id: string;
  readonly row: number;
  readonly onOpen: (row: number) => void;
  readonly onClose: () => void;
  readonly onProblem: (prompt: string) => void;
}) {
  const [opened, setOpened] = useState<OpenedRollout>();
  const [error, setError] = useState("");
  useEffect(() => {
    ask<OpenedRollout>(addressWith("/api/rollout", { id, row })).then(setOpened, (reason: Error) =>
      setError(reason.message),
    );
  }, [id, row]);
  return (
    <aside class="opened" aria-label="The completion">
      <div class="opened-head">
        <h2>{opened ? `${opened.item.stage}, ${opened.record.iteration}` : "Completion"}</h2>
        <button type="button" onClick={onClose} title="Escape">
          Close
        </button>
      </div>
      {error !== "" && <Notice kind="bad">{error}</Notice>}
      {error === "" && opened === undefined && <Loading />}
      {opened && <Opened opened={opened} onOpen={onOpen} onProblem={onProblem} />}
    </aside>
  );
}

function Opened({
  opened,
  onOpen,
  onProblem,
}: {
  readonly opened: OpenedRollout;
  readonly onOpen: (row: number) => void;
  readonly onProblem: (prompt: string) => void;
}) {
  const { record, item, group, sameProblem, hiddenCharacters } = opened;
  return (
    <>
      <p class="marks">
        <VerdictMark solved={item.solved} /> reward <b>{plain(record.reward)}</b> · advantage{" "}
        <b>{plain(record.advantage)}</b> · {record.lengthTokens} tokens
        {record.finishReason === "length" ? ", cut off at the limit" : ""}
      </p>
      <h3>Prompt</h3>
      <div class="text prompt" dir="auto">
        {visibleText(record.prompt)}
      </div>
      <h3>Completion</h3>
      <Tokens opened={opened} />
      {hiddenCharacters > 0 && (
        <p class="soft">{grouped(hiddenCharacters)} more characters are not shown; the run's file has them.</p>
      )}
      <h3>Rewards</h3>
      <table class="rewards">
        <tbody>
          {Object.entries(record.rewards).map(([name, { score, reason }]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{score === null ? "abstained" : plain(score)}</td>
              <td dir="auto">{visibleText(reason)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {group.length > 1 && (
        <>
          <h3>Its group</h3>
          <p class="soft">
            The answers that it was compared with: the advantage is what sets one apart from the others.
          </p>
          <Items items={group} current={item.row} onOpen={onOpen} />
        </>
      )}
      {sameProblem.length > group.length && (
        <>
          <h3>The same problem over time</h3>
          <Timeline items={sameProblem} current={item.row} onOpen={onOpen} />
        </>
      )}
      <p>
        <button type="button" onClick={() => onProblem(record.prompt.slice(0, 300))}>
          All completions of this problem
        </button>
      </p>
    </>
  );
}

function Items({
  items,
  current,
  onOpen,
}: {
  readonly items: readonly RolloutItem[];
  readonly current: number;
  readonly onOpen: (row: number) => void;
}) {
  return (
    <ol class="items">
      {items.map((item) => (
        <li key={item.row}>
          <button type="button" aria-current={item.row === current} onClick={() => onOpen(item.row)}>
            <span class="number">{plain(item.advantage)}</span>
            <VerdictMark solved={item.solved} />
            <span class="snippet" dir="auto">
              {visibleText(oneLine(item.completion)) || "(nothing)"}
            </span>
          </button>
        </li>
      ))}
    </ol>
  );
}

/** A square for each answer, in the order of the run. */
function Timeline({
  items,
  current,
  onOpen,
}: {
  readonly items: readonly RolloutItem[];
  readonly current: number;
  readonly onOpen: (row: number) => void;
}) {
  const steps = [...new Set(items.map(({ stage, iteration }) => `${stage}, ${iteration}`))];
  return (
    <ol class="timeline">
      {steps.map((step) => (
        <li key={step}>
          <span class="soft">{step}</span>
          {items
            .filter(({ stage, iteration }) => `${stage}, ${iteration}` === step)
            .map((item) => (
              <button
                type="button"
                key={item.row}
                class={`square ${item.solved === null ? "" : item.solved ? "right" : "wrong"}`}
                aria-current={item.row === current}
                aria-label={`${step}: ${item.solved ? "right" : "not right"}, reward ${plain(item.reward)}`}
                title={visibleText(oneLine(item.completion).slice(0, 120))}
                onClick={() => onOpen(item.row)}
              >
                {item.solved === null ? "·" : item.solved ? "✓" : "✗"}
              </button>
            ))}
        </li>
      ))}
    </ol>
  );
}
