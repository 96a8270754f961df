/**
 * A run in a tab: the program of `recipe/run-recipe.ts`, unchanged, in a folder of the browser, with a gate before its steps.
 *
 * What the page sees is taken from outside: events of the run, what is written into its folder, and what the engine samples.
 * A change of settings stops the run at its newest checkpoint and goes on with the changed recipe, which takes the place of
 * the old one in the folder.
 */

import type { Computing } from "../compute/computing.ts";
import type { Policy } from "../engine/contract/policy.ts";
import type { SamplingSession } from "../engine/contract/session.ts";
import { ConfigError, RunDirError, RunInterrupted } from "../errors.ts";
import { type Folder, writeJson } from "../folder.ts";
import { parseJson } from "../json-text.ts";
import type { RunEvent } from "../recipe/observer.ts";
import { openRecipeParts, openRun } from "../recipe/open-recipe.ts";
import { runRecipe } from "../recipe/run-recipe.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { RecipeParts } from "../recipe/trained-model.ts";
import { FolderRun, RECIPE_FILE } from "../run/folder-run.ts";
import { RUN_FILES, type RunStore, type SavedState } from "../run/run-store.ts";
import type { AskedModel } from "./answers.ts";
import { writeColdStart } from "./cold-start-state.ts";
import { Gate } from "./gate.ts";
import { GroupWatch } from "./group-watch.ts";
import { type AppliedSettings, historyOf } from "./history.ts";
import { overriding } from "./overriding.ts";
import type { Activity, IterationMetrics, PhaseMessage, StartingPoint, TabSettings, TryOutResult } from "./protocol.ts";
import { COLD_START, R1_ZERO } from "./recipe-controls.ts";
import { iterationsOf, r1ZeroOf, tabSettingsOf } from "./tab-recipe.ts";
import { isTryOutDue, tryOut } from "./try-out.ts";

const TAB_FILE = "tab.json";
const LIMIT = { maxBytes: 2 ** 24, error: RunDirError };

/** What the tab notes of a run beside its folder's own files. */
export interface TabNotes {
  readonly from: StartingPoint;
  readonly changes: readonly AppliedSettings[];
  /** Of the cold start. */
  readonly tryOuts?: readonly TryOutResult[];
}

/** A model that is open, with what it is trained on. */
interface OpenModel extends RecipeParts {
  close(): Promise<void>;
}

/** What happens in a run, for the page. */
export interface RunListener {
  /** The activity, the iteration or the settings changed. */
  changed(): void;
  event(event: RunEvent): void;
  /** The group of the iteration that has just been trained on can be shown. */
  group(): void;
  scoring(): void;
  trying(progress: Pick<PhaseMessage, "iteration" | "done" | "total">): void;
  triedOut(result: TryOutResult): void;
  saving(): void;
  saved(place: string): Promise<void>;
  /** A save failed; the run goes on in memory when the gate is opened again. */
  saveFailed(error: unknown): void;
  /** The run ended by itself: undefined where everything is done. */
  ended(error: unknown): void;
}

/** A run; see the head of this file. */
export class TabRun {
  readonly folder: Folder;
  readonly gate: Gate;
  readonly groups = new GroupWatch();
  recipe: Recipe;
  notes: TabNotes;
  /** Iterations of R1-Zero that are done. */
  iteration = 0;
  isFinished = false;
  #stage: string | undefined;
  readonly #compute: Computing;
  readonly #listener: RunListener;
  #store: FolderRun | undefined;
  #prepared: OpenModel | undefined;
  #session: SamplingSession | undefined;
  #stop = new AbortController();
  #isLeaving = false;
  /** What holds from the next checkpoint on. */
  #next: { readonly recipe: Recipe; readonly settings: Partial<TabSettings> } | undefined;
  #driving: Promise<void> | undefined;
  #hasShownGroup = true;
  #hasStepped = false;
  #isFreezing = false;
  /** Steps of the cold start that are done, and after how many it was tried out last. */
  #lessons = 0;
  #triedAfter: number | undefined;
  readonly #awaiting: (() => void)[] = [];

