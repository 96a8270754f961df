"""Random adapters saved by PEFT on the tiny checkpoints of make_model_golden.py, and PEFT's log-probabilities with them.

usage: OMP_NUM_THREADS=1 python test/golden/make_adapter_golden.py
writes test/golden/adapters/NAME/ and test/golden/adapter-logprobs.json; needs torch, transformers and peft (see the JSON).
"""
import json
import pathlib
import shutil

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
SEED = 20251121

# Ranks that are no multiple of a vector, scales that no default would give, targets as a list, one of them, and a pattern.
ADAPTERS = {
    "qwen2-attention": ("qwen2", dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj"])),
    "qwen3-rslora": ("qwen3-untied", dict(r=5, lora_alpha=4, use_rslora=True, lora_dropout=0.1,
                                          target_modules=["q_proj", "k_proj", "v_proj", "o_proj",
                                                          "gate_proj", "up_proj", "down_proj"])),
    "qwen3-all-linear": ("qwen3-tied", dict(r=4, lora_alpha=9, target_modules="all-linear")),
    "llama-pattern": ("llama-scaled", dict(r=7, lora_alpha=5, target_modules=r".*\.(o_proj|down_proj|k_proj)")),
    "llama-one": ("llama-linear", dict(r=1, lora_alpha=2, use_rslora=True, target_modules=["gate_proj"])),
    # Layers that have no adapter, ranks and scales of their own: by names, by patterns, by numbers of layers. PEFT sorts a
    # pattern's keys when it saves them, and takes the first that matches.
    "qwen3-layers": ("qwen3-untied", dict(r=3, lora_alpha=5, layers_to_transform=[1], target_modules=["q_proj", "up_proj"])),
    "qwen2-patterns": ("qwen2", dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                                     rank_pattern={r".*\.0\..*": 3, "layers.1.mlp.down_proj": 5, "q_proj": 2},
                                     alpha_pattern={"1.self_attn.v_proj": 11, r"^model\.layers\.(0|7)\.self_attn\.\w+": 1.5})),
    "llama-names": ("llama-tied", dict(r=2, lora_alpha=3, rank_pattern={"layers.2.mlp.up_proj": 6},
                                       target_modules=["model.layers.0.self_attn.q_proj", "layers.2.mlp.up_proj"])),
    "llama-excluded": ("llama-scaled", dict(r=2, lora_alpha=3, fan_in_fan_out=True, target_modules="all-linear",
                                            exclude_modules=r".*layers\.0\..*")),
}


def logprobs(model, tokens: list) -> list:
    with torch.no_grad():
        rows = torch.log_softmax(model(torch.tensor([tokens])).logits[0].float(), dim=-1)[:-1]
    return [float(rows[i, token]) for i, token in enumerate(tokens[1:])]


def base_model(name: str):
    path = HERE / "models" / name
    return AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager").float().eval()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    cases = []
    for name, (base, settings) in ADAPTERS.items():
        out = HERE / "adapters" / name
        shutil.rmtree(out, ignore_errors=True)
        model = get_peft_model(base_model(base), LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name:
                    parameter.normal_(0, 0.25)
        # Where the base is, relative to the adapter's directory: this file moves with its repository.
        model.peft_config["default"].base_model_name_or_path = f"../../models/{base}"
        model.save_pretrained(out)
        (out / "README.md").unlink(missing_ok=True)
        (out / "adapter_model.safetensors").chmod(0o644)
        # Loaded again, so that what is measured is what the files say.
        loaded = PeftModel.from_pretrained(base_model(base), out).eval()
        context = loaded.config.max_position_embeddings
        sequences = []
        for length in (2, 3, 17, min(40, context)):
            tokens = torch.randint(0, loaded.config.vocab_size, (length,)).tolist()
            sequences.append({"tokens": tokens, "logprobs": logprobs(loaded, tokens)})
        with loaded.disable_adapter():
            for sequence in sequences:
                sequence["base"] = logprobs(loaded, sequence["tokens"])
        merged = loaded.merge_and_unload()
        for sequence in sequences:
            sequence["merged"] = logprobs(merged, sequence["tokens"])
        cases.append({"adapter": name, "base": base, "sequences": sequences})
    golden = {
        "generator": "test/golden/make_adapter_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "seed": SEED,
        "tolerance": 1e-4,
        "meaning": "log softmax(logits) of tokens[i + 1] given tokens[0..i], in f32: with the adapter (logprobs), "
                   "without it (base), and after merge_and_unload (merged)",
        "cases": cases,
    }
    (HERE / "adapter-logprobs.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
