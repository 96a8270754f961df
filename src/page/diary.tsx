/** The recipe as it was run, and what happened when. */

import type { RunView } from "../inspect/run-answers.ts";
import { plain } from "../number-text.ts";

/** The recipe's text. */
export function RecipeTab({ view }: { readonly view: RunView }) {
  return (
    <>
      <p class="soft">As it was run, every default filled in. The directory: {view.directory}</p>
      <pre tabIndex={0}>{view.recipeYaml}</pre>
    </>
  );
}

/** The newest lines of events.jsonl, the newest first. */
export function DiaryTab({ view }: { readonly view: RunView }) {
  return (
    <table class="diary">
      <thead>
        <tr>
          <th>when</th>
          <th>what</th>
          <th>details</th>
        </tr>
      </thead>
      <tbody>
        {[...view.events].reverse().map(({ at, event, ...details }, i) => (
          <tr key={view.events.length - i}>
            <td class="when">{at.replace("T", " ").replace(/\.\d+Z$/, " UTC")}</td>
            <th scope="row">{event}</th>
            <td>
              {Object.entries(details).map(([name, value]) => (
                <span key={name} class="detail">
                  <span class="soft">{name}</span> {detailText(value)}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A detail as people read it: of a fraction the digits that say something. */
function detailText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" && !Number.isInteger(value)) return plain(value);
  return JSON.stringify(value);
}
