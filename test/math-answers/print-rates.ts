/** `npm run math:corpus [FILE.json]`: the rates of the corpora, or those of another file in the same form; --json for programs. */

import { readFileSync } from "node:fs";
import { blind, corpus, countCategory, examination, kinds, type Pair } from "./corpus.ts";

/** Categories of several have the same names in places. */
const renamed = (by: string, pairs: typeof examination) =>
  Object.fromEntries(Object.entries(pairs).map(([category, of]) => [`${by}: ${category}`, of]));

const args = process.argv.slice(2);
const file = args.find((arg) => !arg.startsWith("--"));
const categories =
  file === undefined
    ? { ...corpus, ...renamed("examiner", examination), ...renamed("blind", blind), ...kinds }
    : (JSON.parse(readFileSync(file, "utf8")) as Record<string, Pair[]>);
const rates = Object.entries(categories).map(([category, pairs]) => ({ category, ...countCategory(pairs) }));
if (args.includes("--json")) console.log(JSON.stringify(rates));
else {
  const share = (right: number, of: number) =>
    of === 0 ? "-" : `${right}/${of} (${((100 * right) / of).toFixed(1)} %)`;
  console.log(`${"category".padEnd(64)}${"equal".padEnd(18)}unequal`);
  for (const { category, equal, equalRight, unequal, unequalRight, failures } of rates) {
    console.log(`${category.padEnd(64)}${share(equalRight, equal).padEnd(18)}${share(unequalRight, unequal)}`);
    for (const failure of failures) console.log(`    ${failure.replace(/\s+/g, " ")}`);
  }
}
