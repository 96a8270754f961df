/** Start, pause, step; how far the run is; and which part of an iteration is being computed. */

import { useState } from "preact/hooks";
import { count, plain } from "../../number-text.ts";
import type { PhaseMessage, StartingPoint } from "../../web/protocol.ts";
import { ConfirmButton } from "./confirm.tsx";
import { isBusy, type TabState } from "./state.ts";
import { useTab } from "./store.ts";
import { send, startRun } from "./worker-link.ts";

const STARTS: Readonly<Record<StartingPoint, string>> = {
  kept: "your last run",
  "cold-start": "the cold start",
  random: "random weights",
  dropped: "your checkpoint",
};

/** Stays at the top of the window. */
export function ControlBar() {
  return (
    <section class="steer" aria-label="The run">
      <Buttons />
      <Loop />
    </section>
  );
}

function Buttons() {
  const worker = useTab((state) => state.worker);
  const ready = useTab((state) => state.ready);
  const run = useTab((state) => state.run);
  const dropped = useTab((state) => state.dropped);
  const isStarting = useTab((state) => state.isStarting);
  const [chosen, setChosen] = useState<StartingPoint>();
  const isIdle = run === undefined;
  const starts = startsOf(ready?.starts ?? ["cold-start"], dropped !== undefined, isIdle);
  const from = chosen !== undefined && starts.includes(chosen) ? chosen : starts[0]!;
  const busy = isBusy(run);
  const canStart = worker === "ready" && !busy && !isStarting;
  const isOver = run?.activity === "finished";
  return (
    <div class="buttons">
      {busy ? (
        <button
          type="button"
          class="main go"
          disabled={run?.activity === "pausing" || worker !== "ready"}
          onClick={() => send({ type: "pause" })}
        >
          {run?.activity === "pausing" ? "Pausing …" : "Pause"}
        </button>
      ) : (
        <button
          type="button"
          class="main go"
          disabled={!canStart || isOver}
          onClick={() => (isIdle ? startRun(from) : send({ type: "resume" }))}
        >
          {worker === "loading"
            ? "Loading …"
            : isStarting
              ? "Starting …"
              : isIdle && from !== "kept"
                ? "Start"
                : "Go on"}
        </button>
      )}
      <button
        type="button"
        disabled={!canStart || isOver}
        onClick={() => (isIdle ? startRun(from, 1) : send({ type: "resume", iterations: 1 }))}
        title="One iteration, then pause"
      >
        Step
      </button>
      <label class="from">
        <span class="soft">from</span>{" "}
        <select
          value={from}
          disabled={worker !== "ready" || isStarting}
          onChange={({ currentTarget }) => setChosen(currentTarget.value as StartingPoint)}
        >
          {starts.map((start) => (
            <option key={start} value={start}>
              {STARTS[start]}
            </option>
          ))}
        </select>
      </label>
      <StartOver from={from} isIdle={isIdle} />
      <Progress />
    </div>
  );
}

/** The starting points that there are; what somebody has just opened first. What is kept is the run that goes on already. */
function startsOf(starts: readonly StartingPoint[], isDropped: boolean, isIdle: boolean): StartingPoint[] {
  const order: readonly StartingPoint[] = ["dropped", "kept", "cold-start", "random"];
  return order.filter((start) => {
    if (start === "kept" && !isIdle) return false;
    return starts.includes(start) || (start === "dropped" && isDropped);
  });
}

/** A run is not thrown away by one click. */
function StartOver({ from, isIdle }: { readonly from: StartingPoint; readonly isIdle: boolean }) {
  const iteration = useTab((state) => state.run?.iteration ?? 0);
  const worker = useTab((state) => state.worker);
  const isStarting = useTab((state) => state.isStarting);
  return (
    <ConfirmButton
      label="Start over"
      title="Start over?"
      disabled={isIdle || isStarting || worker !== "ready"}
      asks={iteration > 0}
      onConfirm={() => startRun(from)}
    >
      The run so far, {count(iteration)} {iteration === 1 ? "iteration" : "iterations"} of it, is forgotten. Download
      the model first if you want to keep it.
    </ConfirmButton>
  );
}

