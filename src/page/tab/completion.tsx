/**
 * One answer of a group: its tries, each right or wrong; how its reward became its advantage; and of every token how likely
 * it was before the step and after it. Pointing at a token, or going to it with the arrow keys, tells why it moved.
 */

import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { visibleText } from "../../inspect/visible-text.ts";
import { plain } from "../../number-text.ts";
import { STD_EPSILON } from "../../rollout/advantages.ts";
import { sampleStd } from "../../statistics.ts";
import type { GroupMessage, TabCompletion, TabToken } from "../../web/protocol.ts";
import { VerdictMark } from "../marks.tsx";
import type { TriedLine } from "./tries.ts";
import { chance, judgedRewards, meanReward, moveOf, shadeOf, signedText, storyOf } from "./why.ts";

/** The whole of it. */
export function CompletionView({
  group,
  completion,
  lines,
  onHold,
}: {
  readonly group: GroupMessage;
  readonly completion: TabCompletion;
  readonly lines: readonly TriedLine[];
  readonly onHold: () => void;
}) {
  const [pointed, setPointed] = useState<number>();
  const panel = useId();
  return (
    <div class="one-answer">
      <RewardTable group={group} completion={completion} />
      <TokenLines
        completion={completion}
        lines={lines}
        describedBy={panel}
        pointed={pointed}
        onPoint={setPointed}
        onHold={onHold}
      />
      <Why id={panel} group={group} completion={completion} index={pointed} />
    </div>
  );
}

function RewardTable({ group, completion }: { readonly group: GroupMessage; readonly completion: TabCompletion }) {
  const { rewards, reward, isSolved, isCut, tokens } = completion;
  return (
    <>
      <p class="marks">
        <VerdictMark solved={isSolved} /> <span class="number">{tokens.length} tokens</span>
        {isCut && ", cut off at the limit"}
      </p>
      <table class="parts">
        <caption class="hidden">What the rules gave for it</caption>
        <tbody>
          {rewards.map(({ name, weight, score, reason }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">
                {score === null ? "abstained" : `${plain(score)} × ${plain(weight)} = ${plain(score * weight)}`}
              </td>
              <td class="reason" dir="auto">
                {visibleText(reason)}
              </td>
            </tr>
          ))}
          <tr class="sum">
            <th scope="row">reward</th>
            <td class="number">
              <b>{plain(reward)}</b>
            </td>
            <td class="reason">{howAdvantage(group, completion)}</td>
          </tr>
        </tbody>
      </table>
    </>
  );
}

/** The advantage with its arithmetic, where it is the one of GRPO; a recipe may have another. */
function howAdvantage(group: GroupMessage, { reward, advantage }: TabCompletion): string {
  if (group.tryOutStep !== undefined) return "what the rules would give; nothing is learned from it yet";
  const told = `advantage ${signedText(advantage)}`;
  if (reward === null) return told;
  const baseline = meanReward(group);
  const deviation = sampleStd(judgedRewards(group));
  if (deviation === 0) return `${told}: all answers of the group got the same`;
  const expected = (reward - baseline) / (deviation + STD_EPSILON);
  if (Math.abs(expected - advantage) > 1e-3 * Math.max(1, Math.abs(expected))) return told;
  return `(${plain(reward)} − mean ${plain(baseline)}) / deviation ${plain(deviation)} = ${told}`;
}

/** Keys that go from token to token. */
function nextToken(key: string, at: number, lines: readonly TriedLine[], count: number): number | undefined {
  const line = lines.findIndex(({ from, to }) => at >= from && at < to);
  const inLine = (which: number) => {
    const target = lines[which];
    if (target === undefined) return undefined;
    return Math.min(target.to - 1, target.from + at - (lines[line]?.from ?? 0));
  };
  switch (key) {
    case "ArrowRight":
      return Math.min(count - 1, at + 1);
    case "ArrowLeft":
      return Math.max(0, at - 1);
    case "ArrowDown":
      return inLine(line + 1);
    case "ArrowUp":
      return inLine(line - 1);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return undefined;
  }
}

