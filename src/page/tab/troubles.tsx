/** What went wrong, each with what can be done about it. */

import { Notice } from "../marks.tsx";
import { store, useTab } from "./store.ts";
import { remedyFor } from "./telling.ts";
import { beginAgain, send, startRun } from "./worker-link.ts";

const DEEDS = {
  restart: beginAgain,
  reload: () => location.reload(),
  forget: () => send({ type: "forget" }),
  "start-over": () => startRun(store.state.run?.from ?? "cold-start"),
} as const;

/** Nothing where all is well. */
export function Troubles() {
  const troubles = useTab(({ troubles: some }) => some);
  return (
    <>
      {troubles.map((trouble) => {
        const { title, action } = remedyFor(trouble);
        const putAway = () => store.tell({ type: "put-away", id: trouble.id });
        return (
          <Notice key={trouble.id} kind={trouble.kind === "slept" ? "info" : "bad"}>
            <strong>{title}.</strong> {trouble.message}{" "}
            <span class="deeds">
              {action && (
                <button
                  type="button"
                  onClick={() => {
                    putAway();
                    DEEDS[action.does]();
                  }}
                >
                  {action.label}
                </button>
              )}
              {!trouble.isFatal && (
                <button type="button" onClick={putAway}>
                  Put away
                </button>
              )}
            </span>
          </Notice>
        );
      })}
    </>
  );
}
