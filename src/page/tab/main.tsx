/** Where the page of R1 in a browser tab begins. */

import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "../style.css";
import "../parts.css";
import "./tab.css";
import "../print.css";
import { registerServiceWorker } from "../../web/browser/service-worker-client.ts";
import { applyTheme } from "../theme.ts";
import { TabApp } from "./app.tsx";
import { beginWorker } from "./worker-link.ts";

applyTheme();
const root = document.getElementById("page")!;
root.textContent = "";
render(<TabApp />, root);
const registered = registerServiceWorker();
// Where the server does not isolate the page, the service worker does, and the page is loaded again.
if (globalThis.crossOriginIsolated) beginWorker();
else void registered.finally(beginWorker);
