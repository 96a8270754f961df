/** What a parameter is for: reports count by it, initialisation scales by it. */

export type ParameterKind = "embedding" | "attention" | "mlp" | "norm" | "bias" | "head";

const KINDS: Readonly<Record<string, ParameterKind>> = {
  embed: "embedding",
  q: "attention",
  k: "attention",
  v: "attention",
  attnOut: "attention",
  qBias: "bias",
  kBias: "bias",
  vBias: "bias",
  attnOutBias: "bias",
  gateBias: "bias",
  upBias: "bias",
  mlpDownBias: "bias",
  gate: "mlp",
  up: "mlp",
  mlpDown: "mlp",
  attnNorm: "norm",
  attnPostNorm: "norm",
  qNorm: "norm",
  kNorm: "norm",
  mlpNorm: "norm",
  mlpPostNorm: "norm",
  finalNorm: "norm",
  head: "head",
  score: "head",
};

/** The kind of a parameter by its name (`layers.0.q` → attention). Throws for a name that no model has. */
export function parameterKind(name: string): ParameterKind {
  const kind = KINDS[name.slice(name.lastIndexOf(".") + 1)];
  if (kind === undefined) throw new Error(`Unknown parameter ${name}: give its kind in parameter-kinds.ts.`);
  return kind;
}

/** The projections whose result is added to the residual stream: two a layer. */
export function writesToResidual(name: string): boolean {
  return name.endsWith(".attnOut") || name.endsWith(".mlpDown");
}
