"""Tiny random checkpoints of Mistral, SmolLM3, Gemma 3 and Qwen3 with sliding windows, and what transformers computes on them.

usage: OMP_NUM_THREADS=1 python test/golden/make_family_golden.py
writes test/golden/families/NAME/ and test/golden/family-numbers.json; needs torch and transformers (versions in the JSON).

Log-probabilities of whole texts, longer than every window, and the gradient of Σ −log p of some completions. Everything is
computed in float32: models are loaded with that dtype, so Gemma's embedding scale is the f32 number nearest to √H.
"""
import json
import pathlib
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from make_gradient_golden import summary

HERE = pathlib.Path(__file__).parent
SEED = 20250701
# (prompt length, completion length); the first two share a prompt. Windows are shorter than most of these.
LENGTHS = [(12, 9), (12, 4), (1, 17), (13, 5)]

# Settings that a confusion of sizes, a default in the place of a value, or a vector width of 8 would not survive.
MODELS = {
    # The window in every layer; heads narrower than hidden / heads.
    "mistral-window": ("mistral", dict(
        vocab_size=43, hidden_size=40, intermediate_size=36, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=72, rms_norm_eps=1e-5, sliding_window=7,
        rope_parameters=dict(rope_type="default", rope_theta=2345.0), tie_word_embeddings=False, bos_token_id=1,
        eos_token_id=2,
    ), "bfloat16", "24KB"),
    # As from version 0.2 on: no window, heads of a size of their own.
    "mistral-wide": ("mistral", dict(
        vocab_size=37, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, head_dim=16, max_position_embeddings=64, rms_norm_eps=1e-6, sliding_window=None,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0), tie_word_embeddings=True, bos_token_id=1,
        eos_token_id=2,
    ), "float16", None),
    # Every fourth layer without RoPE, every bias.
    "smollm3-bias": ("smollm3", dict(
        vocab_size=41, hidden_size=24, intermediate_size=28, num_hidden_layers=5, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=3e-5,
        rope_parameters=dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=32, rope_theta=5000.0),
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    ), "bfloat16", "24KB"),
    # Layers without RoPE where no rule would put them; they slide too. Heads of 10.
    "smollm3-window": ("smollm3", dict(
        vocab_size=41, hidden_size=30, intermediate_size=28, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=56, rms_norm_eps=1e-6, no_rope_layers=[0, 1, 0],
        use_sliding_window=True, sliding_window=9, rope_parameters=dict(rope_type="default", rope_theta=777.0),
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    ), "float32", None),
    # As published: five local layers, then one that sees everything, whose RoPE is scaled; one key-value head.
    "gemma3": ("gemma3_text", dict(
        vocab_size=47, hidden_size=28, intermediate_size=36, num_hidden_layers=7, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=64, rms_norm_eps=1e-6, sliding_window=5,
        query_pre_attn_scalar=16,
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=30000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=500.0)),
        bos_token_id=2, eos_token_id=[1, 6], pad_token_id=0,
    ), "bfloat16", "36KB"),
    # Layers in another order, biases, a scalar that is not the head's width, a head of its own. Heads of 18.
    "gemma3-odd": ("gemma3_text", dict(
        vocab_size=37, hidden_size=21, intermediate_size=20, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=3, head_dim=18, max_position_embeddings=56, rms_norm_eps=1e-5, sliding_window=3,
        query_pre_attn_scalar=11, layer_types=["full_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=900.0),
                             sliding_attention=dict(rope_type="default", rope_theta=35.0)),
        attention_bias=True, tie_word_embeddings=False, bos_token_id=2, eos_token_id=1, pad_token_id=0,
    ), "float32", None),
    # A window in the last layers.
    "qwen3-window": ("qwen3", dict(
        vocab_size=31, hidden_size=20, intermediate_size=28, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, max_position_embeddings=56, rms_norm_eps=1e-6, use_sliding_window=True,
        sliding_window=6, max_window_layers=1, rope_parameters=dict(rope_type="default", rope_theta=1234.0),
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    ), "float32", None),
}


def make(name: str) -> None:
    model_type, settings, dtype, shards = MODELS[name]
    config = AutoConfig.for_model(model_type, **settings, initializer_range=0.15)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    is_gemma = model_type == "gemma3_text"
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:
                parameter.uniform_(-0.5 if is_gemma else 0.5, 0.5 if is_gemma else 1.5)
            elif parameter_name.endswith("bias"):
                parameter.normal_(0, 0.3)
    out = HERE / "families" / name
    shutil.rmtree(out, ignore_errors=True)
    model.to(getattr(torch, dtype)).save_pretrained(out, **({"max_shard_size": shards} if shards else {}))
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)
    if name == "gemma3":
        old_style(out / "config.json")


def old_style(path: pathlib.Path) -> None:
    """Rewrites config.json as Gemma 3 was published, so that both spellings are read in the tests."""
    config = json.loads(path.read_text())
    ropes = config.pop("rope_parameters")
    for key in ("layer_types", "tie_word_embeddings", "use_bidirectional_attention"):
        config.pop(key, None)
    config["rope_theta"] = ropes["full_attention"].pop("rope_theta")
    config["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
    config["rope_scaling"] = ropes["full_attention"]
    config["sliding_window_pattern"] = 6
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def logprobs(model, tokens: list) -> torch.Tensor:
    rows = torch.log_softmax(model(torch.tensor([tokens])).logits[0].float(), dim=-1)
    return rows[:-1].gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]


def gradient(model, vocab_size: int) -> dict:
    data, total = [], torch.zeros(())
    shared = torch.randint(1, vocab_size, (LENGTHS[0][0],)).tolist()
    for i, (prompt_length, completion_length) in enumerate(LENGTHS):
        prompt = shared if i < 2 else torch.randint(1, vocab_size, (prompt_length,)).tolist()
        completion = torch.randint(1, vocab_size, (completion_length,)).tolist()
        data.append({"prompt": prompt, "completion": completion})
        total = total - logprobs(model, prompt + completion)[len(prompt) - 1:].sum()
    total.backward()
    return {"data": data, "loss": float(total.detach()),
            "gradients": summary({name: p.grad for name, p in model.named_parameters()})}


def case(name: str) -> dict:
    # Loaded again, so that what is measured is what the files say.
    model = AutoModelForCausalLM.from_pretrained(
        HERE / "families" / name, attn_implementation="eager", dtype=torch.float32
    )
    model.train()  # without dropout, so the same numbers
    model.get_input_embeddings().padding_idx = None
    config = model.config
    lengths = [2, 3, 17, 40, config.max_position_embeddings]
    sequences = [torch.randint(0, config.vocab_size, (length,)).tolist() for length in lengths]
    with torch.no_grad():
        found = [{"tokens": tokens, "logprobs": logprobs(model, tokens).tolist()} for tokens in sequences]
    return {
        "model": name,
        "parameterCount": sum(parameter.numel() for parameter in model.parameters()),
        "sequences": found,
        **gradient(model, config.vocab_size),
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    for name in MODELS:
        make(name)
    golden = {
        "generator": "test/golden/make_family_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "dtype": "computed in float32, from weights stored as each checkpoint says",
        "tolerance": {"logprobs": 1e-4, "loss": 1e-3, "gradNormRelative": 1e-4, "gradientOfNorm": 1e-4},
        "meaning": "logprobs[i] = log softmax(logits) of tokens[i + 1] given tokens[0..i]; loss = sum of -log p of the "
                   "completions; of each gradient its norm and eight elements by flat index",
        "cases": [case(name) for name in MODELS],
    }
    (HERE / "family-numbers.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
