/**
 * What families have in common that tell layers apart in their config: `layer_types`, the window, and layers without any
 * differences, which need no list.
 */

import { CheckpointError } from "../../errors.ts";
import { type LayerKind, layerKind, type ModelConfig } from "../model-config.ts";
import type { LayerKeys, LayerRules } from "./family.ts";

const FULL = "full_attention";
const SLIDING = "sliding_attention";

/** A list of layers; what `kindOf` leaves out is as in a plain layer. Empty where no layer differs from a plain one. */
export function layersOf(numLayers: number, kindOf: (layer: number) => Partial<LayerKind>): readonly LayerKind[] {
  const layers = Array.from({ length: numLayers }, (_, layer): LayerKind => {
    return { slides: false, rope: "global", ...kindOf(layer) };
  });
  return layers.some(({ slides, rope }) => slides || rope !== "global") ? layers : [];
}

/** A window in tokens. Throws CheckpointError where there is none, or it is no whole number above 0. */
export function windowSize(value: number | null | undefined, where: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  throw new CheckpointError(
    `${where}: sliding_window is ${value ?? "missing"}; a layer slides, so it must be above 0.`,
  );
}

/** Which layers slide by `layer_types`, or by `slidesByDefault` where the key is absent. Throws CheckpointError. */
export function slidingLayers(
  { layer_types, num_hidden_layers }: LayerKeys,
  slidesByDefault: (layer: number) => boolean,
  where: string,
): boolean[] {
  if (!layer_types) return Array.from({ length: num_hidden_layers }, (_, layer) => slidesByDefault(layer));
  const strange = layer_types.find((type) => type !== FULL && type !== SLIDING);
  if (strange !== undefined) {
    throw new CheckpointError(
      `${where}: layer_types has ${JSON.stringify(strange)}; supported are ${JSON.stringify(FULL)} and ${JSON.stringify(SLIDING)}.`,
    );
  }
  return layer_types.map((type) => type === SLIDING);
}

/** `layer_types` of a model. */
export function layerTypes(config: Pick<ModelConfig, "layers" | "numLayers">): string[] {
  return Array.from({ length: config.numLayers }, (_, layer) => (layerKind(config, layer).slides ? SLIDING : FULL));
}

const DEFAULT_WINDOW = 4096;
const DEFAULT_FIRST_SLIDING = 28;

/** Qwen's rules: with `use_sliding_window`, layers from `max_window_layers` on slide, or those that `layer_types` names. */
export const windowInLastLayers: LayerRules = {
  read: (keys, where) => {
    const uses = keys.use_sliding_window === true && keys.sliding_window !== null;
    const firstSliding = keys.max_window_layers ?? DEFAULT_FIRST_SLIDING;
    const slides = slidingLayers(keys, (layer) => uses && layer >= firstSliding, where);
    if (!slides.includes(true)) return { slidingWindow: null, layers: [], queryPreAttnScalar: null };
    if (!uses) {
      throw new CheckpointError(
        `${where}: layer_types has "sliding_attention", but use_sliding_window is not true; one of the two is wrong.`,
      );
    }
    return {
      slidingWindow: windowSize(keys.sliding_window ?? DEFAULT_WINDOW, where),
      layers: layersOf(keys.num_hidden_layers, (layer) => ({ slides: slides[layer]! })),
      queryPreAttnScalar: null,
    };
  },
  write: (config) => {
    if (config.slidingWindow === null) return { use_sliding_window: false };
    const types = layerTypes(config);
    const first = types.indexOf(SLIDING);
    return {
      layer_types: types,
      max_window_layers: first < 0 ? config.numLayers : first,
      sliding_window: config.slidingWindow,
      use_sliding_window: true,
    };
  },
};