  /** `listenerOf` makes the run's own listener. */
  constructor(
    folder: Folder,
    compute: Computing,
    recipe: Recipe,
    notes: TabNotes,
    listenerOf: (run: TabRun) => RunListener,
  ) {
    this.folder = folder;
    this.#compute = compute;
    this.recipe = recipe;
    this.notes = notes;
    this.gate = new Gate(() => this.#listener.changed());
    this.#listener = listenerOf(this);
  }

  /**
   * Begins a run in `folder`, which is empty, and writes what says that it is there. `weights`: those of a finished cold
   * start, as a model in a folder; without it the run begins with random ones.
   */
  static async begin(folder: Folder, compute: Computing, recipe: Recipe, from: StartingPoint, weights?: Uint8Array) {
    const notes: TabNotes = { from, changes: [] };
    await writeJson(folder, TAB_FILE, notes);
    const store = await FolderRun.create(folder, recipe);
    if (weights) await writeColdStart(store, folder, compute, recipe, weights);
    return notes;
  }

  /** The recipe and the notes of the run in `folder`; undefined where there is none. */
  static async find(folder: Folder): Promise<{ readonly recipe: Recipe; readonly notes: TabNotes } | undefined> {
    const [recipe, notes] = await Promise.all([RECIPE_FILE, TAB_FILE].map((name) => folder.readText(name, LIMIT)));
    if (recipe === undefined || notes === undefined) return undefined;
    const parsed = (name: string, text: string) => parseJson(text, folder.pathOf(name), RunDirError);
    return { recipe: parsed(RECIPE_FILE, recipe) as Recipe, notes: parsed(TAB_FILE, notes) as TabNotes };
  }

  get settings(): TabSettings {
    return tabSettingsOf(this.#next?.recipe ?? this.recipe);
  }

  get activity(): Activity {
    if (this.isFinished) return "finished";
    if (!this.gate.isOpen) return this.gate.isHolding || this.#driving === undefined ? "paused" : "pausing";
    return this.#stage === COLD_START ? "cold-start" : "training";
  }

  /** The model as it is; undefined while it is being opened. */
  get model(): RecipeParts | undefined {
    return this.#prepared;
  }

  /** The last iteration that is logged, its timings too. */
  get newestIteration(): IterationMetrics | undefined {
    if (this.#store === undefined) return undefined;
    const { metrics, timings } = this.#store.readLogs();
    return historyOf(metrics, timings, this.notes.changes).at(-1);
  }

  /** What `groups` needs to tell of one. */
  get watched() {
    const { tokenizer, task } = this.#prepared!;
    const { temperature, rewards } = r1ZeroOf(this.recipe) as unknown as {
      readonly temperature: number;
      readonly rewards: readonly { readonly name: string; readonly weight: number }[];
    };
    const problemOf = (promptId: number) => {
      const { nums, target } = task.trainProblem(promptId).columns as { nums: readonly unknown[]; target: unknown };
      return { numbers: nums.map(Number), target: Number(target) };
    };
    return { tokenizer, temperature, problemOf, weights: new Map(rewards.map(({ name, weight }) => [name, weight])) };
  }

  /** The model, once it is open. Throws ConfigError where the run has ended without one. */
  async opened(): Promise<RecipeParts> {
    while (this.#prepared === undefined) {
      if (this.#driving === undefined)
        throw new ConfigError("This run has no model open: go on with it, or start another.");
      await new Promise<void>((resume) => this.#awaiting.push(resume));
    }
    return this.#prepared;
  }

  /** Lets those go on who wait for the model, or for the run's end. */
  #wake(): void {
    for (const resume of this.#awaiting.splice(0)) resume();
  }

  /** The model as it answers questions. */
  async answering(): Promise<AskedModel> {
    const { recipe, tokenizer, engine } = await this.opened();
    const policy = engine as Policy;
    this.#session ??= policy.openSession!();
    return { recipe, tokenizer, engine: policy, session: this.#session, iteration: this.iteration };
  }

  /** Runs, from the newest checkpoint on, while the gate is open. */
  drive(): void {
    this.#driving ??= this.#driveOn().finally(() => {
      this.#driving = undefined;
      this.#wake();
    });
  }

  /** Opens the model of a run that is complete. */
  async openFinished(): Promise<void> {
    const parts = await openRecipeParts(this.recipe, this.folder.folder(RUN_FILES.model).path, {
      compute: this.#compute,
    });
    this.#prepared = { ...parts, close: () => parts.engine.dispose() };
    this.iteration = iterationsOf(this.recipe);
    this.isFinished = true;
  }

  /** Takes another recipe from the next iteration on. */
  change(recipe: Recipe, settings: Partial<TabSettings>): void {
    this.#next = { recipe, settings: { ...this.#next?.settings, ...settings } };
    this.#stop.abort();
    this.#listener.changed();
    // A run that waits at the gate has to come to its next checkpoint; it waits again after that.
    if (this.gate.isHolding) this.#leaveGate();
  }

  #leaveGate(): void {
    this.gate.open(0);
  }

  /** Stops, and releases the model. What was saved stays. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    this.#stop.abort();
    this.#leaveGate();
    await this.#driving;
    await this.#close();
  }

  async #driveOn(): Promise<void> {
    for (;;) {
      try {
        await this.#runOnce();
        this.isFinished = true;
        this.#listener.changed();
        return;
      } catch (error) {
        if (this.#isLeaving) return;
        if (!(error instanceof RunInterrupted) || this.#next === undefined) {
          this.#listener.ended(error);
          return;
        }
        await this.#takeNext();
      }
    }
  }

  async #runOnce(): Promise<void> {
    await this.#close();
    this.#stop = new AbortController();
    const store = await FolderRun.resume(this.folder, this.recipe);
    const prepared = await openRun(this.recipe, this.#observed(store), { compute: this.#compute });
    const engine = this.#watchedEngine(prepared.engine as Policy);
    this.#prepared = { ...prepared, engine };
    this.#stage = store.resumedFrom?.manifest.stage ?? COLD_START;
    this.iteration = store.resumedFrom ? iterationOfState(store.resumedFrom) : 0;
    this.#lessons = this.#stage === COLD_START ? (store.resumedFrom?.manifest.step ?? 0) : 0;
    this.#triedAfter = undefined;
    this.#store = await this.#freezeLate(store, engine);
    const watched = { ...prepared, engine, directory: this.#observed(this.#store) };
    this.#wake();
    this.#listener.changed();
    await runRecipe(watched, { signal: this.#stop.signal, observe: (event) => this.#observe(event) });
  }

  /** With the recipe that was asked for, from the checkpoint that the run has stopped at. */
  async #takeNext(): Promise<void> {
    const { recipe, settings } = this.#next!;
    this.#next = undefined;
    this.#isFreezing = klCoefOf(this.recipe) === 0 && klCoefOf(recipe) > 0;
    this.notes = { ...this.notes, changes: [...this.notes.changes, { iteration: this.iteration + 1, settings }] };
    await writeJson(this.folder, TAB_FILE, this.notes);
    await writeJson(this.folder, RECIPE_FILE, recipe);
    this.recipe = recipe;
  }

  /**
   * A KL term that begins in the middle of a stage has the policy of that moment as its reference. Returns the store to go on
   * with: where a reference was frozen, it is open at the state with it.
   */
  async #freezeLate(store: FolderRun, engine: Policy): Promise<FolderRun> {
    const { resumedFrom } = store;
    const isWanted = this.#isFreezing && resumedFrom?.manifest.stage === R1_ZERO;
    this.#isFreezing = false;
    if (!isWanted) return store;
    await engine.loadState(resumedFrom.directory);
    await engine.freezeReference();
    const { stage, step, trainerState, stageComplete } = resumedFrom.manifest;
    const request = { stage, step, trainerState, stageComplete, keep: this.recipe.keepCheckpoints };
    await store.saveCheckpoint(request, (place) => engine.saveState(place));
    return FolderRun.resume(this.folder, this.recipe);
  }

  #observe(event: RunEvent): void {
    if (event.type === "stage-started") this.#stage = event.stage.name;
    if (event.type === "progress" && event.progress.phase === "sampling" && this.#stop.signal.aborted) {
      // What is sampled just now is sampled again, the same; the newest checkpoint is that of the last iteration.
      throw new RunInterrupted("Stopped while sampling.");
    }
    if (event.type === "metrics") {
      if (event.stage === R1_ZERO) this.iteration = (event.row.iteration ?? 0) + 1;
      else this.#lessons = event.row.step;
    }
    this.#listener.event(event);
    if (event.type === "timing") this.gate.countUnit();
  }

