"""The official SDK on `aha serve --tinker`, beside PyTorch on the same base and adapter.

usage: compare.py URL BASE_MODEL MODEL_DIRECTORY CHECKPOINT_DIRECTORY

For each loss: one datum of random tokens and one whose targets are not its shifted input, a pass, a step. PyTorch has the
adapter's files as the server saved them before the pass, computes the loss by the formula, and takes AdamW's first step.
"""

import dataclasses
import json
import math
import os
import sys

import numpy as np
import tinker
import torch
from peft import PeftModel
from tinker import types
from transformers import AutoModelForCausalLM

URL, BASE, MODEL, KEPT = sys.argv[1:5]
torch.manual_seed(0)
rng = np.random.default_rng(7)
VOCAB = json.load(open(os.path.join(MODEL, "config.json")))["vocab_size"]
LEARNING_RATE = 1e-2
# Of everything that is compared: losses and log-probabilities in nats (relative where above 1), norms relative.
TOLERANCE = 5e-6
worst = {}


def note(what, actual, expected, tolerance, scale=None):
    a, b = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, not {b.shape}"
    gap = float(np.max(np.abs(a - b) / (np.maximum(1, np.abs(b)) if scale is None else scale)))
    worst[what] = max(worst.get(what, 0.0), gap)
    assert gap <= tolerance, f"{what}: {a} and {b} are {gap} apart, more than {tolerance}"


def adapter_directory(path):
    model, kind, name = path.removeprefix("tinker://").split("/")
    return os.path.join(KEPT, model.replace(":", "~"), kind, name)


def torch_model(path, trainable=True):
    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(base, adapter_directory(path), is_trainable=trainable)


def logprobs_of(model, tokens, targets):
    logits = model(torch.tensor([tokens])).logits[0].float()
    return torch.log_softmax(logits, -1)[torch.arange(len(targets)), torch.tensor(targets)]


def loss_of(name, lp, inputs, config):
    if name == "cross_entropy":
        return -(torch.tensor(inputs["weights"]) * lp).sum()
    q, adv = torch.tensor(inputs["logprobs"]), torch.tensor(inputs["advantages"])
    low, high = config.get("clip_low_threshold", 0.8), config.get("clip_high_threshold", 1.2)
    ratio = torch.exp(lp - q)
    if name == "importance_sampling":
        return -(ratio * adv).sum()
    if name == "ppo":
        return -torch.minimum(ratio * adv, ratio.clamp(low, high) * adv).sum()
    if name == "cispo":
        return -(ratio.clamp(low, high).detach() * adv * lp).sum()
    if name == "dro":
        return -(lp * adv - 0.5 * config["beta"] * (lp - q) ** 2).sum()
    mask = torch.tensor(inputs["sequence_ratio_mask"])
    whole = torch.exp(((lp - q) * mask).sum() / mask.sum())
    return -(torch.minimum(whole * adv, whole.clamp(low, high) * adv) * mask).sum()


CASES = [
    ("cross_entropy", {}),
    ("importance_sampling", {}),
    ("ppo", {}),
    ("ppo", {"clip_low_threshold": 0.95, "clip_high_threshold": 1.02}),
    ("cispo", {}),
    ("cispo", {"clip_low_threshold": 0.0, "clip_high_threshold": 1.1}),
    ("dro", {"beta": 0.05}),
    ("gspo", {}),
    ("gspo", {"clip_low_threshold": 0.9, "clip_high_threshold": 1.3}),
]

service = tinker.ServiceClient(base_url=URL)
training = service.create_lora_training_client(base_model=BASE, rank=4, seed=11).result()
# An adapter that changes something: B is zero at first.
first = [int(t) for t in rng.integers(3, VOCAB, 12)]
warm = types.Datum(
    model_input=types.ModelInput.from_ints(first[:-1]),
    loss_fn_inputs={"target_tokens": first[1:], "weights": [1.0] * 11},
)
training.forward_backward([warm], "cross_entropy")
training.optim_step(types.AdamParams(learning_rate=0.02)).result()

