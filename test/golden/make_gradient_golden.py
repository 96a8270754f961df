"""PyTorch's losses, gradients and AdamW steps on the committed Qwen3 checkpoints.

usage: OMP_NUM_THREADS=1 python test/golden/make_gradient_golden.py
writes test/golden/gradients.json; needs torch and transformers (versions in the JSON) and test/golden/models/.

Each sequence is computed alone, without padding. `padding_idx`, by which transformers withholds the gradient of the pad
token's embedding, is switched off as in Aha: a pad token is a token like any other, since padding never is one.
"""
import json
import pathlib

import torch
import transformers
from transformers import Qwen3ForCausalLM

HERE = pathlib.Path(__file__).parent
SEED = 20250121
ADAM = dict(learningRate=1e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weightDecay=0.01, maxGradNorm=1.0)
LOSSES = [
    dict(name="cross_entropy"),
    dict(name="grpo", clipEpsilon=0.2, clipEpsilonHigh=0.2, klCoef=0.0, temperature=1.0),
    dict(name="grpo", clipEpsilon=0.15, clipEpsilonHigh=0.28, klCoef=0.04, temperature=0.7),
]
# (prompt length, completion length); the first two share a prompt.
LENGTHS = [(6, 9), (6, 4), (1, 1), (1, 17), (13, 5), (4, 12)]


def load(name: str) -> Qwen3ForCausalLM:
    model = Qwen3ForCausalLM.from_pretrained(HERE / "models" / name, attn_implementation="eager").float().train()
    model.model.embed_tokens.padding_idx = None
    return model


def logprobs(model, datum: dict, temperature: float) -> torch.Tensor:
    prompt, completion = datum["prompt"], datum["completion"]
    logits = model(torch.tensor([prompt + completion[:-1]])).logits[0, len(prompt) - 1:].float() / temperature
    return torch.log_softmax(logits, dim=-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


def total_loss(model, data: list, loss: dict) -> torch.Tensor:
    total = torch.zeros(())
    for datum in data:
        logp = logprobs(model, datum, loss.get("temperature", 1.0))
        if loss["name"] == "cross_entropy":
            terms = -logp
        else:
            advantages = torch.tensor(datum["advantages"])
            ratio = torch.exp(logp - torch.tensor(datum["samplerLogprobs"]))
            clipped = torch.clamp(ratio, 1 - loss["clipEpsilon"], 1 + loss["clipEpsilonHigh"])
            difference = torch.tensor(datum["refLogprobs"]) - logp
            kl = torch.exp(difference) - difference - 1
            terms = -torch.min(ratio * advantages, clipped * advantages) + loss["klCoef"] * kl
        total = total + (torch.tensor(datum["weights"]) * terms).sum()
    return total


def random_tokens(vocab_size: int, length: int) -> list:
    # Not the pad token, 0: transformers initialises its embedding to exact zeros, where RMSNorm's slope is 1/sqrt(eps)
    # and drowns every other gradient.
    return torch.randint(1, vocab_size, (length,)).tolist()


def make_data(model, vocab_size: int, temperature: float) -> list:
    shared = random_tokens(vocab_size, LENGTHS[0][0])
    data = []
    for i, (prompt_length, completion_length) in enumerate(LENGTHS):
        prompt = shared if i < 2 else random_tokens(vocab_size, prompt_length)
        completion = random_tokens(vocab_size, completion_length)
        datum = {"prompt": prompt, "completion": completion}
        with torch.no_grad():
            logp = logprobs(model, datum, temperature)
        datum["weights"] = (torch.rand(completion_length) / sum(c for _, c in LENGTHS)).tolist()
        datum["advantages"] = torch.randn(completion_length).tolist()
        datum["samplerLogprobs"] = (logp + 0.25 * torch.randn(completion_length)).tolist()
        datum["refLogprobs"] = (logp + 0.4 * torch.randn(completion_length)).tolist()
        data.append(datum)
    return data


def summary(tensors: dict) -> dict:
    """Of each tensor its norm and eight elements, evenly spread."""
    result = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().flatten()
        indices = [(k * (flat.numel() - 1)) // 7 for k in range(8)]
        values = [float(f"{float(flat[i]):.9g}") for i in indices]
        result[name] = {"norm": float(flat.double().norm()), "indices": indices, "values": values}
    return result


def case(name: str, loss: dict) -> dict:
    model = load(name)
    data = make_data(model, model.config.vocab_size, loss.get("temperature", 1.0))
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": ADAM["weightDecay"]},
            {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=ADAM["learningRate"], betas=(ADAM["beta1"], ADAM["beta2"]), eps=ADAM["epsilon"],
    )
    steps = []
    for step in range(2):
        optimizer.zero_grad()
        value = total_loss(model, data, loss)
        value.backward()
        gradients = summary({n: p.grad for n, p in parameters.items()}) if step == 0 else None
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), ADAM["maxGradNorm"])
        optimizer.step()
        steps.append({
            "loss": float(value), "gradNorm": float(norm), "weights": summary(parameters),
            **({"gradients": gradients} if gradients else {}),
        })
    return {"model": name, "loss": loss, "data": data, "steps": steps}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    golden = {
        "generator": "test/golden/make_gradient_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "dtype": "float32",
        "tolerance": {"loss": 1e-5, "gradNormRelative": 1e-4, "gradientOfNorm": 1e-4, "weights": 1e-5},
        "meaning": "two AdamW steps on one batch; norm and eight elements (flat index) of each tensor of the checkpoint",
        "adam": ADAM,
        "cases": [case(name, loss) for name in ("qwen3-tied", "qwen3-untied") for loss in LOSSES],
    }
    (HERE / "gradients.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
