/** What the values of a column are, in words, from rows that were looked at: for people who look at a data set. */

import { ExactNumber } from "../exact-json.ts";
import type { DataRow } from "./row.ts";

/**
 * The type of each column over `rows`, in the order in which the columns appear: `text`, `whole number`, `number`,
 * `true or false`, `list of …`, `mapping of role: text, content: text`; where rows differ, all of them joined by ` or `.
 */
export function columnTypes(rows: readonly DataRow[]): { readonly name: string; readonly type: string }[] {
  const values = new Map<string, unknown[]>();
  for (const { fields } of rows) {
    for (const [name, value] of Object.entries(fields)) values.set(name, [...(values.get(name) ?? []), value]);
  }
  return [...values].map(([name, found]) => {
    const isPartial = found.length < rows.length;
    return { name, type: isPartial ? `${typeOfAll(found)} or absent` : typeOfAll(found) };
  });
}

/** What all of these values are. */
function typeOfAll(values: readonly unknown[]): string {
  const lists = values.filter((value) => Array.isArray(value));
  const mappings = values.filter((value) => !isScalar(value) && !Array.isArray(value));
  const types = new Set(values.filter(isScalar).map(typeOfScalar));
  if (types.has("number")) types.delete("whole number");
  const isNull = types.delete("null");
  if (lists.length > 0) {
    const items = lists.flat();
    types.add(items.length === 0 ? "empty list" : `list of ${typeOfAll(items)}`);
  }
  if (mappings.length > 0) types.add(typeOfMappings(mappings as Readonly<Record<string, unknown>>[]));
  return [...types, ...(isNull ? ["null"] : [])].join(" or ");
}

function isScalar(value: unknown): boolean {
  return typeof value !== "object" || value === null || value instanceof ExactNumber;
}

function typeOfScalar(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") return "text";
  if (typeof value === "boolean") return "true or false";
  return typeof value === "bigint" || Number.isInteger(value) ? "whole number" : "number";
}

function typeOfMappings(mappings: readonly Readonly<Record<string, unknown>>[]): string {
  const keys = [...new Set(mappings.flatMap((mapping) => Object.keys(mapping)))];
  const typed = keys.map((key) => {
    const values = mappings.flatMap((mapping) => (key in mapping ? [mapping[key]] : []));
    return `${key}: ${typeOfAll(values)}`;
  });
  return `mapping of ${typed.join(", ") || "nothing"}`;
}
