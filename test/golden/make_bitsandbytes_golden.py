"""Checkpoints in bitsandbytes' 4 bits, and the weights and log-probabilities that bitsandbytes and transformers have of them.

usage: OMP_NUM_THREADS=1 python test/golden/make_bitsandbytes_golden.py
writes test/golden/bitsandbytes/NAME/ and test/golden/bitsandbytes.json; needs torch, transformers, accelerate and bitsandbytes
(versions in the JSON; bitsandbytes on the CPU), and test/golden/models/.

transformers quantizes golden checkpoints as it loads them and saves them. Of every quantized matrix the JSON has the SHA-256
of what bitsandbytes makes of it, as f32; log-probabilities are those of the model with these weights in f32. Matrices are
unpacked by bitsandbytes' generic code, whose numbers are CUDA's: its AVX-512 kernel (0.50.2) takes wrong scales where a row
is no multiple of a block, as in these small matrices; where it is one, kernel and generic code are compared below.
"""
import hashlib
import json
import pathlib
import shutil

import bitsandbytes
import torch
import transformers
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code
from bitsandbytes.functional import dequantize_4bit, dequantize_blockwise, quantize_4bit
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

HERE = pathlib.Path(__file__).parent
SEED = 20250702
# The checkpoint that is quantized, the dtype that it is loaded in, and what is asked of bitsandbytes.
MODELS = {
    "llama-double": ("llama-scaled", torch.bfloat16, dict(bnb_4bit_use_double_quant=True)),
    "qwen3-single": ("qwen3-untied", torch.float16, dict(bnb_4bit_use_double_quant=False)),
    "gemma3-double": ("../families/gemma3-odd", torch.float32, dict(bnb_4bit_use_double_quant=True)),
}


def unpack(codes: torch.Tensor, state) -> torch.Tensor:
    absmax = dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
    levels = _get_4bit_code("nf4", codes.device)
    return _dequantize_4bit_compute(codes.reshape(-1), absmax.float(), levels, state.blocksize, state.shape, state.dtype)


def check_kernel() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        codes, state = quantize_4bit(torch.randn(64, 192).to(dtype), quant_type="nf4", compress_statistics=True)
        kernel = dequantize_4bit(codes, state)
        assert torch.equal(kernel, unpack(codes, state)), dtype


def make(name: str) -> dict:
    source, dtype, options = MODELS[name]
    out = HERE / "bitsandbytes" / name
    shutil.rmtree(out, ignore_errors=True)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, **options)
    AutoModelForCausalLM.from_pretrained(
        HERE / "models" / source, dtype=dtype, quantization_config=config, device_map="cpu"
    ).save_pretrained(out)
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)
    quantized = AutoModelForCausalLM.from_pretrained(out, device_map="cpu")
    plain = AutoModelForCausalLM.from_pretrained(
        HERE / "models" / source, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    hashes = {}
    with torch.no_grad():
        parameters = dict(plain.named_parameters())
        for parameter_name, parameter in quantized.named_parameters():
            values = parameter
            if parameter.dtype == torch.uint8:
                values = unpack(parameter.data, parameter.quant_state)
            assert values.dtype == dtype, values.dtype
            values = values.float()
            if parameter.dtype == torch.uint8:
                hashes[parameter_name] = hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()
            parameters[parameter_name].copy_(values)
        tokens = torch.randint(0, plain.config.vocab_size, (40,)).tolist()
        rows = torch.log_softmax(plain(torch.tensor([tokens])).logits[0], dim=-1)[:-1]
        logprobs = rows.gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()
    return {"model": name, "dequantized": hashes, "tokens": tokens, "logprobs": logprobs}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    check_kernel()
    golden = {
        "generator": "test/golden/make_bitsandbytes_golden.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "bitsandbytes": bitsandbytes.__version__},
        "seed": SEED,
        "tolerance": 1e-4,
        "meaning": "SHA-256 of dequantized matrices as little-endian f32; log-probabilities of tokens[1..] in float32",
        "cases": [make(name) for name in MODELS],
    }
    (HERE / "bitsandbytes.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
