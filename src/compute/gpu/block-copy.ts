/**
 * Copies of blocks by a program, for devices whose copies move whole buffers only: rows are gathered from the source and
 * scattered over the target in its own memory. Exact, whatever the numbers are.
 *
 * Both tensors are seen as matrices of the widest rows on whose borders all blocks lie, so that few indices say what goes
 * where: for a row of a key-value cache they are some for each head.
 */

import { Graph } from "../../graph/tensor.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import type { BlockCopy } from "../device.ts";

/** Inputs `source` [n, w], `from` (int64) [k], `target` [m, w], `to` (int64) [k, 1]; output `copied`: the target after it. */
export function rowCopyGraph(dtype: FloatDType = "float32") {
  const graph = new Graph();
  const source = graph.input("source", dtype, ["n", "w"]);
  const from = graph.input("from", "int64", ["k"]);
  const target = graph.input("target", dtype, ["m", "w"]);
  const to = graph.input("to", "int64", ["k", 1]);
  const [copied] = graph.apply(
    {
      name: "copyRows",
      lower: (emit, [sourceRows, fromRows, targetRows, toRows]) => {
        const [rows] = emit.node("Gather", [sourceRows!, fromRows!], { attributes: { axis: 0n } });
        return emit.node("ScatterND", [targetRows!, toRows!, rows!]);
      },
    },
    [source, from, target, to],
    [{ dtype, shape: ["m", "w"] }],
  );
  return { graph, outputs: { copied: copied! } };
}

/** A copy as rows of one width: row `from[i]` of the source goes to row `to[i]` of the target. */
export interface RowCopy {
  readonly width: number;
  readonly from: BigInt64Array;
  readonly to: BigInt64Array;
}

/** The rows that a copy of blocks comes to; both tensors' sizes are multiples of their width. */
export function rowCopyOf(copy: BlockCopy, sourceElements: number, targetElements: number): RowCopy {
  const { sourceStart, sourceStride, targetStart, targetStride, count, length } = copy;
  const strides = count > 1 ? [sourceStride, targetStride] : [];
  const width = [sourceStart, targetStart, length, sourceElements, targetElements, ...strides].reduce(greatestDivisor);
  const each = length / width;
  const rows = (start: number, stride: number) =>
    BigInt64Array.from({ length: count * each }, (_, i) => {
      return BigInt((start + Math.floor(i / each) * stride) / width + (i % each));
    });
  return { width, from: rows(sourceStart, sourceStride), to: rows(targetStart, targetStride) };
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