function Progress() {
  const run = useTab((state) => state.run);
  const planned = useTab((state) => state.ready?.iterations);
  const kept = useTab((state) => state.ready?.kept?.iteration);
  const loading = useTab((state) => (state.worker === "loading" ? state.loading : undefined));
  const worker = useTab((state) => state.worker);
  const lesson = useTab((state) => state.lessons.at(-1));
  if (worker === "loading") {
    const { loadedBytes = 0, totalBytes = 0 } = loading ?? {};
    const known = totalBytes > 0;
    const words = `Loading ${(loadedBytes / 1e6).toFixed(1)}${known ? ` of ${(totalBytes / 1e6).toFixed(1)}` : ""} MB`;
    return (
      <span class="how-far">
        <progress aria-label="Loading" {...(known && { value: loadedBytes, max: totalBytes })} />
        <span class="number">{words}</span>
      </span>
    );
  }
  if (run?.activity === "cold-start" && lesson !== undefined) {
    return (
      <span class="how-far">
        <progress aria-label="Steps of the cold start" value={lesson.step} max={lesson.steps} />
        <span class="number">
          step <b>{count(lesson.step)}</b> of {count(lesson.steps)}
        </span>
      </span>
    );
  }
  // Before anything is started it is the run that somebody left here.
  const done = run?.iteration ?? kept ?? 0;
  const total = run?.iterations ?? planned ?? 0;
  return (
    <span class="how-far">
      <progress aria-label="Iterations" value={done} max={Math.max(1, total)} />
      <span class="number">
        iteration <b>{done}</b> of {total}
      </span>
    </span>
  );
}

interface LoopPart {
  readonly name: string;
  readonly does: string;
  readonly phases: readonly PhaseMessage["phase"][];
}

function loopParts(groupSize: number, problems: number): readonly LoopPart[] {
  return [
    { name: "Sample", does: `${problems} problems × ${groupSize} answers`, phases: ["sampling"] },
    { name: "Judge", does: "by the rules alone", phases: ["judging"] },
    { name: "Compare", does: "with its group: advantage", phases: ["updating"] },
    { name: "Update", does: "better gets likelier", phases: ["updating", "scoring"] },
  ];
}

/** The loop of GRPO, with the part that is computed now. */
function Loop() {
  const phase = useTab((state) => state.phase);
  const group = useTab((state) => state.settings?.groupSize ?? 16);
  const problems = useTab((state) => state.settings?.promptsPerIteration ?? 16);
  return (
    <>
      <ol class="loop" aria-label="One iteration">
        {loopParts(group, problems).map(({ name, does, phases }) => {
          const isNow = phase !== undefined && phases.includes(phase.phase);
          return (
            <li key={name} class={isNow ? "now" : ""} aria-current={isNow ? "step" : undefined}>
              <b>{name}</b> <span>{does}</span>
            </li>
          );
        })}
      </ol>
      <Status />
    </>
  );
}

const PHASES: Readonly<Record<PhaseMessage["phase"], readonly [string, string]>> = {
  demonstrating: ["Cold start: reading demonstrations", "steps"],
  trying: ["Cold start: what it writes by itself", "answers"],
  sampling: ["Sampling", "answers"],
  judging: ["Judging", "answers"],
  updating: ["Updating the weights", "steps"],
  scoring: ["Looking at what the step changed", "answers"],
  evaluating: ["Trying held-out problems, which it never trains on", "problems"],
  saving: ["Saving in this browser", "files"],
};

function Status() {
  const words = useTab(statusOf);
  const where = useTab(placeOfWork);
  return (
    <p class="status soft">
      <span>{words}</span>
      <span class="place">{where}</span>
    </p>
  );
}

/** What is going on, in a sentence. */
function statusOf({ worker, ready, run, phase, saved, isStarting }: TabState): string {
  if (worker === "stopped") return "Stopped.";
  if (isStarting) return "Beginning …";
  if (worker === "loading") return "Everything is computed on your machine. Nothing is sent anywhere.";
  if (run === undefined) {
    return ready?.kept
      ? "Your last run is kept. Go on with it, or begin another one."
      : "Ready. Start, or take one step at a time.";
  }
  if (run.activity === "finished") return "Finished. Ask it something, or download it.";
  if (run.activity === "paused") {
    return saved === undefined ? "Paused." : `Paused. The run is saved up to iteration ${saved}.`;
  }
  if (phase === undefined) return "Beginning …";
  const [what, of] = PHASES[phase.phase];
  const far = phase.total > 1 ? `: ${count(phase.done)} of ${count(phase.total)} ${of}` : "";
  const speed = phase.tokensPerSecond && phase.done > 0 ? `, ${plain(phase.tokensPerSecond)} tokens/s` : "";
  return `${what}${far}${speed}`;
}

function placeOfWork({ ready }: TabState): string {
  if (ready === undefined) return "";
  const { backend, threads, parameters } = ready;
  const on = backend === "webgpu" ? "WebGPU" : `WASM, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  return `${count(parameters)} parameters · ${on}`;
}
