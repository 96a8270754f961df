/** A run: what it is and how it stands, and its tabs. */

import { useEffect, useState } from "preact/hooks";
import type { RunView } from "../inspect/run-answers.ts";
import { goTo, hashOf, type PagePlace } from "./address.ts";
import { AnswersTab } from "./answers.tsx";
import { CurvesTab } from "./curves.tsx";
import { DiaryTab, RecipeTab } from "./diary.tsx";
import { Loading, Missing, Notice, State } from "./marks.tsx";
import { RolloutsTab } from "./rollouts.tsx";
import { type ShownRun, useRuns } from "./shown-run.ts";
import { addressWith, isFrozen, post } from "./source.ts";
import { TimeTab } from "./time.tsx";
import { isTyping } from "./typing.ts";
import { ago, duration, grouped, statisticName, valueText } from "./words.ts";

const TABS = [
  { id: "curves", label: "Curves" },
  { id: "rollouts", label: "Rollouts" },
  { id: "answers", label: "Held-out" },
  { id: "time", label: "Time" },
  { id: "recipe", label: "Recipe" },
  { id: "diary", label: "Diary" },
] as const;

/** The page. */
export function RunPage({ place }: { readonly place: PagePlace }) {
  const [store] = useRuns([place.id]);
  const view = store?.view;
  const error = store?.error;
  const shown = TABS.filter(({ id }) => !isFrozen() || id === "curves" || id === "time");
  const tab = shown.find(({ id }) => id === place.tab)?.id ?? "curves";
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event.target) || (event.key !== "[" && event.key !== "]")) return;
      const index = shown.findIndex(({ id }) => id === tab) + (event.key === "]" ? 1 : -1);
      const next = shown[(index + shown.length) % shown.length]!;
      goTo({ ...place, tab: next.id, query: {} });
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [place.id, tab]);
  if (store === undefined || view === undefined)
    return error === undefined ? <Loading /> : <Missing title={place.id} error={error} />;
  return (
    <>
      <Head store={store} view={view} />
      <nav class="tabs" aria-label="About this run">
        {shown.map(({ id, label }) => (
          <a
            key={id}
            href={hashOf({ page: "run", id: place.id, tab: id })}
            aria-current={id === tab ? "page" : undefined}
          >
            {label}
          </a>
        ))}
      </nav>
      {error !== undefined && <Notice kind="bad">{error} What is shown is what was known before.</Notice>}
      {view.notes.map((note) => (
        <Notice key={note} kind="bad">
          {note}
        </Notice>
      ))}
      {tab === "curves" && <CurvesTab store={store} view={view} place={place} />}
      {tab === "rollouts" && <RolloutsTab store={store} view={view} place={place} />}
      {tab === "answers" && <AnswersTab view={view} place={place} />}
      {tab === "time" && <TimeTab store={store} view={view} />}
      {tab === "recipe" && <RecipeTab view={view} />}
      {tab === "diary" && <DiaryTab view={view} />}
    </>
  );
}

function Head({ store, view }: { readonly store: ShownRun; readonly view: RunView }) {
  const { card, recipe } = view;
  const { stage, result } = card;
  const running = card.state === "running";
  return (
    <>
      <div class="headline">
        <h1>{card.id.split("/").at(-1)}</h1>
        <span role="status">
          <State state={card.state} />
        </span>
        {running && (
          <span class="soft" role="status">
            {store.connection === "lost" ? "connection lost, trying again …" : "live"}
          </span>
        )}
        {running && !isFrozen() && <Stop id={card.id} />}
      </div>
      {recipe.question && <p class="question">{recipe.question}</p>}
      <dl class="facts">
        {result && (
          <div>
            <dt>held-out, {statisticName(result.statistic)}</dt>
            <dd>
              {result.values.length > 1 && <span class="soft">{valueText(result.first, result.isShare)} → </span>}
              {valueText(result.latest, result.isShare)}
            </dd>
          </div>
        )}
        {stage && (
          <div>
            <dt>
              {stage.name}, {recipe.stages.find(({ name }) => name === stage.name)?.unit}
            </dt>
            <dd>
              {grouped(stage.done)}
              {stage.total !== undefined && <span class="soft"> of {grouped(stage.total)}</span>}
            </dd>
          </div>
        )}
        <div>
          <dt>time in steps</dt>
          <dd>{duration(card.seconds)}</dd>
        </div>
        <div>
          <dt>task</dt>
          <dd>
            {recipe.task} <span class="soft">seed {recipe.seed}</span>
          </dd>
        </div>
        <div>
          <dt>last sign</dt>
          <dd>{ago(card.updatedAt)}</dd>
        </div>
      </dl>
    </>
  );
}

/** Asks before it asks the run. */
function Stop({ id }: { readonly id: string }) {
  const [step, setStep] = useState<"idle" | "sure" | "asked">("idle");
  const [error, setError] = useState("");
  const stop = async () => {
    try {
      await post(addressWith("/api/stop", { id }));
      setStep("asked");
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
      setStep("idle");
    }
  };
  if (step === "asked") return <span role="status">asked to stop; it ends after its step, with a checkpoint</span>;
  if (step === "sure") {
    return (
      <span class="sure" role="group" aria-label="Stop the run?">
        Stop after this step? It can go on later with --resume.
        <button type="button" class="main" onClick={() => void stop()}>
          Stop the run
        </button>
        <button type="button" onClick={() => setStep("idle")}>
          Let it run
        </button>
      </span>
    );
  }
  return (
    <>
      <button type="button" onClick={() => setStep("sure")}>
        Stop …
      </button>
      {error && (
        <span class="bad" role="alert">
          {error}
        </span>
      )}
    </>
  );
}
