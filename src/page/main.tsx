/** Where the page begins. */

import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import "./parts.css";
import "./print.css";
import { App } from "./app.tsx";
import { showFrozen } from "./frozen.tsx";
import { applyTheme } from "./theme.ts";

applyTheme();
const frozen = document.getElementById("frozen");
if (frozen !== null) {
  showFrozen(JSON.parse(frozen.textContent ?? "null"));
} else {
  const root = document.getElementById("page")!;
  root.textContent = "";
  render(<App />, root);
}
