/** A dashboard on a thread of its own, for a process that has something else to do. */

import { Worker } from "node:worker_threads";
import { ConfigError } from "../errors.ts";
import { threadEntry } from "../thread-entry.ts";
import type { DashboardMessage } from "./dashboard-thread.ts";
import type { DashboardOptions } from "./server.ts";

/** A dashboard that runs. */
export interface ThreadDashboard {
  readonly url: string;
  /** Ends it. */
  close(): Promise<void>;
}

/** Starts one. Throws ConfigError where the port cannot be had; later defects go to `onDefect`, and stop nothing. */
export function dashboardOnThread(options: DashboardOptions): Promise<ThreadDashboard> {
  const { onDefect = () => {}, ...workerData } = options;
  const worker = new Worker(threadEntry("dashboard-thread", import.meta.url), { workerData });
  // The process ends with what it does, not with its dashboard.
  worker.unref();
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  return new Promise((resolve, reject) => {
    worker.on("message", ({ url, refused, defect }: DashboardMessage) => {
      if (defect !== undefined) onDefect(defect);
      if (refused !== undefined) reject(new ConfigError(refused));
      if (url !== undefined) resolve({ url, close: () => end(worker, ended) });
    });
    worker.on("error", (error) => {
      onDefect(error);
      reject(error);
    });
    worker.on("exit", () => reject(new Error("The dashboard's thread has ended.")));
  });
}

const END_MS = 2000;

async function end(worker: Worker, ended: Promise<void>): Promise<void> {
  worker.postMessage("close");
  const impatient = setTimeout(() => void worker.terminate(), END_MS);
  await ended;
  clearTimeout(impatient);
}
