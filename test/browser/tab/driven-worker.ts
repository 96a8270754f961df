/** The worker of R1 in a tab, driven by a test: opened from the page's origin, spoken to, and listened to. */

import type { Browser, BrowserContext, Page } from "playwright-core";
import type { PageMessage, WorkerMessage } from "../../../src/web/protocol.ts";

/** A message by its type. */
export type Heard<Type extends WorkerMessage["type"]> = Extract<WorkerMessage, { readonly type: Type }>;

/** What the script in the page has, for the calls below. */
interface InPage {
  begin(address: string): void;
  send(message: unknown): void;
  end(): void;
  /** Messages that came since it was last asked. */
  take(): unknown[];
}

/** Runs in the page before anything else. */
function prepare(): void {
  let worker: Worker | undefined;
  let heard: unknown[] = [];
  const inPage: InPage = {
    begin: (address) => {
      worker = new Worker(address, { type: "module", name: "aha" });
      worker.onmessage = ({ data }) => {
        // A blob is read here, since it does not get through to the test.
        const { blob } = data as { blob?: Blob };
        if (blob === undefined) heard.push(data);
        else
          void blob.arrayBuffer().then((buffer) => {
            const text = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
            heard.push({ ...data, blob: btoa(text) });
          });
      };
      worker.onerror = ({ message }) => heard.push({ type: "error", kind: "crash", message, isFatal: true });
    },
    send: (message) => worker?.postMessage(message),
    end: () => worker?.terminate(),
    take: () => {
      const taken = heard;
      heard = [];
      return taken;
    },
  };
  (globalThis as unknown as { driven: InPage }).driven = inPage;
}

/** A page of the origin, without the app on it, and a worker on it. */
export class DrivenWorker {
  readonly page: Page;
  readonly heard: WorkerMessage[] = [];
  readonly #address: string;

  private constructor(page: Page, address: string) {
    this.page = page;
    this.#address = address;
  }

  /** Opens the page of `url` in a context (its own storage), with these overrides of the recipe. */
  static async open(
    context: BrowserContext,
    url: string,
    overrides: readonly string[],
    more: Record<string, string> = {},
  ) {
    const page = await context.newPage();
    // tsx keeps the names of functions by a helper that a page does not have.
    await page.addInitScript("globalThis.__name = (named) => named;");
    await page.addInitScript(prepare);
    await page.goto(`${url}licenses.txt`);
    const query = new URLSearchParams([...Object.entries(more), ...overrides.map((set) => ["set", set])]);
    const driven = new DrivenWorker(page, `worker.js?${query}`);
    await driven.begin();
    return driven;
  }

  static async inNewContext(
    browser: Browser,
    url: string,
    overrides: readonly string[],
    more?: Record<string, string>,
  ) {
    return DrivenWorker.open(await browser.newContext(), url, overrides, more);
  }

  /** Begins the worker, after another one was ended or the page was loaded again. */
  async begin(): Promise<void> {
    await this.page.evaluate(
      (address) => (globalThis as unknown as { driven: InPage }).driven.begin(address),
      this.#address,
    );
  }

  /** Loads the page again, which ends the worker without a word. */
  async reload(): Promise<void> {
    await this.page.reload();
    this.heard.length = 0;
    await this.begin();
  }

  /** Ends the worker as a crash does. */
  async crash(): Promise<void> {
    await this.page.evaluate(() => (globalThis as unknown as { driven: InPage }).driven.end());
    this.heard.length = 0;
  }

  async say(message: PageMessage): Promise<void> {
    await this.page.evaluate((sent) => (globalThis as unknown as { driven: InPage }).driven.send(sent), message);
  }

  /** The next message of this type that fits. Throws Error with what the worker says where that is an error. */
  async next<Type extends WorkerMessage["type"]>(
    type: Type,
    fits: (message: Heard<Type>) => boolean = () => true,
  ): Promise<Heard<Type>> {
    for (;;) {
      const found = this.heard.findIndex((message) => message.type === type && fits(message as Heard<Type>));
      if (found >= 0) return this.heard.splice(found, 1)[0] as Heard<Type>;
      const error = this.heard.find((message) => message.type === "error");
      if (error && type !== "error") throw new Error(`the worker says: ${JSON.stringify(error)}`);
      this.heard.push(
        ...((await this.page.evaluate(() =>
          (globalThis as unknown as { driven: InPage }).driven.take(),
        )) as WorkerMessage[]),
      );
      await this.page.waitForTimeout(50);
    }
  }

  activity(activity: Heard<"state">["activity"]) {
    return this.next("state", (state) => state.activity === activity);
  }

  /** A text file of the private file system. */
  textOf(path: readonly string[]): Promise<string> {
    return this.page.evaluate(async ([...names]) => {
      const name = names.pop()!;
      let folder = await navigator.storage.getDirectory();
      for (const inside of names) folder = await folder.getDirectoryHandle(inside);
      return (await (await folder.getFileHandle(name)).getFile()).text();
    }, path);
  }
}
