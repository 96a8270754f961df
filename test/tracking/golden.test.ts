/** What Aha writes for trackers beside what their own code writes (test/golden/make_tracker_golden.py). */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FILE_HEADER, framedAt, runFileRecords } from "../../src/tracking/swanlab/log-file.ts";
import { type RunRecord, readRecord, recordBytes } from "../../src/tracking/swanlab/records.ts";
import {
  sessionEnd,
  sessionStart,
  summaryEvent,
  tagsOfEvent,
  versionEvent,
} from "../../src/tracking/tensorboard/events.ts";
import { eventFileRecords, framed, maskedCrc32c } from "../../src/tracking/tensorboard/record-file.ts";

const golden = JSON.parse(readFileSync(new URL("../golden/trackers.json", import.meta.url), "utf8")) as {
  readonly tensorboard: string;
  readonly swanlab: {
    readonly records: readonly string[];
    readonly file: { readonly sizeBytes: number; readonly sha256: string };
    readonly framing: Readonly<Record<string, string>>;
  };
};
const AT = 1_700_000_000_250;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aha-tracker-golden-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("TensorBoard's event files", () => {
  const settings = new Map<string, number | string | boolean>([
    ["a.rate", 0.001],
    ["b.name", "countdown"],
    ["c.on", true],
  ]);
  const events = [
    versionEvent(AT),
    summaryEvent(AT, 12_345_678_901, [
      { tag: "train/loss", scalar: 0.1 },
      { tag: "train/kl", scalar: Number.NaN },
    ]),
    summaryEvent(AT, 12_345_678_901, [{ tag: "train/completions", texts: ["    one", "    zwei ✓"] }]),
    summaryEvent(AT, 12_345_678_901, [sessionStart(settings, "tracked", AT), sessionEnd(AT)]),
  ];

  it("are the bytes that TensorBoard's writer makes", () => {
    expect(Buffer.concat(events.map(framed)).toString("hex")).toBe(golden.tensorboard);
  });

  it("have CRC-32C of RFC 3720, masked", () => {
    const crc = 0xe3069283;
    expect(maskedCrc32c(Buffer.from("123456789"))).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  });

  it("are read up to half a record or a wrong checksum", async () => {
    const path = join(folder, "events");
    const whole = Buffer.concat(events.map(framed));
    await writeFile(path, whole);
    const read = await collected(eventFileRecords(path));
    expect(read.map((bytes) => bytes.toString("hex"))).toEqual(
      events.map((bytes) => Buffer.from(bytes).toString("hex")),
    );
    expect(tagsOfEvent(read[1]!)).toEqual({ step: 12_345_678_901, tags: ["train/loss", "train/kl"] });
    const last = framed(events[3]!).length;
    for (const cut of [1, last - 12, last - 1, last]) {
      await writeFile(path, whole.subarray(0, whole.length - cut));
      expect(await collected(eventFileRecords(path))).toHaveLength(3);
    }
    whole[whole.length - 6]! ^= 1;
    await writeFile(path, whole);
    expect(await collected(eventFileRecords(path))).toHaveLength(3);
    await writeFile(path, Buffer.alloc(64, 0xff));
    expect(await collected(eventFileRecords(path))).toEqual([]);
    expect(tagsOfEvent(Buffer.from("ffff", "hex"))).toBeUndefined();
  });
});

describe("SwanLab's run file", () => {
  const long = "x".repeat(70_000);
  const point = { at: AT, key: "train/loss", step: 7 };
  const records: readonly (readonly [number, RunRecord])[] = [
    [-1, { kind: "start", at: AT, project: "p", workspace: "w", name: "run", id: "abc", description: "why?" }],
    [-1, { kind: "save", at: AT, name: "config", path: "/x/config.yaml", payload: "a: 1\n" }],
    [1, { kind: "column", at: AT, key: "train/loss", isText: false }],
    [2, { kind: "scalar", ...point, value: 0.1 }],
    [3, { kind: "scalar", ...point, value: Number.NaN }],
    [4, { kind: "column", at: AT, key: "train/completions", isText: true }],
    [
      5,
      {
        kind: "texts",
        at: AT,
        key: "train/completions",
        step: 7,
        items: [
          { text: "one ✓", caption: "reward 1" },
          { text: long, caption: "" },
        ],
      },
    ],
    [6, { kind: "finish", at: AT, state: "failed", error: "lost" }],
  ];
  const bytes = records.map(([number, record]) => recordBytes(number, record));
  const file = framedFile(bytes);

  it("has the records that SwanLab's protobuf makes", () => {
    expect(bytes.slice(0, 6).map((record) => Buffer.from(record).toString("hex"))).toEqual(golden.swanlab.records);
  });

  it("is the file that SwanLab's store writes", () => {
    expect(file.length).toBe(golden.swanlab.file.sizeBytes);
    expect(sha256(file)).toBe(golden.swanlab.file.sha256);
  });

  it("breaks records at blocks as the store does", () => {
    for (const [size, hash] of Object.entries(golden.swanlab.framing)) {
      const framedTwo = framedFile([Buffer.alloc(Number(size), "a"), Buffer.alloc(20, "b")]);
      expect([size, sha256(framedTwo)]).toEqual([size, hash]);
    }
  });

  it("is read back, up to what a killed process left", async () => {
    const path = join(folder, "run.swanlab");
    await writeFile(path, file);
    const read = await collected(runFileRecords(path));
    expect(read.map(({ data }) => sha256(data))).toEqual(bytes.map(sha256));
    expect(read.at(-1)!.end).toBe(file.length);
    expect(readRecord(read[6]!.data)).toMatchObject({ number: 5, kind: "media", key: "train/completions", step: 7 });
    expect(readRecord(read[0]!.data)).toMatchObject({ number: -1, kind: "start", id: "abc" });
    for (const end of [read[6]!.begin + 1, read[6]!.begin + 40_000, read[6]!.end - 1]) {
      await writeFile(path, file.subarray(0, end));
      expect(await collected(runFileRecords(path))).toHaveLength(6);
    }
    await writeFile(path, "no such file");
    expect(await collected(runFileRecords(path))).toEqual([]);
  });
});

function framedFile(records: readonly Uint8Array[]): Buffer {
  let whole = Buffer.from(FILE_HEADER);
  for (const record of records) whole = Buffer.concat([whole, framedAt(whole.length, record)]);
  return whole;
}
