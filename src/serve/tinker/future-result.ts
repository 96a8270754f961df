/** What a request came to: its answer in one of the protocol's two forms, or why it failed. */

import type { Failure } from "../../tinker/requests.ts";

export type FutureResult =
  | { readonly kind: "json"; readonly value: object }
  | { readonly kind: "protobuf"; readonly bytes: Uint8Array }
  | ({ readonly kind: "failed" } & Failure);
