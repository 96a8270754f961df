"""Tiny random Llama, Qwen2 and Qwen3 checkpoints with odd settings, and transformers' log-probabilities on them.

usage: OMP_NUM_THREADS=1 python test/golden/make_model_golden.py
writes test/golden/models/NAME/, test/golden/model-logprobs.json and test/golden/rope.json; needs torch and transformers (see the JSON).
"""
import json
import pathlib
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = pathlib.Path(__file__).parent
SEED = 20250120

# Settings that a confusion of sizes, a default in the place of a value, or a vector width of 8 would not survive.
MODELS = {
    "qwen3-tied": dict(
        vocab_size=61, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, max_position_embeddings=64, rms_norm_eps=3e-5, rope_theta=12345.0,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    ),
    "qwen3-untied": dict(
        vocab_size=53, hidden_size=40, intermediate_size=36, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=96, rms_norm_eps=1e-4, rope_theta=731.0,
        tie_word_embeddings=False, bos_token_id=2, eos_token_id=[1, 3], pad_token_id=0,
    ),
    "qwen2": dict(
        vocab_size=47, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=80, rms_norm_eps=2e-6, rope_theta=4321.0,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    ),
    # Every bias, heads wider than hidden / heads, far beyond the original context.
    "llama-scaled": dict(
        vocab_size=59, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=14, max_position_embeddings=192, rms_norm_eps=1e-5, rope_theta=500.0,
        rope=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=24),
        attention_bias=True, mlp_bias=True, tie_word_embeddings=False, bos_token_id=2, eos_token_id=[1, 3, 4],
        dtype="bfloat16",
    ),
    "llama-tied": dict(
        vocab_size=41, hidden_size=36, intermediate_size=28, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=96, rms_norm_eps=1e-6, rope_theta=10000.0,
        rope=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32),
        attention_bias=False, mlp_bias=False, tie_word_embeddings=True, bos_token_id=2, eos_token_id=1,
        dtype="float16",
    ),
    "llama-linear": dict(
        vocab_size=43, hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, head_dim=22, max_position_embeddings=80, rms_norm_eps=1e-5, rope_theta=2500.0,
        rope=dict(rope_type="linear", factor=2.5),
        attention_bias=False, mlp_bias=True, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
        dtype="bfloat16", max_shard_size="12KB",
    ),
    "qwen2-yarn": dict(
        vocab_size=37, hidden_size=40, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, max_position_embeddings=128, rms_norm_eps=1e-6, rope_theta=1000.0,
        rope=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32),
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        dtype="bfloat16", max_shard_size="9KB",
    ),
    "qwen3-bias": dict(
        vocab_size=67, hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, head_dim=18, max_position_embeddings=128, rms_norm_eps=1e-6, rope_theta=5000.0,
        rope=dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=16, beta_fast=16.0, beta_slow=2.0,
                  mscale=1.0, mscale_all_dim=0.5, truncate=False),
        attention_bias=True, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        dtype="float16",
    ),
}

# Frequencies of real models, whose positions reach further than the checkpoints above.
ROPES = {
    "Llama 3": (128, 500000.0, dict(rope_type="default"), 8192),
    "Llama 3.1": (128, 500000.0, dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                      original_max_position_embeddings=8192), 131072),
    "Llama 3.2 1B": (64, 500000.0, dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                        original_max_position_embeddings=8192), 131072),
    "Qwen2.5": (128, 1000000.0, dict(rope_type="default"), 32768),
    "Qwen2.5 with YaRN": (128, 1000000.0, dict(rope_type="yarn", factor=4.0,
                                               original_max_position_embeddings=32768), 131072),
    "linear": (80, 10000.0, dict(rope_type="linear", factor=3.0), 12288),
    "YaRN with every key": (66, 10000.0, dict(rope_type="yarn", factor=16.0, original_max_position_embeddings=4096,
                                              attention_factor=1.125, beta_fast=24, beta_slow=1.5, truncate=False),
                            65536),
    "YaRN with DeepSeek's factors": (64, 10000.0, dict(rope_type="yarn", factor=40.0, mscale=1.0, mscale_all_dim=0.7,
                                                       original_max_position_embeddings=4096), 163840),
    "YaRN without a ramp": (8, 10000.0, dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=4,
                                             ), 8),
}


