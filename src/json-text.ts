/** JSON from files and other places that may hold anything. */

/** The value of a JSON text; where it is not JSON, an error of the class `error` that names `where` it is from. */
export function parseJson(text: string, where: string, error: new (message: string) => Error): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw new error(`${where} is not JSON: ${fault instanceof Error ? fault.message : String(fault)}.`);
  }
}
