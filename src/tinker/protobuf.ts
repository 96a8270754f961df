/**
 * Protobuf messages described once, for writing and for reading: a message is a table of fields, each with its number. The
 * bytes are proto3's; what travels in them (tensors, tokens) is little-endian, as this process's typed arrays are.
 *
 * A description, not generated code: the protocol has no published .proto file, its numbers are in the official SDK. The
 * library behind it reads and writes the wire format; how deep messages nest is decided by the tables and not by the bytes.
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { AhaError } from "../errors.ts";

/** Bytes, or a body, that are not what the protocol says they are. */
export class WireError extends AhaError {
  override name = "WireError";
}

/** A field: how its value is written and read. `In` is what it is made of, `Value` what comes back. */
interface Field<Value> {
  readonly number: number;
  write(writer: BinaryWriter, value: Value): void;
  /** `before`: what was read of the field so far, for those that come several times. */
  read(reader: BinaryReader, wireType: WireType, before: Value): Value;
  /** What the field is where it does not occur. */
  absent(): Value;
}

type ValueOf<F> = F extends Field<infer Value> ? Value : never;

/** What a message holds. */
export type MessageOf<M> = M extends MessageKind<infer Value> ? Value : never;

/** A kind of message. */
export interface MessageKind<Value> {
  encode(value: Partial<Value>): Uint8Array<ArrayBuffer>;
  /** Throws WireError for bytes that are no such message. */
  decode(bytes: Uint8Array): Value;
}

/** Repeated elements of one field, in one message: more than any request or result that makes sense. */
const MOST_ELEMENTS = 2 ** 20;

/** A kind of message with these fields; unknown ones are passed over, except groups, which proto3 does not have. */
export function message<F extends Record<string, Field<unknown>>>(
  name: string,
  fields: F,
): MessageKind<{ readonly [K in keyof F]: ValueOf<F[K]> }> {
  type Value = { readonly [K in keyof F]: ValueOf<F[K]> };
  const entries = Object.entries(fields);
  const byNumber = new Map(entries.map(([key, field]) => [field.number, { key, field }]));
  const decode = (bytes: Uint8Array): Value => {
    const value: Record<string, unknown> = Object.fromEntries(entries.map(([key, field]) => [key, field.absent()]));
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [number, wireType] = reader.tag();
      if (wireType === WireType.StartGroup || wireType === WireType.EndGroup) {
        throw new WireError(`${name}: field ${number} is a group, which proto3 does not have.`);
      }
      const known = byNumber.get(number);
      if (known) value[known.key] = known.field.read(reader, wireType, value[known.key]);
      else reader.skip(wireType, number);
    }
    return value as Value;
  };
  return {
    encode: (value) => {
      const writer = new BinaryWriter();
      for (const [key, field] of entries) {
        const own = (value as Readonly<Record<string, unknown>>)[key];
        if (own !== undefined) field.write(writer, own);
      }
      return writer.finish();
    },
    decode: (bytes) => {
      try {
        return decode(bytes);
      } catch (error) {
        if (error instanceof WireError) throw error;
        // The library's own words are about its buffer.
        throw new WireError(`${name}: the bytes are cut off or no protobuf (${(error as Error).message}).`);
      }
    },
  };
}

function scalar<Value>(
  number: number,
  wireType: WireType,
  write: (writer: BinaryWriter, value: Value) => void,
  read: (reader: BinaryReader) => Value,
  zero: Value,
): Field<Value> {
  return {
    number,
    // proto3 leaves a scalar out that has its default.
    write: (writer, value) => {
      if (value !== zero) write(writer.tag(number, wireType), value);
    },
    read: (reader, found) => {
      requireWireType(number, found, wireType);
      return read(reader);
    },
    absent: () => zero,
  };
}

function requireWireType(number: number, found: WireType, expected: WireType): void {
  if (found !== expected) throw new WireError(`Field ${number} has the wire type ${found}, not ${expected}.`);
}

/** UTF-8. */
export const string = (number: number): Field<string> =>
  scalar(
    number,
    WireType.LengthDelimited,
    (writer, value) => writer.string(value),
    (reader) => reader.string(true),
    "",
  );

/** Also of an enumeration. */
export const int32 = (number: number): Field<number> =>
  scalar(
    number,
    WireType.Varint,
    (writer, value) => writer.int32(value),
    (reader) => reader.int32(),
    0,
  );

/** True or false. */
export const bool = (number: number): Field<boolean> =>
  scalar(
    number,
    WireType.Varint,
    (writer, value) => writer.bool(value),
    (reader) => reader.bool(),
    false,
  );

/** A whole number that a double holds. */
export const int64 = (number: number): Field<number> =>
  scalar(number, WireType.Varint, (writer, value) => writer.int64(value), readInt64, 0);