  #watchedEngine(engine: Policy): Policy {
    return overriding<Policy>(engine, {
      sample: async (prompts, params, onProgress) => {
        await this.gate.pass();
        const sequences = await engine.sample(prompts, params, onProgress);
        this.groups.sampled(prompts, sequences);
        return sequences;
      },
      step: async (data, loss, adam) => {
        await this.gate.pass();
        if (this.#stage === COLD_START) await this.#tryOut();
        this.#hasStepped = true;
        return engine.step(data, loss, adam);
      },
    });
  }

  /** Now and then in the cold start, before the next step. */
  async #tryOut(): Promise<void> {
    const step = this.#lessons;
    if (!isTryOutDue(step) || this.#triedAfter === step || this.#stop.signal.aborted) return;
    this.#triedAfter = step;
    const parts = this.#prepared!;
    const { result, rows } = await tryOut(parts.engine as Policy, parts, step, (progress) => {
      this.#listener.trying({ iteration: step, ...progress });
    });
    this.groups.rollouts(rows, step);
    const before = (this.notes.tryOuts ?? []).filter((one) => one.step < step);
    this.notes = { ...this.notes, tryOuts: [...before, result] };
    this.#listener.triedOut(result);
    // Where there is no room for it, there is none for the checkpoint either, which says so.
    await writeJson(this.folder, TAB_FILE, this.notes).catch(() => {});
  }

