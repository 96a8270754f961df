/** The filter of the list of rollouts, as fields. What is in them is in the address. */

import { useState } from "preact/hooks";
import type { RolloutPage } from "../inspect/rollout-answers.ts";

type Query = Readonly<Record<string, string>>;

interface FilterProps {
  readonly query: Query;
  readonly head: RolloutPage | undefined;
  readonly onChange: (change: Query) => void;
}

const RANGES = [
  { name: "iteration", label: "step" },
  { name: "reward", label: "reward" },
  { name: "advantage", label: "advantage" },
  { name: "length", label: "tokens" },
] as const;

/** Search and verdict always; ranges where they are asked for, or used. */
export function RolloutFilters({ query, head, onChange }: FilterProps) {
  const used = Object.keys(query).some((name) => /Min$|Max$|^part$|^finishReason$|^promptId$/.test(name));
  const [more, setMore] = useState(used);
  const isFiltered = Object.keys(query).some((name) => name !== "by" && name !== "down");
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <div class="bar">
        <label class="grow">
          <span class="hidden">Search prompts and completions</span>
          <input
            type="search"
            data-search
            placeholder={query.isPattern === "true" ? "A regular expression" : "Search in all text   ( / )"}
            value={query.text ?? ""}
            onInput={({ currentTarget }) => onChange({ text: currentTarget.value })}
          />
        </label>
        <label title="A regular expression of JavaScript; capital letters make it exact">
          <input
            type="checkbox"
            checked={query.isPattern === "true"}
            onChange={({ currentTarget }) => onChange({ isPattern: currentTarget.checked ? "true" : "" })}
          />{" "}
          regex
        </label>
        <Choice
          label="verdict"
          value={query.solved}
          options={{ "": "any verdict", true: "right", false: "wrong" }}
          onChoose={(solved) => onChange({ solved })}
        />
        {head && head.stages.length > 1 && (
          <Choice
            label="stage"
            value={query.stage}
            options={{ "": "any stage", ...Object.fromEntries(head.stages.map((stage) => [stage, stage])) }}
            onChoose={(stage) => onChange({ stage })}
          />
        )}
        <button type="button" aria-expanded={more} onClick={() => setMore(!more)}>
          {more ? "Fewer filters" : "More filters"}
        </button>
        {isFiltered && (
          <button
            type="button"
            class="quiet"
            onClick={() => onChange(Object.fromEntries(Object.keys(query).map((name) => [name, ""])))}
          >
            Clear
          </button>
        )}
      </div>
      {more && (
        <div class="bar ranges">
          {RANGES.map(({ name, label }) => (
            <RangeFields key={name} name={name} label={label} query={query} onChange={onChange} />
          ))}
          {head && head.rewards.length > 0 && (
            <span class="range">
              <Choice
                label="a reward's score"
                value={query.part}
                options={{ "": "score of …", ...Object.fromEntries(head.rewards.map((reward) => [reward, reward])) }}
                onChoose={(part) => onChange(part === "" ? { part, partMin: "", partMax: "" } : { part })}
              />
              {query.part && <RangeFields name="part" label="" query={query} onChange={onChange} />}
            </span>
          )}
          <Choice
            label="how it ended"
            value={query.finishReason}
            options={{ "": "any end", stop: "ended by itself", length: "cut off" }}
            onChoose={(finishReason) => onChange({ finishReason })}
          />
        </div>
      )}
    </form>
  );
}

function Choice({
  label,
  value = "",
  options,
  onChoose,
}: {
  readonly label: string;
  readonly value: string | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly onChoose: (value: string) => void;
}) {
  return (
    <select aria-label={label} value={value} onChange={({ currentTarget }) => onChoose(currentTarget.value)}>
      {Object.entries(options).map(([name, text]) => (
        <option key={name} value={name}>
          {text}
        </option>
      ))}
    </select>
  );
}

function RangeFields({
  name,
  label,
  query,
  onChange,
}: {
  readonly name: string;
  readonly label: string;
  readonly query: Query;
  readonly onChange: (change: Query) => void;
}) {
  const field = (end: "Min" | "Max", word: string) => (
    <input
      type="number"
      step="any"
      placeholder={word}
      aria-label={`${label || "score"} ${word}`}
      value={query[name + end] ?? ""}
      onInput={({ currentTarget }) => onChange({ [name + end]: currentTarget.value })}
    />
  );
  return (
    <span class="range">
      {label} {field("Min", "from")} {field("Max", "to")}
    </span>
  );
}
