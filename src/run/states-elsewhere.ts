/**
 * States whose content an engine keeps elsewhere: their folders only name it. What the folders name that a run removes goes
 * after them, unless another one names it too. So a run that is killed in between leaves something behind elsewhere, and never
 * a folder whose content is gone.
 */

/** What an engine keeps elsewhere of the states in folders here (`StatesElsewhere` of the engine contract). */
export interface KeptElsewhere {
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
  const namedBy = async (directories: readonly string[]) =>
    (await Promise.all(directories.map((directory) => elsewhere?.namedBy(directory) ?? []))).flat();
  const gone = [...replaced, ...(await namedBy(old))];
  await remove();
  const named = new Set(await namedBy(kept));
  const names = [...new Set(gone)].filter((name) => !named.has(name));
  if (names.length > 0) await elsewhere?.remove(names);
}
