/** A box for a problem of one's own, answered by the model as it is now. */

import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { visibleText } from "../../inspect/visible-text.ts";
import type { ProblemLimits, TabProblem } from "../../web/protocol.ts";
import { TriedRow } from "./completion.tsx";
import { EXAMPLES, readProblem, solutionOf } from "./problem-input.ts";
import type { TypedAnswer } from "./state.ts";
import { store, useTab } from "./store.ts";
import { triedLines, triesIn, triesWords } from "./tries.ts";
import { send } from "./worker-link.ts";

/** Before the worker has told what the recipe plays with. */
const NO_LIMITS: ProblemLimits = { largest: 99, counts: [3], min: 1, max: 10, targetMin: 10, targetMax: 99 };

let asked = 0;

/** The form and the answer. */
export function AskPanel() {
  const ready = useTab((state) => state.ready);
  const worker = useTab((state) => state.worker);
  const run = useTab((state) => state.run);
  const answer = useTab((state) => state.answer);
  const [numbers, setNumbers] = useState("6, 6, 5");
  const [target, setTarget] = useState("17");
  const [isGreedy, setGreedy] = useState(false);
  const [isChecked, setChecked] = useState(false);
  const example = useRef(0);
  const faultId = useId();
  const read = useMemo(
    () => readProblem(numbers, target, ready?.limits ?? NO_LIMITS),
    [numbers, target, ready?.limits],
  );
  const fault = "fault" in read ? read : undefined;
  const isAnswering = answer !== undefined && answer.end === undefined && answer.fault === undefined;
  const canAsk = worker === "ready";
  const ask = (problem: TabProblem) => {
    const temperature = isGreedy ? 0 : (store.state.settings?.temperature ?? 1);
    send({ type: "ask", ask: ++asked, problem, temperature });
  };
  const another = () => {
    example.current = (example.current + 1) % EXAMPLES.length;
    const { numbers: given, target: wanted } = EXAMPLES[example.current]!;
    setNumbers(given.join(", "));
    setTarget(String(wanted));
    setChecked(false);
  };
  return (
    <section class="ask" aria-labelledby="ask-title">
      <h2 id="ask-title">Ask it yourself</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setChecked(true);
          if ("problem" in read && canAsk) ask(read.problem);
        }}
      >
        <Field
          label="numbers"
          value={numbers}
          isWrong={isChecked && fault?.field === "numbers"}
          describedBy={faultId}
          onType={setNumbers}
        />
        <Field
          label="target"
          value={target}
          isWrong={isChecked && fault?.field === "target"}
          describedBy={faultId}
          onType={setTarget}
        />
        {isAnswering ? (
          <button type="button" class="main" onClick={() => send({ type: "stop-asking", ask: answer.ask })}>
            Stop
          </button>
        ) : (
          <button type="submit" class="main" disabled={!canAsk}>
            Ask
          </button>
        )}
        <button type="button" onClick={another}>
          Another
        </button>
        <label class="greedy">
          <input
            type="checkbox"
            checked={isGreedy}
            onChange={({ currentTarget }) => setGreedy(currentTarget.checked)}
          />
          always its most likely token
        </label>
      </form>
      <p
        class={`said ${isChecked && fault ? "bad" : "soft"}`}
        id={faultId}
        role={isChecked && fault ? "alert" : undefined}
      >
        {isChecked && fault ? fault.fault : "problem" in read ? read.note : ""}
      </p>
      <Answer answer={answer} hasRun={run !== undefined} />
    </section>
  );
}

/** Characters that a field takes; a longer text is no problem of this game. */
const LONGEST_FIELD = 60;

function Field({
  label,
  value,
  isWrong,
  describedBy,
  onType,
}: {
  readonly label: string;
  readonly value: string;
  readonly isWrong: boolean;
  readonly describedBy: string;
  readonly onType: (text: string) => void;
}) {
  return (
    <label>
      {label}
      <input
        type="text"
        inputMode={label === "target" ? "numeric" : "text"}
        autocomplete="off"
        class={label}
        value={value}
        maxLength={LONGEST_FIELD}
        aria-invalid={isWrong}
        aria-describedby={describedBy}
        onInput={({ currentTarget }) => onType(currentTarget.value)}
      />
    </label>
  );
}

function Answer({ answer, hasRun }: { readonly answer: TypedAnswer | undefined; readonly hasRun: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = box.current;
    if (node !== null) node.scrollTop = node.scrollHeight;
  }, [answer?.text]);
  if (answer === undefined) {
    return (
      <div class="its-answer">
        <p class="soft">
          {hasRun
            ? "It answers with the weights that it has now, also while it trains."
            : "Ask before you start, and again later: the same question gets a longer search."}
        </p>
      </div>
    );
  }
  const { problem, text, end, fault } = answer;
  const lines = triedLines(text.split(/(?<=\n)/), problem);
  return (
    <>
      <div class="its-answer" ref={box} tabIndex={0} role="region" aria-label="Its answer">
        {lines.map((line) => (
          <TriedRow key={line.from} line={line} isWhole={end !== undefined || line.text.endsWith("\n")}>
            {visibleText(line.text.replace(/\n$/, ""))}
          </TriedRow>
        ))}
        {fault !== undefined && <p class="bad">{fault}</p>}
        {text === "" && fault === undefined && <p class="soft">It begins …</p>}
      </div>
      <p class="said">
        {end && (
          <>
            <b class={end.isSolved ? "up" : "down"}>{end.isSolved ? "✓ Right" : "✗ Wrong"}</b> after{" "}
            {end.iteration === 0 ? "no iteration" : `iteration ${end.iteration}`}, with {triesWords(triesIn(lines))}.{" "}
            {!end.isSolved && wrongWords(answer, end)}
          </>
        )}
      </p>
    </>
  );
}

function wrongWords({ problem }: TypedAnswer, end: NonNullable<TypedAnswer["end"]>): string {
  if (end.how === "stopped") return "You stopped it.";
  if (end.how === "length") return "It searched until the longest allowed answer was full.";
  const solution = solutionOf(problem);
  return solution === undefined
    ? `${sentence(end.reason)} No equation does.`
    : `${sentence(end.reason)} One that does: ${solution}.`;
}

function sentence(text: string): string {
  const shown = visibleText(text);
  return `${shown.charAt(0).toUpperCase()}${shown.slice(1)}${/[.!?]$/.test(shown) ? "" : "."}`;
}
