/**
 * What Aha does with one key of a TRL recipe. There are three answers: it becomes a key of the recipe, it has no
 * meaning here for a reason that is given, or it is refused because it asks for a feature that Aha does not have. A key
 * that is in no table is an error.
 */

/** What a value has to be. Text that reads as a number or as true or false is taken for one, as Python's argparse does. */
export type ValueKind =
  | "text"
  | "texts"
  | "numbers"
  | "boolean"
  | "mapping"
  | "mappings"
  | "number"
  | "positive"
  | "notNegative"
  | "share"
  | "shareAboveZero"
  | "belowOne"
  | "betweenZeroAndOne"
  | "whole"
  | "seed"
  | "anyWhole"
  | "scale";

export type KeyRule =
  /** The conversion reads it. */
  | { readonly effect: "becomes"; readonly kind: ValueKind }
  /** It changes nothing here, whatever its value. */
  | { readonly effect: "nothing"; readonly why: string }
  /** It would change what is learned, in a way that Aha has not; only the values in `unless` ask for nothing. */
  | { readonly effect: "refused"; readonly why: string; readonly unless: readonly unknown[] };

export type KeyEntry = readonly [key: string, rule: KeyRule];

/** Entries of keys that the conversion reads. */
export function becomes(kind: ValueKind, ...keys: readonly string[]): KeyEntry[] {
  return keys.map((key) => [key, { effect: "becomes", kind }]);
}

/** Entries of keys without meaning here, for one reason. */
export function nothing(why: string, ...keys: readonly string[]): KeyEntry[] {
  return keys.map((key) => [key, { effect: "nothing", why }]);
}

/** Entry of a key that is refused with every value but those in `unless` (null, TRL's None, is always one). */
export function refused(key: string, why: string, ...unless: readonly unknown[]): KeyEntry {
  return [key, { effect: "refused", why, unless }];
}