for index, (name, config) in enumerate(CASES):
    path = training.save_weights_for_sampler(f"before-{index}").result().path
    # A model of its own for each case, so that every step is the first.
    state = training.save_state(f"state-{index}").result().path
    own = service.create_training_client_from_state(state).result()
    reference = torch_model(path)
    data, rows = [], []
    for length, shifted in ((9, True), (14, False), (5, True)):
        tokens = [int(t) for t in rng.integers(3, VOCAB, length + 1)]
        targets = tokens[1:] if shifted else [0] * 4 + tokens[5:]
        with torch.no_grad():
            lp = logprobs_of(reference, tokens[:-1], targets).numpy()
        sampled = np.arange(length) >= 4
        inputs = {"target_tokens": targets}
        if name == "cross_entropy":
            inputs["weights"] = [float(w) for w in np.round(rng.normal(size=length), 3) * sampled]
        else:
            inputs["logprobs"] = [float(np.float32(v)) for v in (lp + rng.normal(size=length) * 0.2) * sampled]
            inputs["advantages"] = [float(np.float32(v)) for v in rng.normal() * sampled]
        if name == "gspo":
            inputs["sequence_ratio_mask"] = [float(s) for s in sampled]
        data.append(types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs))
        rows.append((tokens[:-1], targets, inputs))
    forward = own.forward(data, name, loss_fn_config=config or None).result()
    result = own.forward_backward(data, name, loss_fn_config=config or None)
    stepped = own.optim_step(types.AdamParams(learning_rate=LEARNING_RATE, beta1=0.9, beta2=0.95, eps=1e-8)).result()
    result = result.result()

    scores = [logprobs_of(reference, tokens, targets) for tokens, targets, _ in rows]
    loss = sum(loss_of(name, lp, inputs, config) for lp, (_, _, inputs) in zip(scores, rows))
    loss.backward()
    parameters = [p for p in reference.parameters() if p.requires_grad]
    norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in parameters))
    note("loss", result.metrics["loss:sum"], loss.item(), TOLERANCE)
    note("loss of a forward pass", forward.metrics["loss:sum"], loss.item(), TOLERANCE)
    note("gradient norm, relative", stepped.metrics["grad_norm"] / norm, 1.0, TOLERANCE)
    for output, lp in zip(result.loss_fn_outputs, scores):
        note("log-probabilities", output["logprobs"].tolist(), lp.detach().numpy(), TOLERANCE)
    torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0).step()
    after = own.forward(data, name, loss_fn_config=config or None).result()
    for output, (tokens, targets, _) in zip(after.loss_fn_outputs, rows):
        with torch.no_grad():
            expected = logprobs_of(reference, tokens, targets).numpy()
        note("log-probabilities after the step", output["logprobs"].tolist(), expected, TOLERANCE)

# A loss of the client's own, by forward_backward_custom: the same as cross-entropy with weights of one.
data = [warm]


def own_loss(data, logprobs):
    return -sum(lp.sum() for lp in logprobs), {"own:sum": 1.0}


state = training.save_state("custom").result().path
custom = service.create_training_client_from_state(state).result()
custom.forward_backward_custom(data, own_loss).result()
by_slopes = custom.optim_step(types.AdamParams(learning_rate=1e-3)).result().metrics["grad_norm"]
plain = service.create_training_client_from_state(state).result()
plain.forward_backward(data, "cross_entropy").result()
direct = plain.optim_step(types.AdamParams(learning_rate=1e-3)).result().metrics["grad_norm"]
note("gradient norm by forward_backward_custom, relative", by_slopes / direct, 1.0, TOLERANCE)

# Custom losses that the server computes: the SDK uploads what it traced. The same handle without its id is computed by the
# client. More data than one request takes, so that the parts add up.


