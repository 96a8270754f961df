/** What the Hub says about a repository: the commit of a revision, and the files of a commit. */

import { z } from "zod";
import { contentFailure, HubFailure, hostOf } from "./failure.ts";
import { DEFAULT_REVISION, isCommitHash } from "./reference.ts";
import { isSafePath, type RemoteFile } from "./remote-file.ts";
import { hubCall, hubFetch, type RequestContext } from "./requests.ts";

/** No repository that can be used here has more files. */
const MAX_FILES = 100_000;
const MAX_NAMED_REVISIONS = 8;

const entrySchema = z.looseObject({
  type: z.string(),
  path: z.string(),
  size: z.int().min(0).optional(),
  oid: z
    .string()
    .regex(/^[0-9a-f]{40}$/)
    .optional(),
  lfs: z.looseObject({ oid: z.string().regex(/^(?:sha256:)?[0-9a-f]{64}$/), size: z.int().min(0) }).nullish(),
  xetHash: z.string().nullish(),
});

/**
 * The commit hash of the reference's revision, now.
 *
 * @throws HubFailure, of a revision that does not exist one that names those that do
 */
export async function lookUpCommit(context: RequestContext): Promise<string> {
  const { reference, settings } = context;
  const { name, kind } = reference;
  const hub = await import("@huggingface/hub");
  const options = {
    name,
    revision: reference.revision ?? DEFAULT_REVISION,
    hubUrl: settings.endpoint,
    fetch: hubFetch(context),
  };
  try {
    const { sha } = await hubCall(context, () =>
      kind === "model"
        ? hub.modelInfo({ ...options, additionalFields: ["sha"] })
        : hub.datasetInfo({ ...options, additionalFields: ["sha"] }),
    );
    if (isCommitHash(sha)) return sha;
  } catch (error) {
    if (!(error instanceof HubFailure) || error.kind !== "no-revision") throw error;
    throw new HubFailure("no-revision", `${error.message}${await revisionsHint(context)}`);
  }
  throw contentFailure(`${hostOf(settings)} gave no commit for ${name}. Is HF_ENDPOINT the address of a Hub?`);
}

/** The files of a commit. */
export async function listFiles(context: RequestContext, commit: string): Promise<RemoteFile[]> {
  const { reference, settings } = context;
  const hub = await import("@huggingface/hub");
  const repo = { type: reference.kind, name: reference.name };
  const entries = hub.listFiles({
    repo,
    revision: commit,
    recursive: true,
    hubUrl: settings.endpoint,
    fetch: hubFetch(context),
  });
  return hubCall(context, async () => {
    const files: RemoteFile[] = [];
    for await (const entry of entries) {
      const file = remoteFile(entrySchema.parse(entry));
      if (file !== undefined) files.push(file);
      if (files.length > MAX_FILES) {
        throw contentFailure(`${reference.name} has more than ${MAX_FILES} files; it is too large to be used here.`);
      }
    }
    return files;
  });
}

function remoteFile(entry: z.infer<typeof entrySchema>): RemoteFile | undefined {
  if (entry.type !== "file") return undefined;
  const { path, oid, lfs } = entry;
  if (!isSafePath(path)) {
    throw contentFailure(
      `The list of files has ${JSON.stringify(path)}, which could lead out of the cache. Nothing was downloaded.`,
    );
  }
  const sizeBytes = lfs?.size ?? entry.size;
  if (oid === undefined || sizeBytes === undefined) throw contentFailure(`The list of files tells no hash of ${path}.`);
  return {
    path,
    sizeBytes,
    gitHash: oid,
    sha256: lfs?.oid.replace("sha256:", ""),
    xetHash: entry.xetHash ?? undefined,
  };
}

/** ` It has: main, v1.`, or nothing where the Hub does not tell. */
async function revisionsHint(context: RequestContext): Promise<string> {
  const { kind, name } = context.reference;
  try {
    const answer = await hubFetch(context)(`${context.settings.endpoint}/api/${kind}s/${name}/refs`);
    const named = z.array(z.looseObject({ name: z.string().refine(isSafePath) }));
    const refs = z.looseObject({ branches: named, tags: named }).parse(await answer.json());
    const names = [...refs.branches, ...refs.tags].map((ref) => ref.name);
    if (names.length === 0) return "";
    const more = names.length > MAX_NAMED_REVISIONS ? ", …" : "";
    return ` It has: ${names.slice(0, MAX_NAMED_REVISIONS).join(", ")}${more}.`;
  } catch (error) {
    if (error instanceof HubFailure || error instanceof z.ZodError || error instanceof SyntaxError) return "";
    throw error;
  }
}
