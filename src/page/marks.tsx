/** Small things that stand in many places: states, verdicts, sparklines, notices. */

import type { ComponentChildren } from "preact";
import type { RunState } from "../inspect/run-state.ts";
import { STATES } from "./words.ts";

/** The state of a run as a coloured word. */
export function State({ state }: { readonly state: RunState }) {
  const { word, meaning } = STATES[state];
  return (
    <span class={`state ${state}`} title={meaning}>
      {word}
    </span>
  );
}

/** ✓ or ✗, also for those who do not see colours; nothing where nobody judged. */
export function VerdictMark({ solved }: { readonly solved: boolean | null | undefined }) {
  if (solved === null || solved === undefined) return null;
  return <span class={solved ? "verdict right" : "verdict wrong"}>{solved ? "✓ right" : "✗ wrong"}</span>;
}

/** A line without axes. */
export function Sparkline({ values, label }: { readonly values: readonly number[]; readonly label: string }) {
  if (values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value: number) => 17 - (high === low ? 0.5 : (value - low) / (high - low)) * 14;
  const path = values.map(
    (value, i) => `${i === 0 ? "M" : "L"}${((i / (values.length - 1)) * 60 + 2).toFixed(1)} ${y(value).toFixed(1)}`,
  );
  return (
    <svg class="sparkline" viewBox="0 0 64 20" width="64" height="20" role="img" aria-label={label}>
      <path d={path.join("")} />
      <circle cx="62" cy={y(values.at(-1)!)} r="2" />
    </svg>
  );
}

/** Something that is told in place of, or above, what was looked for. */
export function Notice({
  kind = "info",
  children,
}: {
  readonly kind?: "info" | "bad";
  readonly children: ComponentChildren;
}) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      {children}
    </div>
  );
}

/** In place of a page that cannot be shown. */
export function Missing({ title, error }: { readonly title: string; readonly error: string }) {
  return (
    <>
      <h1>{title}</h1>
      <Notice kind="bad">{error}</Notice>
    </>
  );
}

/** While something is fetched. */
export function Loading() {
  return (
    <p class="soft loading" role="status">
      Reading …
    </p>
  );
}
