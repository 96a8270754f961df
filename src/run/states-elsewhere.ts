/**
 * States whose content an engine keeps elsewhere: their folders only name it. What the folders name that a run removes goes
 * after them, unless another one names it too. So a run that is killed in between leaves something behind elsewhere, and never
 * a folder whose content is gone. It is the same where a folder cannot be read: what it names is not known, so that it stays.
 */

import { CheckpointError } from "../errors.ts";

/** What an engine keeps elsewhere of the states in folders here (`StatesElsewhere` of the engine contract). */
export interface KeptElsewhere {
  /** Throws CheckpointError for a folder that cannot be read. */
  namedBy(directory: string): Promise<readonly string[]>;
  remove(names: readonly string[]): Promise<void>;
}

/**
 * Removes the folders of `old`, by `remove`, and then what they name and those of `kept` do not; with it `replaced`, the names
 * in a folder that another one has taken the place of.
 */
export async function removeWithContent(
  elsewhere: KeptElsewhere | undefined,
  {
    old,
    kept,
    replaced = [],
  }: { readonly old: readonly string[]; readonly kept: readonly string[]; readonly replaced?: readonly string[] },
  remove: () => Promise<void>,
): Promise<void> {
  if (old.length === 0 && replaced.length === 0) return;
  const gone = [...replaced, ...(await Promise.all(old.map((directory) => namesGivenUp(elsewhere, directory)))).flat()];
  await remove();
  if (elsewhere === undefined || gone.length === 0) return;
  const stillNamed = await Promise.all(kept.map((directory) => namesIn(elsewhere, directory)));
  const named = new Set<string>();
  for (const names of stillNamed) {
    // It may name any of them.
    if (names === undefined) return;
    for (const name of names) named.add(name);
  }
  const names = [...new Set(gone)].filter((name) => !named.has(name));
  if (names.length > 0) await elsewhere.remove(names);
}

/** What a folder that is about to go names; none where it cannot be read. */
export async function namesGivenUp(
  elsewhere: KeptElsewhere | undefined,
  directory: string,
): Promise<readonly string[]> {
  return (elsewhere && (await namesIn(elsewhere, directory))) ?? [];
}

/** What a folder names; undefined: it cannot be read. */
async function namesIn(elsewhere: KeptElsewhere, directory: string): Promise<readonly string[] | undefined> {
  try {
    return await elsewhere.namedBy(directory);
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}