function TokenLines({
  completion,
  lines,
  describedBy,
  pointed,
  onPoint,
  onHold,
}: {
  readonly completion: TabCompletion;
  readonly lines: readonly TriedLine[];
  readonly describedBy: string;
  readonly pointed: number | undefined;
  readonly onPoint: (index: number | undefined) => void;
  readonly onHold: () => void;
}) {
  const { tokens } = completion;
  const box = useRef<HTMLDivElement>(null);
  const indexOf = (target: EventTarget | null) => {
    const index = (target as HTMLElement).dataset?.token;
    return index === undefined ? undefined : Number(index);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = indexOf(event.target);
    if (at === undefined) return;
    const next = nextToken(event.key, at, lines, tokens.length);
    if (next === undefined) return;
    event.preventDefault();
    box.current?.querySelector<HTMLElement>(`[data-token="${next}"]`)?.focus();
  };
  const first = pointed ?? 0;
  return (
    <div
      class="token-lines"
      ref={box}
      role="toolbar"
      aria-label="Its tokens; the arrow keys go from one to the next"
      aria-orientation="horizontal"
      onPointerOver={({ target }) => {
        const index = indexOf(target);
        if (index !== undefined) onPoint(index);
      }}
      onFocusIn={({ target }) => {
        const index = indexOf(target);
        if (index === undefined) return;
        onPoint(index);
        onHold();
      }}
      onKeyDown={onKeyDown}
    >
      {lines.map((line) => (
        <TriedRow key={line.from} line={line}>
          {tokens.slice(line.from, line.to).map((token, i) => {
            const index = line.from + i;
            const shade = shadeOf(token);
            return (
              <span
                key={index}
                role="button"
                tabIndex={index === first ? 0 : -1}
                data-token={index}
                class={`token ${shade < 0 ? "minus" : "plus"}${Math.abs(shade)} ${index === pointed ? "pointed" : ""}`}
                aria-label={labelOf(token)}
                aria-describedby={index === pointed ? describedBy : undefined}
              >
                {shownToken(token)}
              </span>
            );
          })}
        </TriedRow>
      ))}
    </div>
  );
}

/** A line of an answer, with the judgement of its try; `isWhole` false: more of the line is to come. */
export function TriedRow({
  line,
  isWhole = true,
  children,
}: {
  readonly line: TriedLine;
  readonly isWhole?: boolean;
  readonly children: ComponentChildren;
}) {
  const { kind, isRight } = line;
  return (
    <div class={`tried ${kind} ${isRight === undefined ? "" : isRight ? "right" : "wrong"}`}>
      <span class="words" dir="auto">
        {children}
      </span>
      {isWhole && <Mark line={line} />}
    </div>
  );
}

/** ✓ or ✗ of a try, and what is mistaken about it. */
function Mark({ line }: { readonly line: TriedLine }) {
  if (line.isRight === undefined) return null;
  return (
    <span class="mark">
      {line.isRight ? "✓" : "✗"}
      <span class="hidden">{line.isRight ? " right" : " wrong"}</span>
      {line.remark !== undefined && <span class="remark"> {visibleText(line.remark)}</span>}
    </span>
  );
}

/** A token as text; what is only white space is made visible. */
function shownToken({ text }: TabToken): string {
  const shown = visibleText(text.replace(/\n/g, "⏎"));
  return shown === "" ? "∅" : shown;
}

function labelOf(token: TabToken): string {
  const { before, after } = token;
  const far = after === null ? chance(before) : `${moveOf(token)}, ${chance(before)} to ${chance(after)}`;
  return `${shownToken(token).trim() || "space"}: ${far}`;
}

function Why({
  id,
  group,
  completion,
  index,
}: {
  readonly id: string;
  readonly group: GroupMessage;
  readonly completion: TabCompletion;
  readonly index: number | undefined;
}) {
  const token = index === undefined ? undefined : completion.tokens[index];
  if (token === undefined) {
    return (
      <div class="why" id={id}>
        <p>
          <b>
            {group.tryOutStep === undefined ? "Why did a token become more likely?" : "How sure was it of a token?"}
          </b>
        </p>
        <p class="soft">
          Point at one, or go there with the arrow keys.
          {group.tryOutStep === undefined && <MoveKey />}
        </p>
      </div>
    );
  }
  const { headline, numbers, reason } = storyOf(shownToken(token).trim() || "space", token, completion, group);
  return (
    <div class="why" id={id}>
      <p>
        <b>{headline}.</b> <span class="number">{numbers}</span>
      </p>
      <p class="soft">{reason}</p>
    </div>
  );
}

/** What the lines below tokens mean. */
function MoveKey() {
  return (
    <>
      {" "}
      <span class="token plus4">Underlined</span> tokens became more likely by the step,{" "}
      <span class="token minus4">dotted</span> ones less; the darker, the more.
    </>
  );
}
