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
  readonly values: readonly (number | null)[];
  level(value: number): number;
  text(value: number): string;
}

function measuresOf({ record }: OpenedRollout): Readonly<Record<string, TokenMeasure>> {
  const { tokens = [], samplerLogprobs, advantage } = record;
  return {
    ...(samplerLogprobs && {
      logprob: {
        label: "log-probability",
        meaning: "The darker, the less probable the token was when it was drawn.",
        values: samplerLogprobs,
        level: (value: number) => -Math.min(5, Math.floor(-value * 1.6)),
        text: (value: number) => `log-probability ${plain(value)} (${percent(Math.exp(value))})`,
      },
    }),
    ...(tokens.length > 0 && {
      advantage: {
        label: "advantage",
        meaning:
          "What the update did to each token: green was made more probable, red less. Every token has the advantage of its completion.",
        values: tokens.map(() => advantage),
        level: (value: number) => Math.max(-5, Math.min(5, Math.round(value * 2.5))),
        text: (value: number) => `advantage ${plain(value)}`,
      },
    }),
  };
}

/** The completion, with a choice of colours where there is one. */
export function Tokens({ opened }: { readonly opened: OpenedRollout }) {
  const { record, tokenTexts } = opened;
  const measures = tokenTexts === undefined ? {} : measuresOf(opened);
  const [chosen, setChosen] = useState("");
  const [about, setAbout] = useState("");
  const measure = measures[chosen];
  const names = Object.keys(measures);
  return (
    <>
      {names.length > 0 ? (
        <div class="choices" role="group" aria-label="Colour of the tokens">
          <button type="button" aria-pressed={measure === undefined} onClick={() => setChosen("")}>
            plain
          </button>
          {names.map((name) => (
            <button type="button" key={name} aria-pressed={name === chosen} onClick={() => setChosen(name)}>
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
      <div
        class="text completion"
        dir="auto"
        onMouseOver={({ target }) => setAbout((target as HTMLElement).title ?? "")}
        onMouseLeave={() => setAbout("")}
      >
        {measure === undefined || tokenTexts === undefined
          ? visibleText(record.completion) || <span class="soft">(nothing)</span>
          : tokenTexts.map((text, i) => {
              const value = measure.values[i];
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
      {measure && <p class="soft about-token">{about || "Point at a token for its number."}</p>}
    </>
  );
}
