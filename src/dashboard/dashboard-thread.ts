/** The thread on which `aha run --dashboard` serves its page: the training has the process's own thread to itself. */

import { parentPort, workerData } from "node:worker_threads";
import { AhaError } from "../errors.ts";
import { Dashboard, type DashboardOptions } from "./server.ts";

/** From the thread: where it listens, or why it does not; later, defects. */
export interface DashboardMessage {
  readonly url?: string;
  readonly refused?: string;
  readonly defect?: string;
}

const tell = (message: DashboardMessage) => parentPort!.postMessage(message);
const textOf = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error));

try {
  const options = workerData as Pick<DashboardOptions, "roots" | "from" | "port" | "anyPort">;
  const dashboard = await Dashboard.listen({ ...options, onDefect: (error) => tell({ defect: textOf(error) }) });
  tell({ url: dashboard.url });
  parentPort!.on("message", () => {
    void dashboard.close().then(() => parentPort!.close());
  });
} catch (error) {
  tell(error instanceof AhaError ? { refused: error.message } : { defect: textOf(error) });
}
