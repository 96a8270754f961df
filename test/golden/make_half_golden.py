"""Log-probabilities of the committed checkpoints with a trunk in bfloat16 and in float16, by PyTorch.

usage: OMP_NUM_THREADS=1 python test/golden/make_half_golden.py
writes test/golden/half.json; needs torch and transformers (versions in the JSON) and test/golden/models/.

For each sequence three lists of numbers:

- "transformers": the model of transformers, all of it in 16 bits (logits cast to float32), which rounds in other places;
- "float32": the same in float32, so that the two show how large rounding errors are;
- "trunk": the decoder written here, which rounds where Aha's does (src/model/decoder.ts): residual stream, projections and
  activations are PyTorch's 16-bit operations; embedding, norms, rotation, attention and head are float32.
"""
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
SEED = 20250122
MODELS = ["qwen3-tied", "qwen3-untied", "qwen2", "llama-scaled"]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LENGTHS = [5, 17, 30]


def norm(x: torch.Tensor, module, epsilon: float) -> torch.Tensor:
    """RMSNorm in float32."""
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * module.weight


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x [heads, T, D] in float32."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x.float() * cos + turned.float() * sin


def trunk_logits(model, tokens: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Logits [T, V] of one sequence [T]."""
    config, decoder = model.config, model.model
    epsilon = config.rms_norm_eps
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    length = len(tokens)

    def linear(x: torch.Tensor, module) -> torch.Tensor:
        bias = None if module.bias is None else module.bias.to(dtype)
        return F.linear(x, module.weight.to(dtype), bias)

    def heads(x: torch.Tensor, count: int) -> torch.Tensor:
        return x.view(length, count, head_dim)

    x = decoder.embed_tokens.weight[tokens].to(dtype)
    cos, sin = decoder.rotary_emb(x.float()[None], torch.arange(length)[None])
    cos, sin = cos[0], sin[0]
    mask = torch.full((length, length), -1e9).triu(1)
    for layer in decoder.layers:
        own = layer.self_attn
        normed = norm(x, layer.input_layernorm, epsilon).to(dtype)
        q = heads(linear(normed, own.q_proj), config.num_attention_heads)
        k = heads(linear(normed, own.k_proj), config.num_key_value_heads)
        v = heads(linear(normed, own.v_proj), config.num_key_value_heads)
        if hasattr(own, "q_norm"):
            q = norm(q, own.q_norm, epsilon).to(dtype)
            k = norm(k, own.k_norm, epsilon).to(dtype)
        q, k = (rotated(one.transpose(0, 1), cos, sin).to(dtype).float() for one in (q, k))
        repeats = config.num_attention_heads // config.num_key_value_heads
        k, v = (one.repeat_interleave(repeats, dim=0) for one in (k, v.transpose(0, 1).float()))
        weights = torch.softmax(q @ k.transpose(1, 2) * head_dim**-0.5 + mask, dim=-1)
        attended = (weights @ v).transpose(0, 1).reshape(length, -1).to(dtype)
        x = x + linear(attended, own.o_proj)
        normed = norm(x, layer.post_attention_layernorm, epsilon).to(dtype)
        x = x + linear(F.silu(linear(normed, layer.mlp.gate_proj)) * linear(normed, layer.mlp.up_proj), layer.mlp.down_proj)
    hidden = norm(x, decoder.norm, epsilon)
    return hidden @ model.lm_head.weight.T


def logprobs(logits: torch.Tensor, tokens: torch.Tensor) -> list:
    """Of all tokens but the first."""
    all_logprobs = torch.log_softmax(logits.float()[:-1], dim=-1)
    return [float(f"{p:.8g}") for p in all_logprobs.gather(-1, tokens[1:, None])[:, 0].tolist()]


def case(name: str, dtype_name: str) -> dict:
    dtype = DTYPES[dtype_name]
    model = AutoModelForCausalLM.from_pretrained(HERE / "models" / name, attn_implementation="eager").float().eval()
    sequences = [torch.randint(1, model.config.vocab_size, (length,)) for length in LENGTHS]
    with torch.no_grad():
        full = [logprobs(model(one[None]).logits[0], one) for one in sequences]
        trunk = [logprobs(trunk_logits(model, one, dtype), one) for one in sequences]
        # With float32 in the place of 16 bits this decoder is transformers'.
        for one, expected in zip(sequences, full):
            apart = torch.tensor(logprobs(trunk_logits(model, one, torch.float32), one)) - torch.tensor(expected)
            assert apart.abs().max() < 1e-4, (name, apart.abs().max())
        half = model.to(dtype)
        theirs = [logprobs(half(one[None]).logits[0], one) for one in sequences]
    rows = [
        {"tokens": one.tolist(), "transformers": a, "float32": b, "trunk": c}
        for one, a, b, c in zip(sequences, theirs, full, trunk)
    ]
    return {"model": name, "dtype": dtype_name, "sequences": rows}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    golden = {
        "generator": "test/golden/make_half_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "cases": [case(name, dtype) for name in MODELS for dtype in DTYPES],
    }
    (HERE / "half.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
