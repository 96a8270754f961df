/**
 * Answers kept on disk by what was asked: a file for each, named by the SHA-256 of endpoint, body and sample number. A
 * resumed run gets the answers of the first one, so it continues in the same way and pays for no answer twice.
 *
 * A file that is damaged counts as not there and is written anew. Aha never deletes answers; the folder belongs to the
 * user.
 */

import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { AhaError } from "../errors.ts";
import { readTextFileIfPresent, writeFailure, writeWhole } from "../files.ts";
import type { ChatAnswer } from "./chat.ts";

const MAX_FILE_BYTES = 64 * 2 ** 20;

const entrySchema = z.object({
  text: z.string(),
  reasoning: z.string().optional(),
  finishReason: z.string(),
  usage: z.object({ promptTokens: z.number(), completionTokens: z.number() }),
});

/** The name of what is asked. `question` is plain data whose keys come in a fixed order. */
export function questionKey(question: unknown): string {
  return createHash("sha256").update(JSON.stringify(question)).digest("hex");
}

/** Answers below a folder, which is made when the first one is kept. */
export class ResponseCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async get(key: string): Promise<ChatAnswer | undefined> {
    try {
      const text = await readTextFileIfPresent(this.#file(key), { maxBytes: MAX_FILE_BYTES, error: AhaError });
      if (text === undefined) return undefined;
      const parsed = entrySchema.safeParse(JSON.parse(text));
      if (!parsed.success) return undefined;
      const { reasoning, ...rest } = parsed.data;
      return reasoning === undefined ? rest : { ...rest, reasoning };
    } catch (error) {
      if (error instanceof AhaError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /** Throws AhaError where the folder cannot be written. */
  async put(key: string, answer: ChatAnswer): Promise<void> {
    const file = this.#file(key);
    try {
      await mkdir(dirname(file), { recursive: true });
    } catch (error) {
      throw writeFailure(dirname(file), error);
    }
    await writeWhole(file, `${JSON.stringify(answer)}\n`);
  }

  #file(key: string): string {
    return join(this.#directory, key.slice(0, 2), `${key}.json`);
  }
}
