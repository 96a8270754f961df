/**
 * Aha's error classes.
 *
 * Every error that a user can cause derives from `AhaError`: the command line prints its message without a stack and
 * exits with code 1. A message says what was expected, what came, and what to do. Anything else that is thrown is a
 * defect of ours and keeps its stack.
 */

/** Base of every error that a user can cause and correct. */
export class AhaError extends Error {
  override name = "AhaError";
}

/** A recipe, an override or an option that cannot be run: unknown key, wrong type, impossible arithmetic. */
export class ConfigError extends AhaError {
  override name = "ConfigError";
}

/** A data file, or a line of it, that is not in the form that was asked for. */
export class DataError extends AhaError {
  override name = "DataError";
}

/** A model directory or checkpoint that is missing, damaged, or of another model. */
export class CheckpointError extends AhaError {
  override name = "CheckpointError";
}

/** A request that an engine cannot serve: beyond what it declares, or of numbers that make no sense. */
export class EngineError extends AhaError {
  override name = "EngineError";
}

/** The run directory is in use, not empty, not writable, or not of the recipe that is to be resumed. */
export class RunDirError extends AhaError {
  override name = "RunDirError";
}

/** The Hugging Face Hub cannot be used or refuses: no network, no such repository, no permission, wrong content. */
export class HubError extends AhaError {
  override name = "HubError";
}

/** A model behind an endpoint could not be asked, or its answer cannot be used; `kind` says which. */
export class EndpointError extends AhaError {
  override name = "EndpointError";
  /**
   * `unreachable` no answer at all, `busy` 429 or 5xx to the last attempt, `timeout` none in time, `refused` the request
   * itself (key, model, parameters), `malformed` an answer in another form, `budget` the limit of tokens or money.
   */
  readonly kind: "unreachable" | "busy" | "timeout" | "refused" | "malformed" | "budget";

  constructor(kind: EndpointError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The device that computed is gone: a driver was reset, a GPU taken away. What was saved is kept. */
export class DeviceLostError extends AhaError {
  override name = "DeviceLostError";
}

/** A device is here and cannot be used as it is: it has no memory left, or a library of it is damaged. */
export class DeviceUnusableError extends AhaError {
  override name = "DeviceUnusableError";
}

/** Training stopped by itself because it no longer learns: gradients that stay non-finite. */
export class DivergenceError extends AhaError {
  override name = "DivergenceError";
}

/** The user stopped a run (Ctrl-C). Its state is saved; the command line says how to go on and exits with code 130. */
export class RunInterrupted extends AhaError {
  override name = "RunInterrupted";
}

/** A graph that cannot be built or bound: shapes or dtypes that do not fit. A defect of the caller, not of a user. */
export class GraphError extends Error {
  override name = "GraphError";
}

/** The compute runtime (ONNX Runtime) refused a call; carries its own message. */
export class RuntimeFailure extends Error {
  override name = "RuntimeFailure";
}

/** The beginning of a text, at most `most` characters of it, as an error message shows it. */
export function shorten(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** The closest of `candidates` to `word` by edit distance, or undefined where none is near (more than a third off). */
export function nearestName(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(previous[j]! + 1, current[j - 1]! + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length]!;
}
