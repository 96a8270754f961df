/** Why a request of `fetch` got no answer: its own message says only that it failed, its cause says why. */
export function fetchFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message || error.name;
  if ("code" in cause && typeof cause.code === "string") return `${error.message} (${cause.code})`;
  return cause.message || cause.name;
}
