/** The frame: what is on top of every page, which page is shown, and the keys. */

import { useEffect, useRef, useState } from "preact/hooks";
import { goTo, hashOf, type PagePlace, usePlace } from "./address.ts";
import { ComparePage } from "./compare.tsx";
import { Help } from "./help.tsx";
import { Overview } from "./overview.tsx";
import { PipelinePage } from "./pipeline.tsx";
import { RunPage } from "./run.tsx";
import { currentTheme, nextTheme, THEME_WORDS } from "./theme.ts";
import { isTyping } from "./typing.ts";

/** The whole page. */
export function App() {
  const place = usePlace();
  const [theme, setTheme] = useState(currentTheme);
  const [helps, setHelps] = useState(false);
  const main = useRef<HTMLElement>(null);
  const shown = `${place.page}/${place.id}`;
  const before = useRef(shown);
  useEffect(() => {
    document.title = titleOf(place);
    // Another page: readers of the screen begin at its top.
    if (before.current !== shown) {
      scrollTo(0, 0);
      main.current?.focus();
    }
    before.current = shown;
  }, [shown]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "?") setHelps(true);
      else if (event.key === "t") setTheme(nextTheme());
      else if (event.key === "g") goTo({ page: "runs" });
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("input[data-search]");
        if (!field) return;
        event.preventDefault();
        field.focus();
        field.select();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        To the content
      </button>
      <header class="top">
        <a class="home" href={hashOf({ page: "runs" })}>
          Aha
        </a>
        <nav aria-label="Where you are">{place.page !== "runs" && <a href={hashOf({ page: "runs" })}>All runs</a>}</nav>
        <button
          type="button"
          class="quiet"
          onClick={() => setTheme(nextTheme())}
          title="as the system, light, or dark (t)"
        >
          {THEME_WORDS[theme]}
        </button>
        <button type="button" class="quiet" onClick={() => setHelps(true)} title="?">
          Keys
        </button>
      </header>
      <main id="content" ref={main} tabIndex={-1}>
        {place.page === "runs" && <Overview place={place} />}
        {place.page === "run" && <RunPage key={place.id} place={place} />}
        {place.page === "pipeline" && <PipelinePage id={place.id} />}
        {place.page === "compare" && <ComparePage place={place} />}
      </main>
      {helps && <Help onClose={() => setHelps(false)} />}
    </>
  );
}

function titleOf({ page, id }: PagePlace): string {
  if (page === "runs") return "Runs · Aha";
  return page === "compare" ? "Runs compared · Aha" : `${id.split("/").at(-1)} · Aha`;
}
