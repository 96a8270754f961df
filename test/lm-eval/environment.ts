/** A Python with lm-eval for the comparison. */

import { pythonWith } from "../python/environment.ts";

const VERSION = "0.4.13";

/** Its interpreter. Throws an Error that says what is missing and what to do. */
export function pythonWithLmEval(): Promise<string> {
  const plain = ["torch", "transformers", "accelerate", "peft", "requests", "aiohttp", "tenacity"];
  return pythonWith({
    name: "lm-eval",
    minor: 10,
    modules: { ...Object.fromEntries(plain.map((name) => [name, name])), lm_eval: `lm-eval==${VERSION}` },
  });
}
