"""Custom losses as the official Tinker SDK uploads them, with what PyTorch makes of them: `custom-losses.json`.

Each loss is traced and encoded by the SDK's own code (`trace_loss`, `encode_graph`), and the traced graph is run by PyTorch in
float64: the loss of each datum, its slope by each log-probability, and the metrics. Some losses are those that people write;
the others are sums of many operations with coefficients of their own, so that every operation is in one.

Python 3.11 with torch and tinker==0.38.0:  python make_custom_loss_golden.py
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from tinker.lib.public_interfaces.custom_loss import encode_graph, trace_loss

CASES = []


def case(ranks="", data="usual"):
    """Notes a loss; `ranks` are those of its inputs other than logprobs, 1 where none is named."""

    def note(fn):
        CASES.append((fn, dict(pair.split("=") for pair in ranks.split()), data))
        return fn

    return note


# --- Losses that people write.


@case()
def neg_ll(logprobs, weights):
    loss = -(logprobs * weights).sum()
    return loss, {"custom/neg_ll:sum": loss}


@case()
def clipped_policy(logprobs, old_logprobs, advantages, mask):
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = torch.clamp(ratio, 1 - 0.2, 1 + 0.28)
    term = -torch.minimum(ratio * advantages, clipped * advantages)
    loss = (term * mask).sum() / mask.sum().clamp(min=1)
    with torch.no_grad():
        was_clipped = ((ratio - clipped).abs() > 1e-8).float()
    return loss, {
        "custom/clip_fraction:mean": (was_clipped * mask).sum() / mask.sum(),
        "custom/ratio/max:mean": ratio.max().detach(),
        "custom/tokens:sum": mask.sum(),
    }


@case()
def sequence_ratio(logprobs, old_logprobs, advantages, mask):
    count = mask.sum().clamp_min(1.0)
    log_ratio = ((logprobs - old_logprobs) * mask).sum() / count
    token = log_ratio.detach() + logprobs - logprobs.detach()
    ratio = torch.exp(torch.clamp(token, max=10.0))
    bounded = torch.clamp(ratio, 1 - 3e-4, 1 + 4e-4)
    loss = -torch.min(ratio * advantages, bounded * advantages)
    return (loss * mask).sum() / count, {"custom/log_ratio:mean": log_ratio}


@case()
def kl_regularised(logprobs, ref_logprobs, advantages, mask):
    delta = ref_logprobs - logprobs
    k3 = delta.exp() - delta - 1.0
    k1 = -delta
    k2 = 0.5 * delta**2
    loss = ((0.04 * k3 - advantages * torch.exp(logprobs - logprobs.detach())) * mask).sum()
    return loss, {"custom/k1:mean": (k1 * mask).mean(), "custom/k2:mean": (k2 * mask).mean(), "custom/k3:mean": (k3 * mask).mean()}


@case("beta=0")
def preference(logprobs, ref_logprobs, chosen, beta):
    margin = ((logprobs - ref_logprobs) * (2.0 * chosen - 1.0)).sum()
    loss = -F.logsigmoid(beta * margin)
    return loss, {"custom/margin:mean": margin, "custom/accuracy:mean": (margin > 0).float()}


@case()
def truncated_importance(logprobs, old_logprobs, advantages, mask):
    weight = torch.exp(logprobs.detach() - old_logprobs)
    weight = torch.where(weight > 2.0, torch.full_like(weight, 2.0), weight)
    keep = (mask > 0) & (weight >= 0.5)
    loss = -(torch.where(keep, weight * advantages * logprobs, 0.0)).sum()
    return loss, {"custom/kept:sum": keep.sum(), "custom/kept_fraction:mean": keep.float().mean()}


@case()
def focal(logprobs, mask):
    probability = logprobs.exp()
    loss = -((1 - probability) ** 2 * logprobs * mask).sum() / logprobs.shape[0]
    return loss, {"custom/probability:mean": probability.mean()}


@case()
def length_normalised(logprobs, mask):
    n = logprobs.size(0)
    average = (logprobs * mask).sum() / math.sqrt(n) / max(1, 2)
    return -average, {"custom/perplexity:mean": torch.exp(-logprobs.mean())}


@case()
def discounted(logprobs, advantages):
    n = logprobs.shape[0]
    steps = torch.arange(n)
    discount = 0.9 ** steps.to(logprobs.dtype)
    returns = torch.flip(torch.cumsum(torch.flip(advantages * discount, [0]), dim=0), [0]) / discount
    baseline = returns.mean()
    std = returns.std().clamp(min=1e-6)
    loss = -(logprobs[1:] * ((returns - baseline) / std)[:-1]).sum()
    return loss, {"custom/return:mean": returns[0], "custom/std:mean": std}


@case()
def masked_selection(logprobs, mask):
    chosen = logprobs[mask > 0]
    worst = torch.topk(chosen, 2, largest=False).values
    loss = -chosen.sum() - 2 * worst.mean() + torch.logsumexp(chosen, dim=0)
    return loss, {"custom/chosen:sum": torch.ones_like(chosen).sum()}


@case("choices=2")
def distribution(logprobs, choices):
    target = F.softmax(choices, dim=-1)
    best = choices.max(dim=1)
    entropy = -(target * torch.log(target + 1e-9)).sum(dim=-1)
    loss = -(logprobs * target[:, 0] * entropy).sum() + F.kl_div(
        logprobs, target.mean(dim=1), reduction="sum"
    )
    return loss, {"custom/best:mean": best.values.mean(), "custom/first:sum": best.indices.float().sum()}


@case()
def huberised(logprobs, ref_logprobs, mask):
    close = F.huber_loss(logprobs, ref_logprobs, delta=0.5, reduction="none")
    smooth = F.smooth_l1_loss(logprobs * mask, ref_logprobs * mask, beta=0.3)
    squares = F.mse_loss(logprobs, ref_logprobs)
    likely = F.binary_cross_entropy_with_logits(logprobs - ref_logprobs, mask)
    return (close * mask).sum() + smooth + squares + likely + F.l1_loss(logprobs, mask), {}


@case()
def whole_numbers(logprobs, labels):
    is_label = labels == 2
    halves = labels // 2 + labels % 2 - (-labels)
    scale = 1.0 * labels
    loss = -(logprobs * is_label).sum() - (logprobs * halves).sum() / labels.sum() - (logprobs * scale).mean()
    return loss, {
        "custom/labels:sum": labels.sum(),
        "custom/any:mean": is_label.any().float(),
        "custom/all:mean": (labels > -1).all().float(),
        "custom/half:mean": (labels / 2).mean(),
    }


@case(data="edges")
def edges(logprobs, other):
    """Where both are the same, at bounds, at zero."""
    loss = (
        torch.maximum(logprobs, other) * 2
        + torch.minimum(logprobs, other) * 3
        + logprobs.clamp(-1.0, 0.0) * 5
        + logprobs.abs() * 7
        + torch.relu(logprobs) * 11
        + logprobs.clamp(min=other) * 13
        + F.softplus(logprobs * 30) * 17
    )
    return loss.sum() + logprobs.max() + logprobs.amin() * 3 + logprobs.sum().abs() + (logprobs * 0).norm() + logprobs.prod(), {}


# --- Sums of operations.


def family(name, expressions, ranks="", inputs=("a", "b"), data="usual"):
    lines = [f"def {name}(logprobs, {', '.join(inputs)}):", "  loss = 0", "  metrics = {}"]
    if "m" in inputs:
        lines.append("  p = m * logprobs[:, None]")
    for i, expression in enumerate(expressions):
        # Coefficients that differ, so that neither elements nor operations can stand for each other.
        lines.append(f"  y = {expression}")
        lines.append("  z = (y * y.cos()).sum()")
        lines.append(f"  loss = loss + {round(math.cos(i + 1), 3)} * z")
        lines.append(f"  metrics['custom/{i}:sum'] = z")
    lines.append("  return loss, metrics")
    scope = {"torch": torch, "F": F, "math": math}
    exec("\n".join(lines), scope)
    case(ranks, data)(scope[name])


family("unary", [
    *("torch.exp(logprobs)", "logprobs.exp2()", "logprobs.expm1()", "torch.log(-logprobs)", "(-logprobs).log2()"),
    *("(-logprobs).log10()", "torch.log1p(-logprobs)", "torch.sqrt(-logprobs)", "torch.rsqrt(-logprobs)", "logprobs.reciprocal()"),
    *("torch.sigmoid(logprobs)", "F.sigmoid(logprobs)", "torch.special.expit(logprobs)", "torch.tanh(logprobs)", "logprobs.sin()"),
    *("torch.atan(logprobs)", "F.logsigmoid(logprobs)", "F.silu(logprobs)", "F.softplus(logprobs, beta=2)", "F.leaky_relu(logprobs + 1)"),
    *("F.elu(logprobs + 1)", "F.hardtanh(logprobs)", "logprobs.square()", "abs(logprobs)", "-logprobs", "+logprobs", "logprobs.sign() * a"),
    *("logprobs.floor() * logprobs", "logprobs.ceil() * logprobs", "torch.round(logprobs) * logprobs", "logprobs.trunc() * logprobs"),
    *("F.relu(logprobs + 1)", "torch.nan_to_num(torch.where(a > 0, logprobs, float('nan')), nan=0.5)", "logprobs.double()", "logprobs.clone()"),
])
family("binary", [
    *("logprobs + a", "logprobs - a", "logprobs * a", "logprobs / a", "2 - logprobs", "3 / logprobs", "logprobs ** 2", "2 ** logprobs"),
    *("(-logprobs) ** a", "torch.pow(-logprobs, 1.5)", "torch.add(logprobs, a, alpha=3)", "torch.sub(a, logprobs, alpha=0.5)", "logprobs % 0.7"),
    *("torch.fmod(logprobs, 0.7)", "torch.div(logprobs, a)", "logprobs * torch.div(logprobs, a, rounding_mode='floor')", "logprobs * (a // 0.3)"),
    *("torch.maximum(logprobs, a)", "torch.max(logprobs, a)", "logprobs.minimum(a)", "torch.logaddexp(logprobs, a)", "torch.special.xlogy(b, -logprobs)"),
    *("torch.lerp(logprobs, a, 0.3)", "torch.clamp(logprobs, max=a)", "logprobs.clip(-2.0, -0.5)", "torch.where(logprobs > a, logprobs, a)"),
    *("logprobs.where(a > 0, a)", "logprobs.masked_fill(a > 0, 0.5)", "logprobs * ((a > 0) | (logprobs < -1))", "logprobs * ~(a > 0)"),
    *("logprobs * torch.logical_and(a > 0, b < 1)", "logprobs * ((a > 0) ^ (b > 0))", "logprobs * (a != b)", "logprobs * (a <= b)", "logprobs * a.ge(0.5)"),
    *("logprobs * torch.isfinite(a)", "logprobs * (a == a).logical_not()", "logprobs * torch.eq(a, b)", "logprobs[:, None] * a", "logprobs[:, None] - logprobs"),
])
family("reduced", [
    *("logprobs.sum()", "torch.sum(p, dim=0)", "p.sum(-1, keepdim=True)", "p.sum((0, 1))"),
    *("logprobs.mean()", "p.mean(dim=1)", "logprobs.prod()", "p.prod(1)", "logprobs.max()", "torch.min(logprobs)"),
    *("p.amax(dim=1)", "p.amin(0)", "p.max(dim=1).values", "torch.min(p, 1)[0]"),
    *("logprobs * logprobs.argmax()", "logprobs * p.argmin(dim=1)", "logprobs.var()", "logprobs.std(unbiased=False)", "p.var(dim=0)"),
    *("p.std(1, correction=0)", "logprobs.norm()", "torch.norm(logprobs, p=1)", "torch.linalg.norm(logprobs)", "torch.linalg.vector_norm(p, dim=1)"),
    *("F.normalize(logprobs, dim=0)", "torch.logsumexp(logprobs, 0)", "p.logsumexp(dim=1, keepdim=True)", "F.softmax(logprobs, dim=0)", "p.softmax(-1)"),
    *("F.log_softmax(p, dim=1)", "torch.cumsum(logprobs, 0)", "p.cumsum(dim=1)", "logprobs.sort().values", "torch.sort(p, dim=0, descending=True)[0]"),
    *("torch.topk(logprobs, 2).values", "logprobs * logprobs.argsort()", "torch.dot(logprobs, a)", "logprobs @ m", "m.T @ logprobs", "m.T @ p", "torch.matmul(m.t(), logprobs)"),
    *("logprobs * m.any(dim=1)", "logprobs * torch.count_nonzero(m)", "logprobs * (m > 0).all()"),
], "m=2", ("a", "m"))
family("arranged", [
    *("logprobs[1:]", "logprobs[:-1] * a[1:]", "logprobs[::2]", "logprobs[-1]", "logprobs[0] * a", "logprobs[..., None] * m", "logprobs[None, 1:3]", "m[:, 0] * logprobs", "m[1] * logprobs[1]"),
    *("p[1:, ::2]", "logprobs[m[:, 0] > 0]", "p[m > 0]", "logprobs[torch.argsort(a)]", "p[torch.arange(logprobs.shape[0]), m.argmax(dim=1)]"),
    *("logprobs.view(-1, 1) * m", "torch.reshape(p, (-1,))", "p.flatten()", "logprobs.unsqueeze(1).expand(-1, 3) * m", "logprobs[:, None].expand_as(m)"),
    *("(m * logprobs.unsqueeze(-1)).squeeze()", "p.transpose(0, 1)[0]", "p.permute(1, 0)[1]", "logprobs.flip(0) * a", "torch.cat([logprobs, a])"),
    *("torch.cat([logprobs[:2], logprobs, a[1:]], dim=0)", "torch.cat([p, m], dim=1)", "torch.stack([logprobs, a], dim=1) * 2", "torch.stack((logprobs, logprobs * a)).sum(0)"),
    *("logprobs.narrow(0, 1, 2)", "torch.index_select(logprobs, 0, m.argmax(dim=0))", "torch.gather(p, 1, m.argsort(dim=1))", "logprobs.masked_select(a > 0)", "logprobs.unbind(0)[1]"),
    *("torch.split(logprobs, 2)[0]", "logprobs.chunk(2)[1]", "torch.roll(logprobs, 1) * a", "logprobs.diff()", "logprobs.repeat(2)", "F.pad(logprobs, (1, 0))", "F.pad(logprobs, (1, -1), value=0.5)"),
    *("torch.zeros_like(logprobs) + logprobs", "torch.ones_like(logprobs) * logprobs", "logprobs.new_zeros(2) + logprobs[:2]", "logprobs.new_full((2,), 0.3) * logprobs[:2]", "logprobs * logprobs.numel()", "logprobs * logprobs.dim()", "logprobs * m.shape[1]", "logprobs / m.size(-1)", "logprobs * math.log(m.shape[1])", "logprobs.view(m.shape[0], 1) * m"),
], "m=2", ("a", "m"))


def numbers(count, phase, scale=1.0):
    """Numbers that look random, are the same everywhere, and that float32 holds."""
    return [round(scale * math.sin(12.9898 * (i + 1) + 78.233 * phase), 3) for i in range(count)]


def usual(name, rank, length, phase):
    if name == "logprobs":
        return [round(-abs(x) - 0.05, 3) for x in numbers(length, phase, 2.5)]
    if name.endswith("logprobs"):
        return [round(-abs(x) - 0.05, 3) for x in numbers(length, phase + 0.01, 2.5)]
    if name in ("mask", "chosen"):
        return [float(i % 3 != 1) for i in range(length)]
    if name == "labels":
        return [i % 4 for i in range(length)]
    if rank == 0:
        return 0.3
    own = phase + sum(map(ord, name)) % 17
    if rank == 2:
        return [numbers(3, own + i, 1.5) for i in range(length)]
    return [x if abs(x) > 0.05 else 0.5 for x in numbers(length, own, 1.5)]


def edge(name, rank, length, phase):
    return [-1.0, 0.0, 0.5, -2.0] if name == "logprobs" else [-1.0, 0.0, 1.5, -3.0]


def run(fn, named_ranks, how):
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    ranks = {name: int(named_ranks.get(name, 1)) for name in names}
    handle = trace_loss(fn, ranks, "session")
    data = []
    for phase, length in enumerate((5, 4) if how == "usual" else (4,)):
        values = {name: (usual if how == "usual" else edge)(name, rank, length, phase) for name, rank in ranks.items()}
        # As they travel, in float32; computed with in float64.
        tensors = [
            torch.tensor(v) if n == "labels" else torch.tensor(v, dtype=torch.float32).to(torch.float64)
            for n, v in values.items()
        ]
        tensors[0].requires_grad_(True)
        loss, metrics = handle.graph(*tensors)
        loss.backward()
        own = {key: float(value.detach()) for key, value in metrics.items()}
        data.append({"inputs": values, "loss": loss.item(), "slopes": tensors[0].grad.tolist(), "metrics": own})
    graph = encode_graph(handle)
    nodes = [{"op": n.op, "name": n.name, "target": n.target, "args": n.args, "kwargs": n.kwargs} for n in graph.nodes]
    inputs = [{"name": i.name, "rank": i.rank} for i in handle.inputs]
    # As a text: whether a number is an int or a float is not to be lost.
    upload = json.dumps({"name": handle.name, "inputs": inputs, "graph": {"format": 1, "nodes": nodes}}, separators=(",", ":"))
    assert all(math.isfinite(x) for one in data for x in (one["loss"], *one["slopes"], *one["metrics"].values())), handle.name
    return {"name": handle.name, "upload": upload, "data": data}


cases = [run(*one) for one in CASES]
path = Path(__file__).with_name("custom-losses.json")
path.write_text("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases) + "\n]\n")
print(f"{len(cases)} losses, {path.stat().st_size} bytes")
