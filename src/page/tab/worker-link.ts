/** The worker as the page has it: begun, spoken to, watched, and begun again where it has ended. */

import type { Backend, PageMessage, StartingPoint, WorkerMessage } from "../../web/protocol.ts";
import { isBusy } from "./state.ts";
import { store } from "./store.ts";
import { LOOK_EVERY, Watch } from "./watch.ts";

let worker: Worker | undefined;
let watch: Watch | undefined;
/** What is to be done as soon as a new worker is ready. */
let whenReady: PageMessage | undefined;

/** What the address says computes. */
function chosenBackend(): Backend | "auto" {
  const chosen = new URLSearchParams(location.search).get("backend");
  return chosen === "wasm" || chosen === "webgpu" ? chosen : "auto";
}

/** Begins the worker; whatever another one was doing ends. */
export function beginWorker(): void {
  worker?.terminate();
  store.tell({ type: "sent", message: { type: "open", backend: chosenBackend() } });
  if (typeof Worker === "undefined" || typeof WebAssembly === "undefined") {
    const missing = typeof Worker === "undefined" ? "web workers" : "WebAssembly";
    const message = `This browser has no ${missing}, and the model computes with them. Use a current Chrome, Edge, Firefox or Safari.`;
    store.tell({ type: "trouble", kind: "load", message, isFatal: true });
    return;
  }
  if (!isSecureContext) {
    const message =
      "Browsers withhold what this page needs (hashes, storage, threads) from pages that come over http from another machine. " +
      "Serve it over https, or forward the port and open it as 127.0.0.1: ssh -L 7862:127.0.0.1:7862 HOST.";
    store.tell({ type: "trouble", kind: "load", message, isFatal: true });
    return;
  }
  watch ??= beginWatch();
  watch.heard(Date.now());
  // What else the address asks for (docs/browser.md) is for the worker.
  const begun = new Worker(new URL(`worker.js${location.search}`, document.baseURI), { type: "module", name: "aha" });
  begun.addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => {
    if (begun === worker) hear(data);
  });
  begun.addEventListener("error", (event) => {
    if (begun !== worker) return;
    // Without a message, the script itself could not be loaded.
    const isLoading = store.state.worker === "loading" && !event.message;
    const message = isLoading
      ? "The file worker.js did not come. Check the connection, or whether the server still runs, and load again."
      : `It ended with: ${event.message || "no message"}. What it had saved is kept in this browser.`;
    store.tell({ type: "trouble", kind: isLoading ? "load" : "crash", message, isFatal: true });
  });
  worker = begun;
  begun.postMessage({ type: "open", backend: chosenBackend() } satisfies PageMessage);
}

/** Says something to the worker. */
export function send(message: PageMessage): void {
  store.tell({ type: "sent", message });
  worker?.postMessage(message);
}

/** A new worker that goes on where the last save was; from the beginning where there is none. */
export function beginAgain(): void {
  const { run } = store.state;
  whenReady = run === undefined ? undefined : { type: "start", from: "kept", settings: {}, iterations: 0 };
  beginWorker();
}

/** Begins a run anew. */
export function startRun(from: StartingPoint, iterations?: number): void {
  const { settings } = store.state;
  send({ type: "start", from, settings: settings ?? {}, ...(iterations !== undefined && { iterations }) });
}

function hear(message: WorkerMessage): void {
  watch?.heard(Date.now());
  store.tell(message);
  if (message.type === "download") saveAs(message.name, message.blob);
  if (message.type === "error" && message.isFatal) worker?.terminate();
  if (message.type !== "ready") return;
  const next = whenReady;
  whenReady = undefined;
  if (next !== undefined && message.starts.includes("kept")) send(next);
}

/** Gives a file to the person. */
function saveAs(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function beginWatch(): Watch {
  const created = new Watch(Date.now());
  const look = () => {
    const noticed = created.look(Date.now(), store.state.worker === "loading" || isBusy(store.state.run));
    if (noticed === undefined) return;
    const { run } = store.state;
    const at = run === undefined ? "" : `: iteration ${run.iteration} of ${run.iterations}`;
    if (noticed.what === "slept") {
      const went = isBusy(run) ? `Training goes on where it is${at}.` : `It waits where it was${at}.`;
      const message = `For ${noticed.minutes} minutes the browser let it rest. Nothing is lost. ${went}`;
      store.tell({ type: "trouble", kind: "slept", message, isFatal: false });
      return;
    }
    const message =
      "It may be computing something long, or it may have ended without a word. You can wait, or begin a new worker from the last save.";
    store.tell({ type: "trouble", kind: "silence", message, isFatal: false });
  };
  setInterval(look, LOOK_EVERY);
  // A tab that the browser froze is told as soon as it is woken.
  document.addEventListener("resume", look);
  return created;
}