function readInt64(reader: BinaryReader): number {
  const value = Number(reader.int64());
  if (Number.isSafeInteger(value)) return value;
  throw new WireError(`A whole number of ${value} is beyond 2^53.`);
}

/** A value that may be absent, and then is undefined: of a choice between fields, where its presence is what counts. */
function present<Value>(
  number: number,
  wireType: WireType,
  write: (writer: BinaryWriter, value: Value) => void,
  read: (reader: BinaryReader) => Value,
): Field<Value | undefined> {
  return {
    number,
    write: (writer, value) => {
      if (value !== undefined) write(writer.tag(number, wireType), value);
    },
    read: (reader, found) => {
      requireWireType(number, found, wireType);
      return read(reader);
    },
    absent: () => undefined,
  };
}

/** Bytes of their own memory, so that typed arrays can lie over them. */
// Not slice(), which of a Buffer is a view.
const ownBytes = (reader: BinaryReader): Uint8Array => new Uint8Array(reader.bytes());

/** Bytes, or none. */
export const optionalBytes = (number: number): Field<Uint8Array | undefined> =>
  present(number, WireType.LengthDelimited, (writer, value) => writer.bytes(value), ownBytes);

/** A double, or none. */
export const optionalDouble = (number: number): Field<number | undefined> =>
  present(
    number,
    WireType.Bit64,
    (writer, value) => writer.double(value),
    (reader) => reader.double(),
  );

/** A text, or none. */
export const optionalString = (number: number): Field<string | undefined> =>
  present(
    number,
    WireType.LengthDelimited,
    (writer, value) => writer.string(value),
    (reader) => reader.string(true),
  );

/** A message within; undefined where it is absent. */
export const optional = <Value>(number: number, kind: MessageKind<Value>): Field<Value | undefined> =>
  present(
    number,
    WireType.LengthDelimited,
    (writer, value) => writer.bytes(kind.encode(value)),
    (reader) => kind.decode(reader.bytes()),
  );

/** Messages, any number of them. */
export function repeated<Value>(number: number, kind: MessageKind<Value>): Field<readonly Value[]> {
  return {
    number,
    write: (writer, values) => {
      for (const value of values) writer.tag(number, WireType.LengthDelimited).bytes(kind.encode(value));
    },
    read: (reader, found, before) => {
      requireWireType(number, found, WireType.LengthDelimited);
      if (before.length >= MOST_ELEMENTS)
        throw new WireError(`Field ${number} occurs more than ${MOST_ELEMENTS} times.`);
      (before as Value[]).push(kind.decode(reader.bytes()));
      return before;
    },
    absent: () => [],
  };
}

/** Whole numbers, packed or not. */
export function int64s(number: number): Field<readonly number[]> {
  return {
    number,
    write: (writer, values) => {
      if (values.length === 0) return;
      writer.tag(number, WireType.LengthDelimited).fork();
      for (const value of values) writer.int64(value);
      writer.join();
    },
    read: (reader, found, before) => {
      const values = before as number[];
      if (found === WireType.Varint) values.push(readInt64(reader));
      else {
        requireWireType(number, found, WireType.LengthDelimited);
        const packed = new BinaryReader(reader.bytes());
        while (packed.pos < packed.len) values.push(readInt64(packed));
      }
      if (values.length > MOST_ELEMENTS) throw new WireError(`Field ${number} has more than ${MOST_ELEMENTS} numbers.`);
      return values;
    },
    absent: () => [],
  };
}

/** A map from texts: on the wire a list of messages of a key (1) and a value (2). */
export function map<Value>(number: number, value: (number: number) => Field<Value>): Field<ReadonlyMap<string, Value>> {
  const entry = message("map entry", { key: string(1), value: value(2) });
  const list = repeated(number, entry);
  return {
    number,
    write: (writer, values) =>
      list.write(
        writer,
        Array.from(values, ([key, own]) => ({ key, value: own })),
      ),
    read: (reader, found, before) => {
      const [last] = list.read(reader, found, []);
      const values = before as Map<string, Value>;
      if (values.size >= MOST_ELEMENTS) throw new WireError(`Field ${number} has more than ${MOST_ELEMENTS} entries.`);
      values.set(last!.key, last!.value);
      return values;
    },
    absent: () => new Map(),
  };
}

/** A number of a map. */
export const double = (number: number): Field<number> =>
  scalar(
    number,
    WireType.Bit64,
    (writer, value) => writer.double(value),
    (reader) => reader.double(),
    0,
  );

/** A message of a map. */
export function within<Value>(kind: MessageKind<Value>): (number: number) => Field<Value> {
  return (number) => {
    const field = optional(number, kind);
    return { ...field, absent: () => kind.decode(new Uint8Array(0)) } as Field<Value>;
  };
}