def clipped(logprobs, old_logprobs, advantages, beta):
    ratio = torch.exp(logprobs - old_logprobs)
    bounded = torch.clamp(ratio, 0.9, 1.05)
    term = -torch.minimum(ratio * advantages, bounded * advantages)
    delta = old_logprobs - logprobs
    penalty = delta.exp() - delta - 1.0
    last = logprobs[1:] - logprobs[:-1].detach()
    loss = (term + beta * penalty).sum() / logprobs.shape[0] + 0.01 * torch.stack([last.mean(), torch.logsumexp(logprobs, 0)]).sum()
    return loss, {
        "custom/clipped:mean": (ratio != bounded).float().mean(),
        "custom/tokens:sum": torch.ones_like(ratio).sum(),
    }


handle = service.create_custom_loss(
    clipped, {"logprobs": 1, "old_logprobs": 1, "advantages": 1, "beta": 0}
).result()
assert handle.loss_id is not None, "the SDK did not upload the loss"
data = []
for i in range(1030):
    length = 3 + i % 4
    tokens = [int(t) for t in rng.integers(3, VOCAB, length + 1)]
    inputs = {
        "target_tokens": tokens[1:],
        "old_logprobs": types.TensorData.from_numpy(rng.normal(-4, 0.5, length).astype(np.float32)),
        "advantages": types.TensorData.from_numpy(rng.normal(size=length).astype(np.float32)),
        "beta": types.TensorData(data=[0.1], dtype="float32", shape=[]),
    }
    data.append(types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs))
results = []
for own_handle in (handle, dataclasses.replace(handle, loss_id=None)):
    own = service.create_training_client_from_state(state).result()
    passed = own.forward_backward_custom(data, own_handle)
    stepped = own.optim_step(types.AdamParams(learning_rate=LEARNING_RATE, eps=1e-8))
    after = own.forward(data[:5], "cross_entropy").result()
    results.append((passed.result(), stepped.result().metrics["grad_norm"], after))
(by_server, server_norm, server_after), (by_client, client_norm, client_after) = results
note("custom loss on the server and the client, relative", by_server.metrics["loss:sum"] / by_client.metrics["loss:sum"], 1.0, TOLERANCE)
note("its gradient norm, relative", server_norm / client_norm, 1.0, TOLERANCE)
for name in ("custom/tokens:sum", "custom/clipped:mean"):
    # The client's route counts the mean over all data itself.
    note("its metrics", by_server.metrics[name], by_client.metrics[name], TOLERANCE)
for a, b in zip(server_after.loss_fn_outputs, client_after.loss_fn_outputs):
    note("log-probabilities after its step", a["logprobs"].tolist(), b["logprobs"].tolist(), TOLERANCE)


def unknown(logprobs):
    return torch.erf(logprobs).sum(), {}


try:
    service.create_custom_loss(unknown, {"logprobs": 1}).result()
    raise SystemExit("a loss with an operation that the server does not have was not refused")
except tinker.RequestFailedError as error:
    assert "torch.erf" in str(error) and '"erf"' in str(error), error

