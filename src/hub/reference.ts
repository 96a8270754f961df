/**
 * How a repository of the Hub is named: `org/name`, optionally `@revision` with a branch, a tag or a commit hash.
 *
 * The same text could be a relative path, so a name is only ever tried where no such path exists (`resolve.ts`). A
 * repository without an owner, such as the old `gpt2`, has to be written with the owner that it has today.
 */

import { ConfigError } from "../errors.ts";

/** What a repository holds. */
export type RepositoryKind = "model" | "dataset";

/** A repository at a revision. */
export interface HubReference {
  readonly kind: RepositoryKind;
  /** `org/name`. */
  readonly name: string;
  /** As it was written; undefined means the branch `main`. */
  readonly revision: string | undefined;
}

/** The branch of a reference that names none. */
export const DEFAULT_REVISION = "main";

/** Names of owners and repositories: what the Hub accepts, which leaves no way out of a folder. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/;
const REVISION = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,253}[A-Za-z0-9_-])?$/;
const COMMIT = /^[0-9a-f]{40}$/;

/** Whether a revision is a full commit hash, which always means the same files. */
export function isCommitHash(revision: string | undefined): revision is string {
  return revision !== undefined && COMMIT.test(revision);
}

/** The repository that a text names, or undefined where it has not the form `org/name[@revision]`. */
export function parseHubReference(text: string, kind: RepositoryKind): HubReference | undefined {
  const at = text.indexOf("@");
  const name = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? undefined : text.slice(at + 1);
  const parts = name.split("/");
  if (parts.length !== 2 || !parts.every(isName)) return undefined;
  if (revision !== undefined && !isRevision(revision)) return undefined;
  return { kind, name, revision };
}

/**
 * `parseHubReference` where nothing else is meant.
 *
 * @throws ConfigError that shows the form
 */
export function requireHubReference(text: string, kind: RepositoryKind): HubReference {
  const reference = parseHubReference(text, kind);
  if (reference !== undefined) return reference;
  const example = kind === "model" ? "Qwen/Qwen2.5-0.5B" : "Jiayi-Pan/Countdown-Tasks-3to4";
  throw new ConfigError(
    `${JSON.stringify(text)} does not name a ${KIND_TEXT[kind]} of the Hub. Expected org/name or org/name@revision, ` +
      `e.g. ${example} or ${example}@main.`,
  );
}

/** `org/name@revision`, or `org/name` where there is none. */
export function formatHubReference({ name, revision }: Pick<HubReference, "name" | "revision">): string {
  return revision === undefined ? name : `${name}@${revision}`;
}

/** The command that downloads a repository, for messages. */
export function pullCommand(reference: HubReference): string {
  return `aha ${reference.kind === "model" ? "model" : "data"} pull ${formatHubReference(reference)}`;
}

/** Kinds as sentences have them. */
export const KIND_TEXT: Readonly<Record<RepositoryKind, string>> = { model: "model", dataset: "data set" };

function isName(part: string): boolean {
  return NAME.test(part) && !part.includes("--") && !part.includes("..") && !part.endsWith(".git");
}

function isRevision(revision: string): boolean {
  return REVISION.test(revision) && !revision.includes("..") && !revision.includes("//");
}
