/** What may end one server after another is begun a few times, and then fails, and all else goes on. */

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pass, step } from "./asked-server.ts";
import { asking, killed, newDirectory, resultOf, start, ticks } from "./killed-server.ts";

/** So many servers end while a request is under way that was begun again; one more took it first. */
const ENDS = 4;

const never = () => new Promise<void>(() => {});

/** How many servers ended while what is under way was under way, the one that runs counted. */
const endsIn = (directory: string, session: string): string[] => {
  const begun = join(directory, "sessions", session, "begun");
  if (!existsSync(begun)) return [];
  return readdirSync(begun).map((name) => readFileSync(join(begun, name), "utf8"));
};

/** A server with a session and a model of it. */
async function startWithModel(directory: string, takesTime?: () => Promise<void>) {
  const server = await start(directory, { busyPerSave: 1e9 }, "tiny", takesTime);
  const post = asking(server.wire);
  const { session_id } = (await post("create_session", {})).json;
  const create = { session_id, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
  const { model_id } = JSON.parse(await resultOf(server, (await post("create_model", create)).json.request_id));
  return { server, post, session: session_id as string, model: model_id as string };
}

describe("a request that ends each server that begins it", () => {
  it("fails after some of them, and those behind it are carried out", async () => {
    let directory = newDirectory();
    const { server: first, post, session, model } = await startWithModel(directory, never);
    const ids: string[] = [];
    for (const [path, body] of [
      ["forward_backward", pass(model, 1)],
      ["optim_step", step(model, 2)],
    ] as const) {
      ids.push((await post(path, body)).json.request_id);
    }
    const servers = [first];
    for (let ends = 1; ends <= ENDS; ends++) {
      directory = killed(directory);
      servers.push(await start(directory, { busyPerSave: 1e9 }, "tiny", never));
      // The one behind it is not under way, so it is not counted.
      while (endsIn(directory, session).join() !== `${ends}`) await ticks(1);
    }
    directory = killed(directory);
    const last = await start(directory, { busyPerSave: 1e9 }, "tiny");
    expect(await resultOf(last, ids[0]!)).toMatch(/ended 4 times while this request was under way/);
    expect(JSON.parse(await resultOf(last, ids[1]!)).metrics).toMatchObject({ applied: 1 });
    expect(last.policies[0]!.log).toEqual(["step 0.001"]);
    expect(endsIn(directory, session)).toEqual([]);
    expect([...servers, last].flatMap(({ defects }) => defects)).toEqual([]);
    for (const server of [...servers, last]) await server.routes.close();
  });

  it("is none that a stopped server had begun", async () => {
    const directory = newDirectory();
    const { server: first, post, session, model } = await startWithModel(directory, never);
    const { request_id } = (await post("forward_backward", pass(model, 1))).json;
    await first.routes.close();
    for (let stops = 0; stops <= ENDS; stops++) {
      const server = await start(directory, {}, "tiny", never);
      while (endsIn(directory, session).join() !== "1") await ticks(1);
      await server.routes.close();
      expect(endsIn(directory, session)).toEqual(["0"]);
    }
    const last = await start(directory);
    expect(await resultOf(last, request_id)).not.toContain("error");
    await last.routes.close();
  });
});

describe("prompts of one call", () => {
  /** A sampling session, and what asks it for a prompt of a call of two. */
  async function startSampling(directory: string) {
    const server = await start(directory);
    const post = asking(server.wire);
    const { session_id } = (await post("create_session", {})).json;
    const own = { session_id, sampling_session_seq_id: 0, base_model: "tiny" };
    const { sampling_session_id } = (await post("create_sampling_session", own)).json;
    const ask = async (index: number, stop: readonly string[] = []): Promise<string> => {
      const aha = { iteration: 0, prompt_id: index, call: { id: "c", index, size: 2 } };
      const sampling_params = { max_tokens: 2, stop };
      const prompt = { chunks: [{ tokens: [3] }] };
      const body = { sampling_session_id, seq_id: index, prompt, sampling_params, aha };
      return (await post("asample", body)).json.request_id;
    };
    return { server, ask, session: session_id as string };
  }

  it("of which one failed by itself keep no server from starting, and the other waits for its like", async () => {
    const directory = newDirectory();
    const { server, ask } = await startSampling(directory);
    const failed = await ask(0, [""]);
    expect(await resultOf(server, failed)).toMatch(/stop string/);
    await ask(1);
    const next = await start(killed(directory));
    expect(next.takenOver).toMatchObject({ requests: 1 });
    expect(await resultOf(next, failed)).toMatch(/stop string/);
    expect([...server.defects, ...next.defects]).toEqual([]);
    for (const { routes } of [server, next]) await routes.close();
  });

  it("whose sampling session is gone keep no server from starting, and fail", async () => {
    const directory = newDirectory();
    const { server, ask, session } = await startSampling(directory);
    const ids = await Promise.all([ask(0), ask(1)]);
    for (const id of ids) await resultOf(server, id);
    const copy = killed(directory);
    // The kill came between the two results, and after the end of the sampling session.
    rmSync(join(copy, "sessions", session, "results", ids[1]!));
    rmSync(join(copy, "sessions", session, "sampling"), { recursive: true });
    const next = await start(copy);
    expect(next.takenOver).toMatchObject({ requests: 1 });
    expect(await resultOf(next, ids[1]!)).toMatch(/"error"/);
    for (const { routes } of [server, next]) await routes.close();
  });
});

describe("a model that ends each server that makes it again", () => {
  it("is left alone after some of them, other sessions go on, and the next server makes it", async () => {
    let directory = newDirectory();
    const { server: first, post, session, model } = await startWithModel(directory);
    await resultOf(first, (await post("forward_backward", pass(model, 1))).json.request_id);
    const servers = [first];
    for (let ends = 1; ends <= ENDS; ends++) {
      directory = killed(directory);
      servers.push(await start(directory, {}, "tiny", never));
      while (endsIn(directory, session).join() !== `${ends}`) await ticks(1);
    }
    directory = killed(directory);
    const cautious = await start(directory, {}, "tiny", never);
    const again = asking(cautious.wire);
    const { request_id } = (await again("optim_step", step(model, 2))).json;
    expect(await resultOf(cautious, request_id)).toMatch(/could not be made again .* ended 4 times/);
    expect((await again("create_session", {})).json.session_id).toBeDefined();
    const last = await start(killed(directory));
    const scored = (await asking(last.wire)("forward_backward", pass(model, 3))).json.request_id;
    expect(await resultOf(last, scored)).not.toContain("error");
    expect(last.policies[0]!.log).toEqual(["pass 0,1,1", "pass 0,1,1"]);
    expect([...servers, cautious, last].flatMap(({ defects }) => defects)).toEqual([]);
    void Promise.all([...servers, cautious].map((server) => server.routes.close()));
    await last.routes.close();
  });
});
