/**
 * The worker's side of the page: one message after another, answered by what a run does (`tab-run.ts`).
 *
 * It knows no browser. What it needs of one is handed in (`TabSurroundings`), so that a test plays the page in Node.
 */

import { type Computing, computingOn } from "../compute/computing.ts";
import type { Device } from "../compute/device.ts";
import type { Policy } from "../engine/contract/policy.ts";
import { AhaError, ConfigError } from "../errors.ts";
import { type Folder, MemoryFolder } from "../folder.ts";
import { modelSize } from "../model/memory.ts";
import { modelConfigOf } from "../recipe/model.ts";
import type { Recipe } from "../recipe/schema.ts";
import { FolderRun } from "../run/folder-run.ts";
import { buildTokenizer } from "../tokenizer/build.ts";
import { Answers, type AskedModel } from "./answers.ts";
import { evaluationResult, historyOf, lessonsOf } from "./history.ts";
import { type IdleModel, openIdleModel } from "./idle-model.ts";
import { droppedWeights, readWeights, writeWeights, zipped } from "./model-files.ts";
import type {
  Backend,
  KeptRun,
  LoadingMessage,
  PageMessage,
  StartingPoint,
  TabSettings,
  WorkerMessage,
} from "./protocol.ts";
import { runListener } from "./run-events.ts";
import { errorMessage } from "./tab-errors.ts";
import { iterationsOf, lessonsIn, limitsOf, tabRecipe, tabSettingsOf } from "./tab-recipe.ts";
import { TabRun } from "./tab-run.ts";

/** What a tab has of its browser. */
export interface TabSurroundings {
  /** The text of `recipes/countdown/tiny/recipe.yaml`. */
  readonly recipeText: string;
  /** Values of the recipe that come last: for tests, which have no time for a whole run. */
  readonly overrides?: readonly string[];
  readonly isIsolated: boolean;
  /** Where runs are kept. */
  readonly folder: Folder & { at(path: string): Folder };
  /** Whether what is in the folder is there after the tab was closed. */
  readonly isKept: boolean;
  openDevice(backend: Backend | "auto", onLoading: (loading: LoadingMessage) => void): Promise<OpenDevice>;
  /** The weights after the cold start, with their hash checked. Throws AhaError. */
  coldStart(onLoading: (loading: LoadingMessage) => void): Promise<Uint8Array>;
  storage(): Promise<{ readonly usedBytes: number; readonly quotaBytes: number }>;
  post(message: WorkerMessage): void;
}

/** What computes. */
export interface OpenDevice {
  readonly device: Device;
  readonly backend: Backend;
  /** Why it is not WebGPU, where it is not. */
  readonly backendReason?: string;
  readonly threads: number;
}

const RUN = "run";
const DROPPED = "dropped";
/** A folder in memory for what is written once and read once. */
const SCRATCH = "memory:scratch";
/** The folder in the zip, and its name. */
const MODEL_NAME = "aha-countdown";

/** A message by its type. */
type Asked<Type extends PageMessage["type"]> = Extract<PageMessage, { readonly type: Type }>;

/** One page's worker. */
export class TabSession {
  readonly #here: TabSurroundings;
  #compute: Computing | undefined;
  #run: TabRun | undefined;
  /** Runs that there have been, with the one that there is. */
  #runs = 0;
  #scratch = new MemoryFolder(SCRATCH);
  readonly #answers: Answers;
  #idle: Promise<IdleModel> | undefined;
  /** Messages are carried out one after another. */
  #last: Promise<void> = Promise.resolve();

  constructor(surroundings: TabSurroundings) {
    this.#here = surroundings;
    this.#answers = new Answers(surroundings.post);
  }

