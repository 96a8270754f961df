/** Writes Parquet files for tests, with the column types that the Hub's data sets have. */

import { type ColumnSource, parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";

/** The type of a column: a scalar, a list of a scalar, or a list of mappings of texts. */
export type ColumnType = "STRING" | "INT64" | "DOUBLE" | ["INT64"] | ["STRING"] | [readonly string[]];

export interface WriteOptions {
  readonly rowGroupSize?: number;
  readonly codec?: "SNAPPY" | "UNCOMPRESSED";
}

/** The bytes of a Parquet file with these rows; a column's values come from the rows by its name. */
export function parquetBytes(
  types: Readonly<Record<string, ColumnType>>,
  rows: readonly Readonly<Record<string, unknown>>[],
  options: WriteOptions = {},
): Buffer {
  const names = Object.keys(types);
  const columnData = names.map((name): ColumnSource => {
    const isInteger = types[name] === "INT64" || (Array.isArray(types[name]) && types[name][0] === "INT64");
    const data = rows.map((row) => (isInteger ? asBigInt(row[name]) : row[name]));
    return { name, data };
  });
  const schema: SchemaElement[] = [
    { name: "schema", num_children: names.length },
    ...names.flatMap((name) => schemaOf(name, types[name]!)),
  ];
  return Buffer.from(parquetWriteBuffer({ columnData, schema, ...options }));
}

function schemaOf(name: string, type: ColumnType): SchemaElement[] {
  if (!Array.isArray(type)) return [scalar(name, type)];
  const [item] = type;
  const list: SchemaElement[] = [
    { name, repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
  ];
  if (typeof item === "string") return [...list, scalar("element", item)];
  const keys = item as readonly string[];
  return [
    ...list,
    { name: "element", repetition_type: "OPTIONAL", num_children: keys.length },
    ...keys.map((key) => scalar(key, "STRING")),
  ];
}

function scalar(name: string, type: "STRING" | "INT64" | "DOUBLE"): SchemaElement {
  if (type === "STRING") return { name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" };
  return { name, type, repetition_type: "OPTIONAL" };
}

function asBigInt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asBigInt);
  return typeof value === "number" ? BigInt(value) : value;
}
