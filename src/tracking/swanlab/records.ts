/**
 * SwanLab's records as protobuf (its `proto/swanlab`, version 0.10): what a run file holds. Texts are in the records
 * themselves, as `payload`, which `swanlab sync` takes in place of a file beside them.
 */

import { createHash } from "node:crypto";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Fields of `Record`. */
const [START, FINISH, COLUMN, SCALAR, MEDIA, SAVE] = [10, 11, 12, 13, 14, 20] as const;
const TYPE_SCALAR = 1;
const TYPE_TEXT = 4;
const CLASS_CUSTOM = 1;
const SECTION_PUBLIC = 3;

/** `RunState`. */
const RUN_STATES = { finished: 1, failed: 2, interrupted: 3 } as const;
/** `SaveType` of what SwanLab itself knows. */
const SAVE_TYPES = { config: 1, metadata: 2 } as const;

/** A text and the line about it. */
export interface TextItem {
  readonly text: string;
  readonly caption: string;
}

/** A record, but for its number. Times are in milliseconds since 1970. */
export type RunRecord =
  | {
      readonly kind: "start";
      readonly at: number;
      readonly project: string;
      readonly workspace: string;
      readonly name: string;
      readonly id: string;
      readonly description: string;
    }
  | { readonly kind: "finish"; readonly at: number; readonly state: keyof typeof RUN_STATES; readonly error: string }
  | { readonly kind: "column"; readonly at: number; readonly key: string; readonly isText: boolean }
  | {
      readonly kind: "scalar";
      readonly at: number;
      readonly key: string;
      readonly step: number;
      readonly value: number;
    }
  | {
      readonly kind: "texts";
      readonly at: number;
      readonly key: string;
      readonly step: number;
      readonly items: readonly TextItem[];
    }
  | {
      readonly kind: "save";
      readonly at: number;
      readonly name: keyof typeof SAVE_TYPES;
      readonly path: string;
      readonly payload: string;
    };

/** The record's bytes. Numbers of what SwanLab counts apart (the run itself) are negative. */
export function recordBytes(number: number, record: RunRecord): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int64(number);
  message(writer, 2, (field) => writeTime(field, record.at));
  switch (record.kind) {
    case "start":
      message(writer, START, (field) => {
        text(field, 1, record.project);
        text(field, 2, record.workspace);
        text(field, 4, record.name);
        text(field, 5, record.description);
        text(field, 10, record.id);
        message(field, 12, (time) => writeTime(time, record.at));
      });
      break;
    case "finish":
      message(writer, FINISH, (field) => {
        field.tag(1, WireType.Varint).int32(RUN_STATES[record.state]);
        text(field, 2, record.error);
        message(field, 3, (time) => writeTime(time, record.at));
      });
      break;
    case "column":
      message(writer, COLUMN, (field) => writeColumn(field, record));
      break;
    case "scalar":
      message(writer, SCALAR, (field) => {
        writePoint(field, record, TYPE_SCALAR);
        message(field, 5, (value) => value.tag(1, WireType.Bit64).double(record.value));
      });
      break;
    case "texts":
      message(writer, MEDIA, (field) => {
        writePoint(field, record, TYPE_TEXT);
        message(field, 5, (value) => {
          for (const item of record.items) message(value, 1, (one) => writeItem(one, record.step, item));
        });
      });
      break;
    case "save":
      message(writer, SAVE, (field) => {
        text(field, 1, record.name);
        text(field, 2, record.path);
        field.tag(5, WireType.Varint).int32(SAVE_TYPES[record.name]);
        text(field, 6, record.payload);
      });
      break;
    default:
      record satisfies never;
  }
  return writer.finish();
}

/** What there is to know of a record in a file to go on behind it. */
export interface ReadRecord {
  readonly number: number;
  readonly kind: "start" | "finish" | "column" | "scalar" | "media" | "other";
  /** Of a scalar, a text, a column. */
  readonly key: string;
  readonly step: number;
  /** Of a start. */
  readonly id: string;
}

/** Undefined where the bytes are no record. */
export function readRecord(bytes: Uint8Array): ReadRecord | undefined {
  const kinds = {
    [START]: "start",
    [FINISH]: "finish",
    [COLUMN]: "column",
    [SCALAR]: "scalar",
    [MEDIA]: "media",
  } as const;
  try {
    const reader = new BinaryReader(bytes);
    let found: ReadRecord = { number: 0, kind: "other", key: "", step: 0, id: "" };
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.Varint) found = { ...found, number: Number(reader.int64()) };
      else if (field in kinds && wire === WireType.LengthDelimited) {
        const kind = kinds[field as keyof typeof kinds];
        found = { ...found, kind, ...readFields(reader.bytes(), kind) };
      } else reader.skip(wire, field);
    }
    return found;
  } catch {
    return undefined;
  }
}

function readFields(bytes: Uint8Array, kind: ReadRecord["kind"]): Partial<ReadRecord> {
  const reader = new BinaryReader(bytes);
  const keyField = kind === "column" ? 3 : kind === "scalar" || kind === "media" ? 1 : -1;
  const idField = kind === "start" ? 10 : -1;
  const stepField = kind === "scalar" || kind === "media" ? 2 : -1;
  const found: { key?: string; step?: number; id?: string } = {};
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === keyField && wire === WireType.LengthDelimited) found.key = reader.string();
    else if (field === idField && wire === WireType.LengthDelimited) found.id = reader.string();
    else if (field === stepField && wire === WireType.Varint) found.step = Number(reader.int64());
    else reader.skip(wire, field);
  }
  return found;
}

function writeColumn(writer: BinaryWriter, { key, isText }: { readonly key: string; readonly isText: boolean }): void {
  writer.tag(1, WireType.Varint).int32(CLASS_CUSTOM);
  writer.tag(2, WireType.Varint).int32(isText ? TYPE_TEXT : TYPE_SCALAR);
  text(writer, 3, key);
  text(writer, 5, key.split("/")[0]!);
  writer.tag(6, WireType.Varint).int32(SECTION_PUBLIC);
}

function writePoint(
  writer: BinaryWriter,
  { key, step, at }: { readonly key: string; readonly step: number; readonly at: number },
  type: number,
): void {
  text(writer, 1, key);
  writer.tag(2, WireType.Varint).int64(step);
  writer.tag(3, WireType.Varint).int32(type);
  message(writer, 4, (time) => writeTime(time, at));
}

function writeItem(writer: BinaryWriter, step: number, { text: content, caption }: TextItem): void {
  const bytes = Buffer.from(content, "utf8");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  text(writer, 1, `${String(step).padStart(3, "0")}-${sha256.slice(0, 8)}.txt`);
  text(writer, 2, sha256);
  writer.tag(3, WireType.Varint).int64(bytes.length);
  text(writer, 4, caption);
  writer.tag(5, WireType.LengthDelimited).bytes(bytes);
}

/** google.protobuf.Timestamp. */
function writeTime(writer: BinaryWriter, at: number): void {
  writer.tag(1, WireType.Varint).int64(Math.floor(at / 1000));
  writer.tag(2, WireType.Varint).int32((at % 1000) * 1_000_000);
}

function message(writer: BinaryWriter, field: number, write: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

/** proto3: an empty text is not written. */
function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== "") writer.tag(field, WireType.LengthDelimited).string(value);
}
