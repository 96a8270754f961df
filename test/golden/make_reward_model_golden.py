"""Tiny random reward models (*ForSequenceClassification with one label) and transformers' rewards on them, with the
Bradley-Terry loss of pairs and the norm of its gradient.

usage: OMP_NUM_THREADS=1 python test/golden/make_reward_model_golden.py
writes test/golden/reward-models/NAME/ and test/golden/reward-models.json; needs torch and transformers (see the JSON).
"""
import json
import pathlib
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
SEED = 20250120
CENTERING = 0.01

SIZES = dict(vocab_size=41, hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, num_labels=1, bos_token_id=None)
MODELS = {
    "qwen2": dict(SIZES, pad_token_id=0, eos_token_id=1, tie_word_embeddings=True),
    # The end of a text is the padding too: transformers reads the token before it.
    "qwen3": dict(SIZES, head_dim=10, pad_token_id=1, eos_token_id=1, tie_word_embeddings=True),
    "llama": dict(SIZES, head_dim=8, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False, attention_bias=True),
    "mistral": dict(SIZES, head_dim=8, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False, sliding_window=5),
    "gemma3_text": dict(SIZES, head_dim=8, pad_token_id=0, eos_token_id=1, sliding_window=3, query_pre_attn_scalar=8,
                        layer_types=["sliding_attention", "full_attention"]),
}


def sequences(generator):
    lengths = [7, 1, 12, 5, 9, 12, 3, 8]
    rows = [torch.randint(2, 41, (n,), generator=generator).tolist() + [1] for n in lengths]
    rows[3] = rows[3][:-1]  # one that was cut: no end
    return rows


def main():
    shutil.rmtree(HERE / "reward-models", ignore_errors=True)
    golden = {"generator": "make_reward_model_golden.py", "torch": torch.__version__, "transformers": transformers.__version__,
              "tolerance": 1e-4, "centering": CENTERING, "models": {}}
    for index, (name, settings) in enumerate(MODELS.items()):
        torch.manual_seed(SEED + index)
        generator = torch.Generator().manual_seed(SEED + index)
        config = AutoConfig.for_model(name, **settings)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").float().eval()
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(1 + 0.3 * noise if "norm" in parameter_name else 0.25 * noise)
        rows = sequences(generator)
        pad, width = config.pad_token_id, max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        rewards = model(input_ids=ids, attention_mask=mask).logits[:, 0]
        chosen, rejected = rewards[0::2], rewards[1::2]
        loss = -torch.nn.functional.logsigmoid(chosen - rejected).mean() + CENTERING * ((chosen + rejected) ** 2).mean()
        loss.backward()
        norm = torch.sqrt(sum((p.grad ** 2).sum() for p in model.parameters() if p.grad is not None))
        directory = HERE / "reward-models" / name
        model.save_pretrained(directory)
        golden["models"][name] = {"sequences": rows, "rewards": rewards.tolist(), "loss": loss.item(), "gradNorm": norm.item()}
    (HERE / "reward-models.json").write_text(json.dumps(golden) + "\n")


main()