# Samples: log-probabilities of what was drawn, of the prompt, greedy tokens, frequencies.
path = training.save_weights_for_sampler("sampler").result().path
sampler = service.create_sampling_client(model_path=path)
reference = torch_model(path, trainable=False)
prompt = [int(t) for t in rng.integers(3, VOCAB, 8)]
with torch.no_grad():
    answer = sampler.sample(
        types.ModelInput.from_ints(prompt),
        num_samples=6,
        sampling_params=types.SamplingParams(max_tokens=10, seed=3, temperature=1.0, stop=[]),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=3,
    ).result()
    for sequence in answer.sequences:
        tokens = list(sequence.tokens)
        assert len(tokens) == 10 and sequence.stop_reason == "length"
        whole = prompt + tokens
        expected = logprobs_of(reference, whole[:-1], whole[1:]).numpy()
        note("log-probabilities of samples", sequence.logprobs, expected[len(prompt) - 1 :], TOLERANCE)
    assert len({tuple(s.tokens) for s in answer.sequences}) > 1
    expected = logprobs_of(reference, prompt[:-1], prompt[1:]).numpy()
    assert answer.prompt_logprobs[0] is None
    note("log-probabilities of a prompt", answer.prompt_logprobs[1:], expected, TOLERANCE)
    note("compute_logprobs", sampler.compute_logprobs(types.ModelInput.from_ints(prompt)).result()[1:], expected, TOLERANCE)
    again = sampler.sample(
        types.ModelInput.from_ints(prompt),
        num_samples=6,
        sampling_params=types.SamplingParams(max_tokens=10, seed=3, temperature=1.0, stop=[]),
    ).result()
    assert [list(s.tokens) for s in again.sequences] == [list(s.tokens) for s in answer.sequences], "one seed, two samples"
    greedy = sampler.sample(
        types.ModelInput.from_ints(prompt), num_samples=1, sampling_params=types.SamplingParams(max_tokens=6, temperature=0.0, stop=[])
    ).result()
    tokens = list(prompt)
    for token in greedy.sequences[0].tokens:
        logits = reference(torch.tensor([tokens])).logits[0, -1]
        note("greedy token below the best", float(logits.max() - logits[token]), 0.0, 1e-4)
        tokens.append(token)
    count = 2000
    draws = sampler.sample(
        types.ModelInput.from_ints(prompt), num_samples=count, sampling_params=types.SamplingParams(max_tokens=1, seed=5, stop=[])
    ).result()
    probabilities = torch.softmax(reference(torch.tensor([prompt])).logits[0, -1].double(), -1).numpy()
    found = np.bincount([s.tokens[0] for s in draws.sequences], minlength=VOCAB)
    common = probabilities * count >= 5
    chi2 = float((((found - probabilities * count) ** 2) / (probabilities * count))[common].sum())
    bound = common.sum() + 5 * math.sqrt(2 * common.sum())
    assert chi2 < bound, f"draws are not as frequent as their probabilities say: {chi2} above {bound}"

# Methods of the SDK that are not about numbers.
rest = service.create_rest_client()
runs = rest.list_training_runs().result().training_runs
assert any(run.training_run_id == training.model_id for run in runs)
names = [c.checkpoint_id for c in rest.list_checkpoints(training.model_id).result().checkpoints]
assert "weights/state-0" in names and "sampler_weights/sampler" in names, names
assert rest.get_weights_info_by_tinker_path(path).result().lora_rank == 4
rest.delete_checkpoint_from_tinker_path(path).result()
names = [c.checkpoint_id for c in rest.list_checkpoints(training.model_id).result().checkpoints]
assert "sampler_weights/sampler" not in names
for what, call in (
    ("a loss that there is not", lambda: training.forward_backward(data, "stable_reinforce").result()),
    ("a step without a gradient", lambda: training.optim_step(types.AdamParams(learning_rate=1e-3)).result()),
    ("a base that is not served", lambda: service.create_lora_training_client(base_model="other", rank=4).result()),
    ("a rank out of range", lambda: service.create_lora_training_client(base_model=BASE, rank=100_000).result()),
    ("a rank of 0", lambda: service.create_lora_training_client(base_model=BASE, rank=0).result()),
    ("a rank below 0", lambda: service.create_lora_training_client(base_model=BASE, rank=-3).result()),
    ("a checkpoint that is not there", lambda: service.create_training_client_from_state(state + "x").result()),
):
    try:
        call()
        raise SystemExit(f"{what} was not refused")
    except (tinker.RequestFailedError, tinker.APIStatusError) as error:
        assert len(str(error)) > 20
training.forward_backward(data, "cross_entropy")
training.optim_step(types.AdamParams(learning_rate=1e-3)).result()

service.close("success").result()
for what, gap in worst.items():
    print(f"{what}: {gap:.1e}")