def make(name: str, settings: dict) -> None:
    settings = dict(settings)
    rope = {"rope_theta": settings.pop("rope_theta"), **settings.pop("rope", {"rope_type": "default"})}
    dtype = getattr(torch, settings.pop("dtype", "float32"))
    shards = {"max_shard_size": settings.pop("max_shard_size")} if "max_shard_size" in settings else {}
    config = AutoConfig.for_model(name.split("-")[0], **settings, rope_parameters=rope, initializer_range=0.15)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:
                parameter.uniform_(0.5, 1.5)
            elif parameter_name.endswith("bias"):
                parameter.normal_(0, 0.3)
    out = HERE / "models" / name
    shutil.rmtree(out, ignore_errors=True)
    model.to(dtype).save_pretrained(out, **shards)
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)


def old_style(name: str) -> None:
    """Rewrites config.json as transformers 4 did, so that both spellings are read in the tests."""
    path = HERE / "models" / name / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config.pop("layer_types", None)
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    if name == "llama-linear":  # the oldest spelling
        config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def frequencies(head_dim: int, theta: float, rope: dict, context: int) -> dict:
    config = AutoConfig.for_model(
        "llama", hidden_size=head_dim, num_attention_heads=1, head_dim=head_dim, max_position_embeddings=context,
        rope_parameters={"rope_theta": theta, **rope},
    )
    rotary = LlamaRotaryEmbedding(config)
    return {
        "config": {"head_dim": head_dim, "max_position_embeddings": context,
                   "rope_parameters": {"rope_theta": theta, **rope}},
        "frequencies": rotary.inv_freq.tolist(),
        "attentionFactor": rotary.attention_scaling,
    }


def logprobs(model, tokens: list, temperature: float) -> list:
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].float() / temperature
    rows = torch.log_softmax(logits, dim=-1)[:-1]
    return [float(rows[i, token]) for i, token in enumerate(tokens[1:])]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    cases, parameter_counts = [], {}
    for name, settings in MODELS.items():
        make(name, settings)
        if name in ("qwen3-untied", "llama-tied", "llama-linear"):
            old_style(name)
        # Loaded again, so that what is measured is what the files say.
        model = AutoModelForCausalLM.from_pretrained(HERE / "models" / name, attn_implementation="eager").float().eval()
        parameter_counts[name] = sum(parameter.numel() for parameter in model.parameters())
        lengths = [2, 3, 17, 40, settings["max_position_embeddings"]]
        sequences = [torch.randint(0, settings["vocab_size"], (length,)).tolist() for length in lengths]
        for temperature in (1.0, 0.7) if name in ("qwen3-tied", "qwen3-untied", "qwen2") else (1.0,):
            cases.append({
                "model": name,
                "temperature": temperature,
                "sequences": [{"tokens": t, "logprobs": logprobs(model, t, temperature)} for t in sequences],
            })
    golden = {
        "generator": "test/golden/make_model_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "dtype": "computed in float32, from weights stored as each checkpoint says",
        "tolerance": 1e-4,
        "meaning": "logprobs[i] = log softmax(logits / temperature) of tokens[i + 1] given tokens[0..i]",
        "parameterCounts": parameter_counts,
        "cases": cases,
    }
    (HERE / "model-logprobs.json").write_text(json.dumps(golden) + "\n")
    ropes = {
        "generator": golden["generator"],
        "versions": golden["versions"],
        "meaning": "radians per position for each pair of a head's numbers, f32; factor on cosine and sine",
        "cases": [{"name": name, **frequencies(*arguments)} for name, arguments in ROPES.items()],
    }
    (HERE / "rope.json").write_text(json.dumps(ropes) + "\n")


if __name__ == "__main__":
    main()
