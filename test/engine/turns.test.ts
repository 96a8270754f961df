import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Turns, VerbTurns } from "../../src/engine/turns.ts";
import { EngineError } from "../../src/errors.ts";

describe("Turns", () => {
  it("starts at once where nothing goes on, before `take` returns, and again once all is done", async () => {
    const turns = new Turns();
    for (let round = 0; round < 2; round++) {
      let started = false;
      const taken = turns.take(async () => {
        started = true;
      });
      expect(started).toBe(true);
      await taken;
      await setImmediate();
    }
  });

  it("carries out what is asked for meanwhile one after another, in order", async () => {
    const turns = new Turns();
    const log: string[] = [];
    const work = (name: string) => async () => {
      log.push(`${name} starts`);
      await setImmediate();
      log.push(`${name} ends`);
      return name;
    };
    expect(await Promise.all(["a", "b", "c"].map((name) => turns.take(work(name))))).toEqual(["a", "b", "c"]);
    expect(log).toEqual(["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
  });

  it("hands a failure to whoever asked, and goes on with what waits behind it", async () => {
    const turns = new Turns();
    const failing = turns.take(async () => {
      throw new RangeError("no");
    });
    const next = turns.take(async () => 7);
    await expect(failing).rejects.toThrow(RangeError);
    expect(await next).toBe(7);
  });
});

describe("VerbTurns beside others", () => {
  it("wait for each other, and end by themselves", async () => {
    const turns = new VerbTurns();
    const beside = turns.beside();
    const log: string[] = [];
    const work = (name: string) => async () => {
      log.push(`${name} starts`);
      await setImmediate();
      log.push(`${name} ends`);
    };
    const first = turns.verb(work("a"));
    expect(beside.contended).toBe(false);
    const others = [beside.verb(work("b")), turns.verb(work("c"))];
    expect(turns.contended).toBe(true);
    await Promise.all([first, ...others]);
    expect(log).toEqual(["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
    await beside.end(() => void log.push("over"));
    await beside.end(() => void log.push("over twice"));
    await expect(beside.verb(work("d"))).rejects.toThrow(EngineError);
    await turns.verb(work("e"));
    expect(log.slice(6)).toEqual(["over", "e starts", "e ends"]);
  });
});
