"""Tiny random Qwen3 and Qwen2 checkpoints with odd settings, and transformers' log-probabilities on them.

usage: OMP_NUM_THREADS=1 python test/golden/make_model_golden.py
writes test/golden/models/NAME/ and test/golden/model-logprobs.json; needs torch and transformers (see the JSON).
"""
import json
import pathlib
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

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
}


def make(name: str, settings: dict) -> None:
    settings = dict(settings)
    rope = {"rope_type": "default", "rope_theta": settings.pop("rope_theta")}
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
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)


def old_style(name: str) -> None:
    """Rewrites config.json as transformers 4 did, so that both spellings are read in the tests."""
    path = HERE / "models" / name / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config.pop("layer_types")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


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
        if name == "qwen3-untied":
            old_style(name)
        # Loaded again, so that what is measured is what the files say.
        model = AutoModelForCausalLM.from_pretrained(HERE / "models" / name, attn_implementation="eager").float().eval()
        parameter_counts[name] = sum(parameter.numel() for parameter in model.parameters())
        lengths = [2, 3, 17, 40, settings["max_position_embeddings"]]
        sequences = [torch.randint(0, settings["vocab_size"], (length,)).tolist() for length in lengths]
        for temperature in (1.0, 0.7):
            cases.append({
                "model": name,
                "temperature": temperature,
                "sequences": [{"tokens": t, "logprobs": logprobs(model, t, temperature)} for t in sequences],
            })
    golden = {
        "generator": "test/golden/make_model_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "dtype": "float32",
        "tolerance": 1e-4,
        "meaning": "logprobs[i] = log softmax(logits / temperature) of tokens[i + 1] given tokens[0..i]",
        "parameterCounts": parameter_counts,
        "cases": cases,
    }
    (HERE / "model-logprobs.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
