/** `--dtype` of the commands that compute with a model. */

import type { EngineSpec } from "../engine/engine-kind.ts";
import { LOCAL_ENGINE } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { FLOAT_DTYPES } from "../graph/tensor-type.ts";

/** The embedded engine with the dtype of `COMPUTE_OPTIONS`. Throws ConfigError. */
export function engineOption({ dtype }: { dtype?: string | undefined }): EngineSpec {
  if (dtype === undefined) return LOCAL_ENGINE;
  if (FLOAT_DTYPES.some((known) => known === dtype)) return { ...LOCAL_ENGINE, dtype };
  throw new ConfigError(`--dtype must be one of ${FLOAT_DTYPES.join(", ")}, not ${JSON.stringify(dtype)}.`);
}
