/** What of a heap has grown between two snapshots (`v8.writeHeapSnapshot`), by constructor. */

import { readFileSync } from "node:fs";

interface HeapSnapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[], ...unknown[]];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly [readonly string[], ...unknown[]];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/** Objects of one constructor; strings, arrays and other unnamed things by the first place that refers to them. */
interface Kind {
  count: number;
  bytes: number;
}

/** A kind that has grown. */
export interface Growth {
  readonly kind: string;
  readonly objects: number;
  readonly bytes: number;
}

/** What has grown most from one snapshot to the other, in shallow bytes, the largest first. */
export function heapGrowth(before: string, after: string, most: number): Growth[] {
  const [old, now] = [kindsIn(before), kindsIn(after)];
  const grown = [...now].map(([kind, { count, bytes }]) => {
    const was = old.get(kind) ?? { count: 0, bytes: 0 };
    return { kind, objects: count - was.count, bytes: bytes - was.bytes };
  });
  return grown.sort((a, b) => b.bytes - a.bytes).slice(0, most);
}

function kindsIn(file: string): Map<string, Kind> {
  const { snapshot, nodes, edges, strings } = JSON.parse(readFileSync(file, "utf8")) as HeapSnapshot;
  const { node_fields, node_types, edge_fields, edge_types } = snapshot.meta;
  const node = (name: string) => node_fields.indexOf(name);
  const edge = (name: string) => edge_fields.indexOf(name);
  const [type, name, size, edgeCount] = [node("type"), node("name"), node("self_size"), node("edge_count")];
  const [edgeType, edgeName, toNode] = [edge("type"), edge("name_or_index"), edge("to_node")];
  const typeOf = (at: number) => node_types[0][nodes[at + type]!]!;
  const isNamed = (at: number) => ["object", "closure", "native"].includes(typeOf(at));
  const labelOf = (at: number) => (isNamed(at) ? `${typeOf(at)} ${strings[nodes[at + name]!]}` : `(${typeOf(at)})`);
  const owners = new Map<number, string>();
  for (let at = 0, place = 0; at < nodes.length; at += node_fields.length) {
    for (let i = 0; i < nodes[at + edgeCount]!; i++, place += edge_fields.length) {
      const target = edges[place + toNode]!;
      const kind = edge_types[0][edges[place + edgeType]!]!;
      if (kind === "weak" || isNamed(target) || owners.has(target)) continue;
      const isIndex = kind === "element" || kind === "hidden";
      owners.set(target, `${labelOf(at)}.${isIndex ? "[]" : strings[edges[place + edgeName]!]}`);
    }
  }
  const kinds = new Map<string, Kind>();
  for (let at = 0; at < nodes.length; at += node_fields.length) {
    const label = isNamed(at) ? labelOf(at) : `${labelOf(at)} of ${(owners.get(at) ?? "(roots)").slice(0, 100)}`;
    const own = kinds.get(label) ?? { count: 0, bytes: 0 };
    kinds.set(label, own);
    own.count++;
    own.bytes += nodes[at + size]!;
  }
  return kinds;
}
