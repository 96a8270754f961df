/** Custom losses that clients upload to the server: made, used, of one session, and gone with it. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { floatTensor } from "../../src/tinker/messages.ts";
import { datum, pass, startAsked } from "./asked-server.ts";

const goldens = JSON.parse(readFileSync(new URL("../golden/custom-losses.json", import.meta.url), "utf8")) as readonly {
  readonly name: string;
  readonly upload: string;
}[];

const graphOf = (name: string) => goldens.find((golden) => golden.name === name)!.upload;

/** The body that uploads a loss, its numbers as they are written. */
const upload = (session_id: string, custom_loss_seq_id: number, text = graphOf("neg_ll")) =>
  `{"session_id":${JSON.stringify(session_id)},"custom_loss_seq_id":${custom_loss_seq_id},${text.slice(1)}`;

const customPass = (model: string, seqId: number, lossId: string | undefined, data = [datum()], forwardOnly = false) =>
  pass(model, seqId, data, "custom", {
    forwardOnly,
    lossFnConfigV2: new Map(lossId === undefined ? [] : [["loss_id", { text: lossId, number: undefined }]]),
  });

describe("a custom loss", () => {
  it("is what the client computes itself, by its slopes, and comes with its metrics", async () => {
    const { post, result, newModel, session_id, policies, defects } = await startAsked();
    expect((await post("client/config")).json).toMatchObject({ custom_loss_server_side: true });
    const model = await newModel();
    const made = await post("create_custom_loss", upload(session_id, 0));
    expect((await post("create_custom_loss", upload(session_id, 0))).json).toEqual(made.json);
    const { loss_id, type } = await result(made);
    expect(type).toBe("create_custom_loss");
    await result(await post("forward_backward", customPass(model, 1, loss_id)));
    // −Σ w·lp has the slopes −w, and cross-entropy takes them as weights with the other sign.
    expect(policies[0]!.log).toEqual(["pass 0,1,1"]);
    expect((await post("forward_backward", customPass(model, 2, loss_id, [datum()], true))).status).toBe(200);
    await result(await post("optim_step", { model_id: model, seq_id: 3, adam_params: { learning_rate: 1 } }));
    expect(policies[0]!.log).toEqual(["pass 0,1,1", "step 1"]);
    expect(defects).toEqual([]);
  });

  it("is refused by a future that fails, and kept nowhere", async () => {
    const { post, result, newModel, session_id, policies, defects } = await startAsked();
    const model = await newModel();
    const bad = graphOf("neg_ll").replace("operator.neg", "torch.linalg.svd");
    const failed = await result(await post("create_custom_loss", upload(session_id, 0, bad)));
    expect(failed).toMatchObject({ category: "user", error: expect.stringMatching(/torch\.linalg\.svd/) });
    const loss = `${session_id}:loss:0`;
    for (const [seq, id, message] of [
      [1, loss, /no custom loss/],
      [2, undefined, /takes loss_id/],
    ] as const) {
      const answer = await post("forward_backward", customPass(model, seq, id));
      expect((await result(answer)).error).toMatch(message);
    }
    expect(policies[0]!.log).toEqual([]);
    expect(defects).toEqual([]);
  });

  it("is of one session, and goes with it", async () => {
    const { post, result, newModel, session_id } = await startAsked();
    const { session_id: other } = (await post("create_session")).json;
    const { loss_id } = await result(await post("create_custom_loss", upload(other, 0)));
    const model = await newModel();
    const answer = await post("forward_backward", customPass(model, 1, loss_id));
    expect((await result(answer)).error).toMatch(/This session has no custom loss/);
    await post(`sessions/${other}/finish`, {});
    expect((await post("create_custom_loss", upload(other, 1))).status).toBe(410);
    expect((await post("session_heartbeat", { session_id })).status).toBe(200);
  });

  it("has its place from the moment on when it is kept, and counts among what the server keeps", async () => {
    const { post, result, session_id } = await startAsked({ mostCustomLosses: 1 });
    const sent = await Promise.all([0, 1].map((number) => post("create_custom_loss", upload(session_id, number))));
    const answers = await Promise.all(sent.map(result));
    expect(answers.map(({ error }) => error ?? "")).toEqual(["", expect.stringMatching(/has 1 custom losses/)]);
    const other = await startAsked({ mostJournalBytes: 2 * upload(session_id, 0).length + 1000 });
    expect(await other.result(await other.post("create_custom_loss", upload(other.session_id, 0)))).toHaveProperty(
      "loss_id",
    );
    const full = await other.result(await other.post("create_custom_loss", upload(other.session_id, 1)));
    expect(full).toMatchObject({
      category: "server",
      error: expect.stringMatching(/keeps \d+ bytes .* losses already/),
    });
    expect([...other.defects]).toEqual([]);
  });

  it("has limits: how many, how large, how deep; and fails for data that do not fit", async () => {
    const { post, result, newModel, session_id, policies, defects } = await startAsked({
      mostCustomLosses: 1,
      mostCustomLossBytes: 20_000,
    });
    const { loss_id } = await result(await post("create_custom_loss", upload(session_id, 0)));
    expect((await result(await post("create_custom_loss", upload(session_id, 1)))).error).toMatch(
      /has 1 custom losses/,
    );
    const large = graphOf("neg_ll").replace('"neg_ll"', `${" ".repeat(20_000)}"neg_ll"`);
    expect((await post("create_custom_loss", upload(session_id, 2, large))).status).toBe(413);
    const deep = graphOf("neg_ll").replace('"kwargs":{}', `"kwargs":{"a":${"[".repeat(100)}${"]".repeat(100)}}`);
    expect((await post("create_custom_loss", upload(session_id, 3, deep))).status).toBe(400);
    expect((await post("create_custom_loss", upload(session_id, 0, graphOf("focal")))).status).toBe(422);
    expect((await post("create_custom_loss", { session_id, custom_loss_seq_id: 4 })).status).toBe(422);
    const model = await newModel();
    const infinite = datum({ weights: Float32Array.of(0, Number.POSITIVE_INFINITY, 1) });
    const bad = [
      customPass(model, 1, loss_id, [datum({ weights: undefined })]),
      customPass(model, 2, loss_id, [datum({ weights: Float32Array.of(1), target_tokens: undefined })]),
      customPass(model, 3, loss_id, [
        {
          ...datum(),
          lossFnInputs: new Map([...datum().lossFnInputs, ["weights", floatTensor(Float32Array.of(1, 1, 1), [3, 1])]]),
        },
      ]),
      customPass(model, 4, loss_id, [infinite]),
      customPass(model, 5, loss_id, [datum({ weights: Float32Array.of(1, 2) })]),
    ];
    const messages = [/no weights/, /no target_tokens/, /\[3, 1\]/, /comes to -?Infinity/, /broadcast/];
    for (const [i, body] of bad.entries()) {
      const { error, category } = await result(await post("forward_backward", body));
      expect(category).toBe("user");
      expect(error).toMatch(messages[i]!);
    }
    await result(await post("forward_backward", customPass(model, 6, loss_id)));
    expect(policies[0]!.log).toEqual(["pass 0,1,1"]);
    expect(defects).toEqual([]);
  });
});