  /** Carries a message out; its answers are posted. Settles when that is done. */
  receive(message: PageMessage): Promise<void> {
    // Ending an answer must not wait for the answer.
    if (message.type === "stop-asking") {
      this.#answers.cancel(message.ask);
      return Promise.resolve();
    }
    this.#last = this.#last.then(async () => {
      try {
        await this.#carryOut(message);
      } catch (error) {
        this.#here.post(errorMessage(error, { isFatal: message.type === "open" }));
      }
    });
    return this.#last;
  }

  async #carryOut(message: PageMessage): Promise<void> {
    switch (message.type) {
      case "open":
        return this.#open(message);
      case "start":
        return this.#start(message);
      case "resume":
        return this.#resume(message.iterations);
      case "pause":
        return this.#begun().gate.close();
      case "change":
        return this.#change(message.settings);
      case "watch":
        return this.#watch(message.group);
      case "ask":
        // The answer comes while other messages are carried out.
        void this.#answers.answer(message, this.#answering());
        return;
      case "download":
        return this.#download();
      case "drop":
        return this.#drop(message);
      case "forget":
        return this.#forget();
      case "dispose":
        return this.#leave();
    }
  }

  async #open({ backend }: Asked<"open">): Promise<void> {
    const { post, folder, isIsolated } = this.#here;
    const { device, threads, ...about } = await this.#here.openDevice(backend, post);
    const folderAt = (path: string) => (path.startsWith(SCRATCH) ? this.#scratch.at(path) : folder.at(path));
    this.#compute = computingOn(device, folderAt, threads);
    const recipe = this.#recipe({});
    const kept = await this.#kept();
    const starts: StartingPoint[] = ["cold-start", "random", ...(kept ? (["kept"] as const) : [])];
    post({
      ...{ type: "ready", ...about, threads, isIsolated, parameters: parametersOf(recipe), limits: limitsOf(recipe) },
      ...{ iterations: iterationsOf(recipe), settings: tabSettingsOf(recipe), starts, ...(kept && { kept }) },
    });
    await this.#postStorage();
  }

  /** What is kept from an earlier visit; undefined where that is nothing, or nothing that can be read. */
  async #kept(): Promise<KeptRun | undefined> {
    const folder = this.#here.folder.folder(RUN);
    try {
      const found = await TabRun.find(folder);
      if (found === undefined) return undefined;
      const { recipe, notes } = found;
      const { metrics, timings, evaluations, events } = await FolderRun.logsIn(folder);
      const history = historyOf(metrics, timings, notes.changes);
      const saved = events.findLast(({ event }) => event === "checkpoint" || event === "finished");
      return {
        ...{ iteration: history.at(-1)?.iteration ?? 0, iterations: iterationsOf(recipe), from: notes.from },
        ...{ settings: tabSettingsOf(recipe), savedAt: saved ? Date.parse(saved.at) : 0, history },
        evaluations: evaluations.flatMap((record) => evaluationResult(record) ?? []),
        ...{ lessons: lessonsOf(metrics, lessonsIn(recipe)), tryOuts: notes.tryOuts ?? [] },
      };
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
      this.#here.post(errorMessage(error));
      return undefined;
    }
  }

  async #start({ from, settings, iterations }: Asked<"start">): Promise<void> {
    if (from === "kept") return this.#startKept(iterations);
    // Everything that can be wrong is found before the old run is given up.
    const recipe = this.#recipe(settings);
    const weights = await this.#weightsFor(from);
    await this.#leave();
    const { folder } = this.#here;
    await folder.remove(RUN);
    const inside = folder.folder(RUN);
    const notes = await TabRun.begin(inside, this.#computing(), recipe, from, weights);
    this.#take(new TabRun(inside, this.#computing(), recipe, notes, (run) => this.#listenerOf(run)));
    this.#resume(iterations);
  }

  async #startKept(iterations: number | undefined): Promise<void> {
    const folder = this.#here.folder.folder(RUN);
    const found = await TabRun.find(folder);
    if (found === undefined) throw new ConfigError("Nothing is kept in this browser: start a new run.");
    await this.#leave();
    const run = new TabRun(folder, this.#computing(), found.recipe, found.notes, (run) => this.#listenerOf(run));
    this.#take(run);
    if (!(await FolderRun.isComplete(folder))) return this.#resume(iterations);
    await run.openFinished();
    this.#postState();
  }

  #take(run: TabRun): void {
    this.#run = run;
    this.#runs++;
  }

  async #weightsFor(from: StartingPoint): Promise<Uint8Array | undefined> {
    if (from === "random") return undefined;
    if (from === "cold-start") return this.#here.coldStart(this.#here.post);
    return readWeights(this.#here.folder.folder(DROPPED));
  }

  #resume(iterations?: number): void {
    const run = this.#begun();
    run.drive();
    run.gate.open(iterations);
  }

  #change(settings: Partial<TabSettings>): void {
    const run = this.#begun();
    if (run.isFinished)
      throw new ConfigError("This run is finished, so its settings stay. Start a new one with others.");
    if (settings.seed !== undefined && settings.seed !== run.settings.seed) {
      throw new ConfigError("The seed belongs to the whole run: start a new one with another seed.");
    }
    run.change(this.#recipe({ ...run.settings, ...settings }), settings);
  }

  async #watch(group: number | "mixed"): Promise<void> {
    const run = this.#begun();
    run.groups.choice = group;
    if (run.groups.isEmpty || run.model === undefined) return;
    // While it trains the weights may be those of the next step by the time it could score.
    if ((run.gate.isHolding || run.isFinished) && !run.groups.isTryOut)
      await run.groups.score(run.model.engine as Policy, run.watched.temperature);
    this.#here.post(run.groups.message(run.watched));
  }

  /** The run's model; before any run what is kept, or the cold start. */
  async #answering(): Promise<AskedModel> {
    if (this.#run) return this.#run.answering();
    this.#idle ??= this.#openIdle();
    try {
      return await this.#idle;
    } catch (error) {
      this.#idle = undefined;
      throw error;
    }
  }

  async #openIdle(): Promise<IdleModel> {
    const folder = this.#here.folder.folder(RUN);
    const found = await TabRun.find(folder);
    const recipe = found?.recipe ?? this.#recipe({});
    this.#scratch = new MemoryFolder(SCRATCH);
    const weights = () => this.#here.coldStart(this.#here.post);
    return openIdleModel(recipe, this.#computing(), this.#scratch, found && folder, weights);
  }

  async #download(): Promise<void> {
    const model = await this.#begun().opened();
    this.#scratch = new MemoryFolder(SCRATCH);
    await model.engine.saveWeights(SCRATCH);
    await model.tokenizer.save(this.#scratch);
    const blob = new Blob([zipped(this.#scratch, MODEL_NAME)], { type: "application/zip" });
    this.#here.post({ type: "download", name: `${MODEL_NAME}-${this.#begun().iteration}.zip`, blob });
  }

  async #drop({ files }: Asked<"drop">): Promise<void> {
    const recipe = this.#recipe({});
    const weights = await droppedWeights(files, recipe);
    await writeWeights(this.#here.folder.folder(DROPPED), weights);
    this.#here.post({ type: "dropped", name: files[0]?.path ?? "", parameters: parametersOf(recipe) });
  }

  async #forget(): Promise<void> {
    await this.#leave();
    const { folder } = this.#here;
    for (const name of await folder.names()) await folder.remove(name);
    await this.#postStorage();
  }

  async #leave(): Promise<void> {
    this.#answers.cancel();
    const [run, idle] = [this.#run, this.#idle];
    this.#run = undefined;
    this.#idle = undefined;
    await run?.leave();
    await idle?.then(
      (model) => model.close(),
      () => {},
    );
  }

  #recipe(settings: Partial<TabSettings>): Recipe {
    return tabRecipe(this.#here.recipeText, settings, this.#here.overrides);
  }

  #computing(): Computing {
    if (this.#compute === undefined) throw new ConfigError("Nothing is open yet: the first message is `open`.");
    return this.#compute;
  }

  #begun(): TabRun {
    if (this.#run === undefined) throw new ConfigError("There is no run yet: start one.");
    return this.#run;
  }

  #postState(): void {
    const run = this.#run;
    if (run === undefined) return;
    const { activity, iteration, settings, notes } = run;
    this.#here.post({
      ...{ type: "state", runNumber: this.#runs, activity, from: notes.from },
      ...{ iteration, iterations: iterationsOf(run.recipe), settings },
    });
  }

  async #postStorage(state?: "full"): Promise<void> {
    const { isKept, post } = this.#here;
    post({ type: "storage", state: state ?? (isKept ? "kept" : "none"), ...(await this.#here.storage()) });
  }

  #listenerOf(run: TabRun) {
    return runListener({
      run,
      isCurrent: () => this.#run === run,
      post: this.#here.post,
      postState: () => this.#postState(),
      postStorage: (state) => this.#postStorage(state),
      bytesIn: async (place) => bytesIn(this.#here.folder.at(place)),
    });
  }
}

function parametersOf(recipe: Recipe): number {
  const { init } = recipe.model;
  return modelSize(modelConfigOf(init!, buildTokenizer(init!.tokenizer))).parameterCount;
}

async function bytesIn(folder: Folder): Promise<number> {
  let bytes = 0;
  for (const name of await folder.names()) {
    const file = await folder.open(name);
    bytes += file.sizeBytes;
    await file.close();
  }
  return bytes;
}
