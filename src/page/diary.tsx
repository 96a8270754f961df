/** The recipe as it was run, and what happened when. */

import type { RunView } from "../inspect/run-answers.ts";

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
                  <span class="soft">{name}</span> {typeof value === "string" ? value : JSON.stringify(value)}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
