/** The keys, in a dialog. */

import { useEffect, useRef } from "preact/hooks";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "search"],
  ["g", "the list of runs"],
  ["[ and ]", "the tab before, the next tab of a run"],
  ["j and k", "the next, the previous completion"],
  ["Enter", "open the completion"],
  ["Escape", "close what is open"],
  ["t", "colours: as the system, light, dark"],
  ["?", "this list"],
];

/** Closes itself with Escape, as dialogs do. */
export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={onClose}>
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="soft">
        In a chart: drag to zoom in, all charts of the page with it; a double click shows everything again. Every view
        has an address of its own, which can be kept or sent.
      </p>
      <button type="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
