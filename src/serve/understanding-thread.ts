/** The thread that `understanding-threads.ts` starts: understands one body after another. */

import { parentPort, workerData } from "node:worker_threads";
import { HuggingFaceTokenizer } from "../tokenizer/huggingface.ts";
import { ApiError } from "./api-error.ts";
import { type BodyMessage, type UnderstandingContext, type UnderstoodMessage, understand } from "./understanding.ts";
import type { UnderstandingSetup } from "./understanding-threads.ts";

const { models, tokenizers, maxSequences } = workerData as UnderstandingSetup;
const read = tokenizers.map((files) => new HuggingFaceTokenizer(files, "the served model"));
const context: UnderstandingContext = {
  models: models.map(({ tokenizer, ...facts }) => ({ ...facts, tokenizer: read[tokenizer]! })),
  maxSequences,
};

parentPort!.on("message", ({ kind, body }: BodyMessage) => {
  parentPort!.postMessage(answerTo(kind, body));
});

function answerTo(kind: BodyMessage["kind"], body: Uint8Array): UnderstoodMessage {
  try {
    return { understood: understand(kind, body, context) };
  } catch (error) {
    if (error instanceof ApiError) {
      const { status, message, details } = error;
      return { refused: { status, message, details } };
    }
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
