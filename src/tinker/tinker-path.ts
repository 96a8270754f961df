/** `tinker://<model>/<kind>/<name>`: what checkpoints are called. */

import { WireError } from "./protobuf.ts";

/** What a checkpoint holds, by the middle part of its path, and what lists call it. */
export const CHECKPOINT_KINDS = { weights: "training", sampler_weights: "sampler" } as const;

export type CheckpointKind = keyof typeof CHECKPOINT_KINDS;

export interface TinkerPath {
  readonly modelId: string;
  readonly kind: CheckpointKind;
  readonly name: string;
}

/** The path as text. */
export function formatTinkerPath({ modelId, kind, name }: TinkerPath): string {
  return `tinker://${modelId}/${kind}/${name}`;
}

/** Whether a name is meant as a path of this form. */
export const isTinkerPath = (text: string): boolean => text.startsWith("tinker://");

/** Throws WireError for a text that is no such path. */
export function parseTinkerPath(text: string): TinkerPath {
  const [, modelId, kind, name] = /^tinker:\/\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (modelId !== undefined && name !== undefined && kind !== undefined && kind in CHECKPOINT_KINDS) {
    return { modelId, kind: kind as CheckpointKind, name };
  }
  const kinds = Object.keys(CHECKPOINT_KINDS).join(" or ");
  throw new WireError(
    `Expected tinker://MODEL/KIND/NAME with the kind ${kinds}, not ${JSON.stringify(text.slice(0, 200))}.`,
  );
}
