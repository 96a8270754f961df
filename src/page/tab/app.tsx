/** The frame: what the page is about, how the run is steered, and what is shown of it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { currentTheme, nextTheme, THEME_WORDS } from "../theme.ts";
import { AskPanel } from "./ask.tsx";
import { Charts } from "./charts.tsx";
import { CodeTab } from "./code.tsx";
import { ControlBar } from "./control-bar.tsx";
import { GroupPanel } from "./group.tsx";
import { ModelBox, WhereItComputes } from "./model-box.tsx";
import { Sliders } from "./sliders.tsx";
import { store } from "./store.ts";
import { Telling } from "./telling.ts";
import { Troubles } from "./troubles.tsx";

/** What the address's hash shows. */
function useShownTab(): "watch" | "code" {
  const read = () => (location.hash === "#code" ? "code" : "watch");
  const [shown, setShown] = useState<"watch" | "code">(read);
  useEffect(() => {
    const onHash = () => setShown(read());
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  return shown;
}

/** The whole page. */
export function TabApp() {
  const shown = useShownTab();
  const [theme, setTheme] = useState(currentTheme);
  const main = useRef<HTMLElement>(null);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        To the content
      </button>
      <header class="top">
        <span class="home">Aha</span>
        <nav aria-label="What is shown">
          <a href="#watch" aria-current={shown === "watch" ? "page" : undefined}>
            Watch it learn
          </a>
          <a href="#code" aria-current={shown === "code" ? "page" : undefined}>
            The code
          </a>
        </nav>
        <button type="button" class="quiet" onClick={() => setTheme(nextTheme())} title="as the system, light, or dark">
          {THEME_WORDS[theme]}
        </button>
      </header>
      <main class="tab" ref={main} tabIndex={-1}>
        <div class="intro">
          <h1>A model learns to reason in this tab</h1>
          <p>
            The game is Countdown: use each number once, with + − * /, to reach the target; from 6, 6 and 5, make 17.
            The model knows the rules and the arithmetic but gives up early, and now nothing but the rules of the game
            rewards it: this is <strong>R1-Zero</strong>, and it learns to keep searching.
          </p>
        </div>
        <ControlBar />
        <Troubles />
        {shown === "code" ? (
          <CodeTab />
        ) : (
          <div class="watch">
            <div class="shown">
              <Charts />
              <GroupPanel />
              <AskPanel />
            </div>
            <aside aria-label="Settings and the model">
              <Sliders />
              <ModelBox />
              <WhereItComputes />
            </aside>
          </div>
        )}
      </main>
      <Announcer />
    </>
  );
}

/** Tells readers of the screen how it goes, seldom. */
function Announcer() {
  const [told, setTold] = useState("");
  useEffect(() => {
    const telling = new Telling();
    return store.listen(() => {
      const sentence = telling.next(store.state, Date.now());
      if (sentence !== undefined) setTold(sentence);
    });
  }, []);
  return (
    <div class="hidden" role="status">
      {told}
    </div>
  );
}
