/**
 * TensorBoard's events as protobuf: `tensorboard/compat/proto/event.proto`, `summary.proto`, `tensor.proto`, and
 * `plugins/hparams/plugin_data.proto` of TensorBoard 2.21. Only what is needed of them: the version, numbers, texts, and the
 * run's settings for the HParams tab.
 *
 * Numbers are `simple_value`, a float32: what every reader of such files knows (TensorBoard, `wandb sync`, trackio, SwanLab).
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Setting } from "../config.ts";

const DT_FLOAT = 1;
const DT_STRING = 7;
/** `DATA_CLASS_TENSOR` of SummaryMetadata. */
const DATA_CLASS_TENSOR = 2;

/** What an event says, but for when. */
export type EventValue =
  | { readonly tag: string; readonly scalar: number }
  /** One cell each; Markdown. */
  | { readonly tag: string; readonly texts: readonly string[] }
  /** Of the HParams tab. */
  | { readonly tag: string; readonly hparams: Uint8Array };

/** Tag of what the HParams tab says of a run that begins. */
export const SESSION_START_TAG = "_hparams_/session_start_info";
/** Tag of what it says of one that is complete. */
export const SESSION_END_TAG = "_hparams_/session_end_info";

/** The first event of a file. `at`: milliseconds since 1970. */
export function versionEvent(at: number): Uint8Array {
  return new BinaryWriter()
    .tag(1, WireType.Bit64)
    .double(at / 1000)
    .tag(3, WireType.LengthDelimited)
    .string("brain.Event:2")
    .finish();
}

/** An event with any number of values at one step. */
export function summaryEvent(at: number, step: number, values: readonly EventValue[]): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Bit64).double(at / 1000);
  writer.tag(2, WireType.Varint).int64(step);
  writer.tag(5, WireType.LengthDelimited).fork();
  for (const value of values) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(value.tag);
    if ("scalar" in value) writer.tag(2, WireType.Bit32).float(value.scalar);
    else if ("texts" in value) writeTexts(writer, value.texts);
    else writeHParams(writer, value.hparams);
    writer.join();
  }
  return writer.join().finish();
}

function writeTexts(writer: BinaryWriter, texts: readonly string[]): void {
  writer.tag(8, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.Varint).int32(DT_STRING);
  writer.tag(2, WireType.LengthDelimited).fork();
  writer.tag(2, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int64(texts.length).join();
  writer.join();
  for (const text of texts) writer.tag(8, WireType.LengthDelimited).string(text);
  writer.join();
  writePlugin(writer, "text", new Uint8Array());
}

function writeHParams(writer: BinaryWriter, content: Uint8Array): void {
  // The tensor is empty: one dimension of size 0 (`NULL_TENSOR` of the plugin's metadata.py).
  writer.tag(8, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(DT_FLOAT);
  writer.tag(2, WireType.LengthDelimited).fork().tag(2, WireType.LengthDelimited).fork().join().join().join();
  writePlugin(writer, "hparams", content);
}

function writePlugin(writer: BinaryWriter, name: string, content: Uint8Array): void {
  writer.tag(9, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).string(name);
  if (content.length > 0) writer.tag(2, WireType.LengthDelimited).bytes(content);
  writer.join();
  writer.tag(4, WireType.Varint).int32(DATA_CLASS_TENSOR);
  writer.join();
}

/** What the HParams tab says of a run that begins. */
export function sessionStart(settings: ReadonlyMap<string, Setting>, name: string, at: number): EventValue {
  const writer = new BinaryWriter().tag(3, WireType.LengthDelimited).fork();
  for (const [key, value] of settings) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).fork();
    if (typeof value === "number") writer.tag(2, WireType.Bit64).double(value);
    else if (typeof value === "string") writer.tag(3, WireType.LengthDelimited).string(value);
    else writer.tag(4, WireType.Varint).bool(value);
    writer.join().join();
  }
  writer.tag(4, WireType.LengthDelimited).string(name);
  writer.tag(5, WireType.Bit64).double(at / 1000);
  return { tag: SESSION_START_TAG, hparams: writer.join().finish() };
}

/** What it says of a run that is complete. */
export function sessionEnd(at: number): EventValue {
  const success = 1;
  const writer = new BinaryWriter().tag(4, WireType.LengthDelimited).fork();
  writer
    .tag(1, WireType.Varint)
    .int32(success)
    .tag(2, WireType.Bit64)
    .double(at / 1000);
  return { tag: SESSION_END_TAG, hparams: writer.join().finish() };
}

/** Step and tags of an event; undefined where the bytes are none. */
export function tagsOfEvent(
  event: Uint8Array,
): { readonly step: number; readonly tags: readonly string[] } | undefined {
  try {
    const reader = new BinaryReader(event);
    let step = 0;
    const tags: string[] = [];
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 2 && wire === WireType.Varint) step = Number(reader.int64());
      else if (field === 5 && wire === WireType.LengthDelimited) tags.push(...tagsOfSummary(reader.bytes()));
      else reader.skip(wire, field);
    }
    return { step, tags };
  } catch {
    return undefined;
  }
}

function* tagsOfSummary(summary: Uint8Array): Generator<string, void, void> {
  for (const value of messagesIn(summary, 1)) {
    for (const tag of messagesIn(value, 1)) yield Buffer.from(tag).toString("utf8");
  }
}

/** The bytes of every length-delimited field with that number. */
function* messagesIn(message: Uint8Array, number: number): Generator<Uint8Array, void, void> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === number && wire === WireType.LengthDelimited) yield reader.bytes();
    else reader.skip(wire, field);
  }
}
