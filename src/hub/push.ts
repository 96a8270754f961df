/**
 * A checkpoint directory to the Hub, as one commit: either all of its files are in the repository afterwards, or none.
 *
 * The repository is made if there is none. Large files are uploaded first, by their hash, so a push that was cut does
 * not upload them again; the commit that names them is the last request. Files that the repository has and the
 * directory has not stay. The upload itself is @huggingface/hub's (large-file storage, in parts, or Xet where the server
 * asks for it).
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { HubError, RunInterrupted } from "../errors.ts";
import { contentFailure, HubFailure, hostOf, pageOf } from "./failure.ts";
import { type ModelCardFacts, modelCard, type TrainingFacts } from "./model-card.ts";
import { modelFilesOf, type PushFile } from "./model-files.ts";
import { DEFAULT_REVISION, type HubReference } from "./reference.ts";
import { hubCall, hubFetch, type RequestContext } from "./requests.ts";
import type { HubSettings } from "./settings.ts";

const CARD = "README.md";

/** How far a push is. */
export interface PushProgress {
  readonly phase: "hashing" | "uploading" | "committing";
  readonly bytesDone: number;
  readonly bytes: number;
  readonly files: number;
}

/** How a checkpoint is pushed. */
export interface PushOptions {
  readonly settings: HubSettings;
  readonly signal?: AbortSignal | undefined;
  /** A new repository is private; one that exists has to be. */
  readonly isPrivate?: boolean | undefined;
  /** The branch to commit to; made from `main` if there is none. */
  readonly branch?: string | undefined;
  readonly message?: string | undefined;
  /** For the model card, where the directory has none. */
  readonly baseModel?: string | undefined;
  readonly training?: TrainingFacts | undefined;
  readonly onProgress?: ((progress: PushProgress) => void) | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

/** What a push made. */
export interface PushResult {
  readonly commit: string;
  /** The repository's page. */
  readonly url: string;
  readonly created: boolean;
  readonly files: readonly PushFile[];
  /** What the directory has and was not pushed. */
  readonly leftOut: readonly string[];
}

/**
 * Commits the model in `directory` to the repository `name` (`org/name`).
 *
 * @throws CheckpointError where the directory is no whole checkpoint; HubError; RunInterrupted. Then nothing is committed
 */
export async function pushModel(directory: string, name: string, options: PushOptions): Promise<PushResult> {
  const { settings, signal, branch } = options;
  const reference: HubReference = { kind: "model", name, revision: branch };
  const context: RequestContext = { reference, purpose: "write", settings, signal, onWait: options.onNote };
  if (settings.offline) throw new HubError("Offline mode (HF_HUB_OFFLINE) allows no upload. Unset it to push.");
  if (settings.token === undefined) {
    throw new HubError(
      `Set HF_TOKEN to a token that may write to ${name}; it is made at ${settings.endpoint}/settings/tokens.`,
    );
  }
  const { files, leftOut } = await modelFilesOf(directory, settings.token);
  try {
    const created = await ensureRepository(context, options.isPrivate === true);
    if (branch !== undefined && branch !== DEFAULT_REVISION) await ensureBranch(context, branch);
    const uploads = files.map((file) => ({ file, content: pathToFileURL(join(directory, file.path)) as URL | Blob }));
    if (!files.some(({ path }) => path === CARD) && !(await hasCard(context, branch))) {
      const card = new Blob([modelCard(cardFacts(name, files, options))]);
      uploads.push({ file: { path: CARD, sizeBytes: card.size }, content: card });
    }
    const commit = await commitFiles(uploads, context, options);
    return { commit, url: pageOf(reference, settings), created, files: uploads.map(({ file }) => file), leftOut };
  } catch (error) {
    if (!(error instanceof RunInterrupted)) throw error;
    throw new RunInterrupted("Stopped; nothing was committed. What was uploaded is not uploaded again next time.");
  }
}

function cardFacts(name: string, files: readonly PushFile[], { baseModel, training }: PushOptions): ModelCardFacts {
  const has = (path: string) => files.some((file) => file.path === path);
  return { name, isAdapter: has("adapter_config.json") && !has("config.json"), baseModel, training };
}

/** Makes the repository unless it exists; true where it was made. */
async function ensureRepository(context: RequestContext, isPrivate: boolean): Promise<boolean> {
  const { reference, settings } = context;
  const hub = await import("@huggingface/hub");
  const fetch = hubFetch(context);
  const isThere = async (): Promise<boolean> => {
    try {
      const info = await hubCall(context, () =>
        hub.modelInfo({ name: reference.name, revision: DEFAULT_REVISION, hubUrl: settings.endpoint, fetch }),
      );
      if (isPrivate && info.private !== true) {
        throw new HubError(
          `${reference.name} exists and is public, but --private was asked for. Nothing was pushed. Make it private at ` +
            `${pageOf(reference, settings)}/settings, or choose another name.`,
        );
      }
      return true;
    } catch (error) {
      if (!(error instanceof HubFailure)) throw error;
      // A repository without a commit has no branch main yet.
      if (error.kind === "no-revision") return true;
      if (error.kind !== "no-repository") throw error;
      return false;
    }
  };
  if (await isThere()) return false;
  try {
    await hubCall(context, () =>
      hub.createRepo({
        repo: { type: "model", name: reference.name },
        ...(isPrivate ? { visibility: "private" as const } : {}),
        hubUrl: settings.endpoint,
        fetch,
        // `hubFetch` adds the token. The library would refuse one that does not look like those of huggingface.co.
        credentials: { accessToken: "" },
      }),
    );
    return true;
  } catch (error) {
    // Another process has created it in the meantime.
    if (error instanceof HubFailure && error.kind === "exists") return !(await isThere());
    throw error;
  }
}

async function ensureBranch(context: RequestContext, branch: string): Promise<void> {
  const { reference, settings } = context;
  const hub = await import("@huggingface/hub");
  const repo = { type: "model" as const, name: reference.name };
  try {
    await hubCall(context, () =>
      hub.createBranch({ repo, branch, hubUrl: settings.endpoint, fetch: hubFetch(context) }),
    );
  } catch (error) {
    if (!(error instanceof HubFailure) || error.kind !== "exists") throw error;
  }
}

/** Whether the branch has a model card: another person may have written one there. */
async function hasCard(context: RequestContext, branch: string | undefined): Promise<boolean> {
  const { reference, settings } = context;
  const hub = await import("@huggingface/hub");
  const repo = { type: "model" as const, name: reference.name };
  const revision = branch ?? DEFAULT_REVISION;
  try {
    const found = await hubCall(context, () =>
      hub.pathsInfo({ repo, paths: [CARD], revision, hubUrl: settings.endpoint, fetch: hubFetch(context) }),
    );
    return found.length > 0;
  } catch (error) {
    // A repository that was just made has no commit.
    if (error instanceof HubFailure && (error.kind === "no-revision" || error.kind === "no-repository")) return false;
    throw error;
  }
}

async function commitFiles(
  uploads: readonly { readonly file: PushFile; readonly content: URL | Blob }[],
  context: RequestContext,
  options: PushOptions,
): Promise<string> {
  const { settings, reference } = context;
  const hub = await import("@huggingface/hub");
  const sizes = new Map(uploads.map(({ file }) => [file.path, file.sizeBytes]));
  const bytes = uploads.reduce((sum, { file }) => sum + file.sizeBytes, 0);
  const events = hub.commitIter({
    repo: { type: "model", name: reference.name },
    operations: uploads.map(({ file, content }) => ({ operation: "addOrUpdate", path: file.path, content })),
    title: options.message ?? "Upload model with Aha",
    branch: options.branch ?? DEFAULT_REVISION,
    hubUrl: settings.endpoint,
    fetch: hubFetch(context),
    ...(context.signal === undefined ? {} : { abortSignal: context.signal }),
  });
  const result = await hubCall(context, async () => {
    let phase: PushProgress["phase"] = "hashing";
    const shares = new Map<string, number>();
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.event === "phase") {
        if (event.phase === "committing") phase = "committing";
        else continue;
      } else {
        const current = event.state === "hashing" ? "hashing" : "uploading";
        // Files are hashed together, then uploaded together.
        if (phase !== current && phase !== "committing") {
          phase = current;
          shares.clear();
        }
        shares.set(event.path, event.progress);
      }
      const sent = [...shares].reduce((sum, [path, share]) => sum + share * (sizes.get(path) ?? 0), 0);
      const bytesDone = phase === "committing" ? bytes : Math.min(bytes, Math.round(sent));
      options.onProgress?.({ phase, bytesDone, bytes, files: uploads.length });
    }
  });
  const commit = result?.commit.oid;
  if (commit === undefined)
    throw contentFailure(`${hostOf(settings)} did not say which commit it made. Look at its page.`);
  return commit;
}
