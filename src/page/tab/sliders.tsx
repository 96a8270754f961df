/** The settings that matter, each with what it is expected to do. They hold from the next iteration on. */

import { useId } from "preact/hooks";
import type { TabSettings } from "../../web/protocol.ts";
import { CONTROLS, commandFor, type SettingControl, settingsInWords, sliderPlaceOf, valueInWords } from "./settings.ts";
import { store, useTab } from "./store.ts";
import { send } from "./worker-link.ts";

/** All of them. */
export function Sliders() {
  const ready = useTab((state) => state.ready);
  const settings = useTab((state) => state.settings);
  const changes = useTab((state) => state.changes);
  const show = (change: Partial<TabSettings>) => store.tell({ type: "set", settings: change });
  const set = (change: Partial<TabSettings>) => {
    show(change);
    const { run } = store.state;
    const isGoing = run !== undefined && run.activity !== "finished";
    if (isGoing) send({ type: "change", settings: change });
  };
  return (
    <section class="sliders" aria-labelledby="sliders-title">
      <h2 id="sliders-title">What would happen if …</h2>
      <p class="soft">Changes hold from the next iteration on.</p>
      {CONTROLS.map((control) => (
        <Slider
          key={control.key}
          control={control}
          settings={settings}
          recipe={ready?.settings}
          onMove={show}
          onSet={set}
        />
      ))}
      <p class="deeds">
        <button
          type="button"
          disabled={ready === undefined || settings === undefined || same(settings, ready.settings)}
          onClick={() => ready && set(ready.settings)}
        >
          As in the recipe
        </button>
      </p>
      {changes.length > 0 && (
        <details class="changes">
          <summary>Changed during this run</summary>
          <ul>
            {changes.map(({ iteration, settings: changed }) => (
              <li key={iteration}>
                after iteration {iteration}: {settingsInWords(changed)}
              </li>
            ))}
          </ul>
        </details>
      )}
      {ready && settings && (
        <details class="command">
          <summary>The same in a terminal</summary>
          <pre tabIndex={0}>{commandFor(ready.settings, settings)}</pre>
        </details>
      )}
    </section>
  );
}

function same(one: TabSettings, other: TabSettings): boolean {
  return CONTROLS.every(({ key }) => one[key] === other[key]);
}

function Slider({
  control,
  settings,
  recipe,
  onMove,
  onSet,
}: {
  readonly control: SettingControl;
  readonly settings: TabSettings | undefined;
  readonly recipe: TabSettings | undefined;
  /** While it is moved, and when it is let go. */
  readonly onMove: (change: Partial<TabSettings>) => void;
  readonly onSet: (change: Partial<TabSettings>) => void;
}) {
  const id = useId();
  const { key, label, values, effect, warning } = control;
  const value = settings?.[key];
  const place = value === undefined ? 0 : sliderPlaceOf(control, value);
  const warned = value === undefined || settings === undefined ? undefined : warning?.(value, settings);
  const shown = value === undefined ? "" : valueInWords(value);
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      {/* The slider itself says its value: told twice, it would be noise. */}
      <output for={id} class="number" aria-live="off">
        {shown}
        {recipe !== undefined && value !== recipe[key] && (
          <span class="soft"> (recipe {valueInWords(recipe[key])})</span>
        )}
      </output>
      <input
        id={id}
        type="range"
        min={0}
        max={values.length - 1}
        step={1}
        value={place}
        disabled={settings === undefined}
        aria-valuetext={shown}
        aria-describedby={`${id}-effect`}
        onInput={({ currentTarget }) => onMove({ [key]: values[Number(currentTarget.value)]! })}
        onChange={({ currentTarget }) => onSet({ [key]: values[Number(currentTarget.value)]! })}
      />
      <p id={`${id}-effect`} class={warned === undefined ? "soft" : "warned"}>
        {warned ?? effect}
      </p>
    </div>
  );
}
