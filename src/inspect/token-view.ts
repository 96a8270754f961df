/**
 * A completion as its tokens: what each adds to the text, with the numbers that the run recorded of it. Tokens that are a
 * part of a character have no text of their own: the whole character stands with the last of them.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { RUN_FILES } from "../run/run-store.ts";
import type { HuggingFaceTokenizer } from "../tokenizer/huggingface.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";

/** Texts of the tokens of one completion; "" where a later token completes the character. */
export function tokenTexts(
  tokens: readonly number[],
  tokenizer: Pick<HuggingFaceTokenizer, "tokenBytes" | "decode">,
): string[] {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return tokens.map((token, i) => {
    const bytes = tokenizer.tokenBytes(token);
    // Special tokens add nothing to a text; somebody who looks at tokens wants to see them.
    const shown = bytes.length > 0 ? bytes : new TextEncoder().encode(tokenizer.decode([token], { keepSpecial: true }));
    return decoder.decode(shown, { stream: i < tokens.length - 1 });
  });
}

/** Tokenizers of runs, each read once; undefined where a run has none on this machine. */
export class RunTokenizers {
  private readonly known = new Map<string, Promise<HuggingFaceTokenizer | undefined>>();

  /** That of the run in `directory` with this recipe. */
  async of(directory: string, recipe: unknown): Promise<HuggingFaceTokenizer | undefined> {
    for (const path of candidates(directory, recipe)) {
      if (!existsSync(join(path, "tokenizer.json"))) continue;
      let found = this.known.get(path);
      if (found === undefined) {
        found = loadTokenizer(path).catch(() => undefined);
        this.known.set(path, found);
      }
      const tokenizer = await found;
      if (tokenizer !== undefined) return tokenizer;
    }
    return undefined;
  }
}

function candidates(directory: string, recipe: unknown): string[] {
  const path = (recipe as { model?: { path?: unknown } } | null)?.model?.path;
  const own = [join(directory, RUN_FILES.initialModel), join(directory, RUN_FILES.model)];
  return typeof path === "string" ? [path, ...own] : own;
}
