/**
 * A completion as text, or as its tokens in the colour of a number that the run recorded of each: how probable it was, what
 * it was blamed or praised for, how far the update moved it, how undecided the policy was there.
 */

import { useState } from "preact/hooks";
import type { OpenedRollout } from "../inspect/rollout-answers.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { percent, plain } from "../number-text.ts";

/** A number of each token, and how it becomes a colour: `level` from −5 to 5. */
interface TokenMeasure {
  readonly label: string;
  readonly meaning: string;
  /** undefined where the run has not recorded it of this completion. */
  readonly values: readonly (number | null)[] | undefined;
  level(value: number): number;
  text(value: number): string;
}

function measuresOf({ record }: OpenedRollout): Readonly<Record<string, TokenMeasure>> {
  const { tokens = [], samplerLogprobs, tokenAdvantages, ratios, entropies, advantage } = record;
  return {
    logprob: {
      label: "log-probability",
      meaning: "The stronger the colour, the less probable the token was when it was drawn.",
      values: samplerLogprobs,
      level: (value) => -bounded(Math.floor(-value * 1.6)),
      text: (value) => `log-probability ${plain(value)} (${percent(Math.exp(value))})`,
    },
    advantage: {
      label: "advantage",
      meaning: `Green was made more probable by the update, amber less. ${
        tokenAdvantages ? "Each token has its own advantage." : "Every token has the advantage of its completion."
      }`,
      values: tokenAdvantages ?? tokens.map(() => advantage),
      level: (value) => bounded(Math.round(value * 2.5)),
      text: (value) => `advantage ${plain(value)}`,
    },
    ratio: {
      label: "ratio",
      meaning:
        "How much more probable (green) or less (amber) the token had become since it was sampled, when the loss last read it; " +
        "strongest from a fifth on. The first update of an iteration reads 1 everywhere, but for rounding.",
      values: ratios,
      level: (value) =>
        Math.sign(Math.log(value)) * RATIO_LEVELS.filter((least) => Math.abs(Math.log(value)) >= least).length,
      text: (value) => `ratio ${value.toFixed(4)}`,
    },
    entropy: {
      label: "entropy",
      meaning: "The stronger the colour, the more undecided the policy was there.",
      values: entropies,
      level: (value) => bounded(Math.floor(value * 2)),
      text: (value) => `entropy ${plain(value)} nats`,
    },
  };
}

/** |log r| from which on a ratio has each colour: from what one small step does to where clipping usually begins. */
const RATIO_LEVELS = [0.005, 0.02, 0.05, 0.1, 0.2];

/** A level that there is a colour for. */
function bounded(level: number): number {
  return Math.max(-5, Math.min(5, level));
}

/** Why some numbers are not there, for the measures that have none. */
function missing(measures: Readonly<Record<string, TokenMeasure>>, { record }: OpenedRollout): string | undefined {
  const names = Object.values(measures).flatMap(({ label, values }) => (values === undefined ? [label] : []));
  if (names.length === 0) return undefined;
  const reason = record.advantage === 0 ? ": with an advantage of 0 no update read it" : "";
  return `Not recorded of this completion${reason}: ${names.join(", ")}.`;
}

/** The completion, with a choice of colours where there is one. */
export function Tokens({ opened }: { readonly opened: OpenedRollout }) {
  const { record, tokenTexts } = opened;
  const measures = tokenTexts === undefined ? {} : measuresOf(opened);
  const [chosen, setChosen] = useState("");
  const [about, setAbout] = useState("");
  const names = Object.keys(measures);
  const measure = measures[chosen]?.values && measures[chosen];
  const absent = missing(measures, opened);
  return (
    <>
      {names.length > 0 ? (
        <div class="choices" role="group" aria-label="Colour of the tokens">
          <button type="button" aria-pressed={measure === undefined} onClick={() => setChosen("")}>
            plain
          </button>
          {names.map((name) => (
            <button
              type="button"
              key={name}
              aria-pressed={measure !== undefined && name === chosen}
              disabled={measures[name]!.values === undefined}
              onClick={() => setChosen(name)}
            >
              {measures[name]!.label}
            </button>
          ))}
        </div>
      ) : (
        <p class="soft">
          {record.tokens === undefined
            ? "For tokens in colour let the recipe keep them: rollouts: { logprobs: true }."
            : "The run's tokenizer is not on this machine, so its tokens cannot be told apart."}
        </p>
      )}
      {measure && <p class="soft">{measure.meaning}</p>}
      {absent && <p class="soft">{absent}</p>}
      <div
        class="text completion"
        dir="auto"
        onMouseOver={({ target }) => setAbout((target as HTMLElement).title ?? "")}
        onMouseLeave={() => setAbout("")}
      >
        {measure === undefined || tokenTexts === undefined
          ? visibleText(record.completion) || <span class="soft">(nothing)</span>
          : tokenTexts.map((text, i) => {
              const value = measure.values?.[i];
              const level = typeof value === "number" ? measure.level(value) : 0;
              const told = typeof value === "number" ? measure.text(value) : "not recorded";
              return (
                <span
                  key={i}
                  class={`token ${chosen} ${level < 0 ? "minus" : "plus"}${Math.abs(level)}`}
                  title={`${JSON.stringify(text)} · ${told} · token ${record.tokens?.[i]}`}
                >
                  {visibleText(text)}
                </span>
              );
            })}
      </div>
      {measure && <p class="soft about-token">{about || "Point at a token, or tap it, for its number."}</p>}
    </>
  );
}