  /** Before the save that ends an iteration: there the weights are those after its step. */
  async #showGroup(): Promise<void> {
    if (this.#hasShownGroup) return;
    this.#hasShownGroup = true;
    if (this.#hasStepped) {
      this.#listener.scoring();
      await this.groups.score(this.#prepared!.engine as Policy, this.watched.temperature);
    }
    this.#hasStepped = false;
    this.#listener.group();
  }

  #observed(store: FolderRun): RunStore {
    return overriding<RunStore>(store, {
      stage: (name) => {
        const writer = store.stage(name);
        return {
          ...writer,
          rollouts: (rows) => {
            this.groups.rollouts(rows);
            this.#hasShownGroup = this.groups.isEmpty;
            writer.rollouts(rows);
          },
        };
      },
      saveCheckpoint: async (request, write) => {
        await this.#showGroup();
        this.#listener.saving();
        try {
          const saved = await store.saveCheckpoint(request, write);
          await this.#listener.saved(saved.directory);
          return saved;
        } catch (error) {
          this.#listener.saveFailed(error);
          // The run goes on in memory; what was saved before is there.
          return { directory: "", name: "", manifest: request };
        }
      },
    });
  }

  async #close(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    await this.#session?.close();
    this.#session = undefined;
    await prepared?.close();
  }
}

const klCoefOf = (recipe: Recipe): number => tabSettingsOf(recipe).klCoef;

/** Iterations of R1-Zero that a state has seen. */
export function iterationOfState({ manifest }: SavedState): number {
  const { stage, step, trainerState } = manifest;
  return stage === R1_ZERO ? Number(trainerState.iteration ?? step) : 0;
}
