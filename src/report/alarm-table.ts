/** The alarms of a run as the report shows them: when each was raised, what it means, and when it was over. */

import { alarmSchema } from "../alarms/alarm.ts";
import { count } from "../number-text.ts";
import type { EventRecord } from "../run/records.ts";
import { type Html, html } from "./html.ts";

/**
 * A section, or nothing where no alarm was raised. Lines of the diary that are not in an alarm's form are passed over.
 */
export function alarmsHtml(events: readonly EventRecord[]): Html | undefined {
  const alarms = events.flatMap((record) => {
    const parsed = record.event === "alarm" ? alarmSchema.safeParse(record) : undefined;
    return parsed?.success ? [parsed.data] : [];
  });
  if (alarms.length === 0) return undefined;
  return html`<h2>Alarms and notes</h2>
<div class="scroll"><table><thead><tr><th scope="col">stage</th><th scope="col">step</th><th scope="col">alarm</th><th scope="col">state</th><th scope="col">meaning</th></tr></thead>
<tbody>${alarms.map(
    ({ stage, step, alarm, state, message }) =>
      html`<tr><th scope="row">${stage}</th><td>${count(step)}</td><td>${alarm}</td><td>${state}</td><td>${message}</td></tr>
`,
  )}</tbody></table></div>`;
}
