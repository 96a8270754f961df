/** Jinja2's filters, by name. */

import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { UNSUPPORTED_FILTERS } from "./filter-names.ts";
import { sequenceFilters } from "./sequence-filters.ts";
import { TEXT_FILTERS } from "./text-filters.ts";
import type { Keywords, Value } from "./values.ts";

const FILTERS = new Map(Object.entries({ ...TEXT_FILTERS, ...sequenceFilters(callFilter) }));

/** `value | name(args, keywords)`. Throws TemplateError for a name that Jinja2 does not have either. */
export function callFilter(name: string, value: Value, args: readonly Value[], keywords: Keywords): Value {
  const filter = FILTERS.get(name);
  if (filter !== undefined) return filter(value, args, keywords);
  if (UNSUPPORTED_FILTERS.has(name)) throw new UnsupportedTemplateError(`the filter ${name}`);
  throw new TemplateError(`No filter named '${name}'.`);
}
