"""Encodings, decodings, character offsets and chat renderings by transformers, for the tests of src/tokenizer/.

usage: npx tsx test/golden/write-built-tokenizers.ts && python test/golden/make_tokenizer_golden.py
reads test/golden/tokenizers/{countdown-compact,characters}/, trains test/golden/tokenizers/byte-level/ (a byte-level
BPE with the pre-tokenizer, normalizer and post-processor of the Qwen family) and test/golden/tokenizers/metaspace/
(SentencePiece style, as Llama 2), and writes test/golden/tokenizers.json.
"""
import json
import pathlib

import tokenizers
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent

CORPUS = [
    "Using the numbers [6, 3, 3], create an equation that equals 54.\n",
    "Let me think step by step. The numbers are 19, 36, 55 and 7.\n",
    "使用数字 [19, 36, 55, 7] 创建一个等于 65 的方程。\n",
    "<think>55 + 36 - 7 - 19 = 65</think>\n<answer>55 + 36 - 7 - 19</answer>\n",
    "  def f(x):\n    return x ** 2  # naïve café\n",
] * 4

# trim, raise_exception, special tokens and a system default: what real templates are made of
TEMPLATE = """{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role: ' + message.role) }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""

TEXTS = [
    "",
    "Using the numbers [6, 3, 3], create an equation that equals 54.\n",
    "<think>(6*3)+3=18+3=21 too low\n3*(6*3)=3*18=54 yes</think>\n<answer>3*(6*3)</answer>",
    "<think>12-9=3 too high\n99/9=11 yes</think>\n",
    "0, 00, 007, 100, 1234567890",
    "an unknown wörd, 数字 and 😀!",
    "  two  spaces\tand a tab\r\n ,, ]",
    "<|im_start|>user\nhi<|im_end|>\n<eos><pad><unk><|endoftext|>",
    "Let me think: 55 + 36 - 7 - 19 = 65 . Isn't it ?",
    "👩‍👩‍👧 naïve café 方程。",
]

CHATS = [
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "You are terse."}, {"role": "user", "content": " hi "}],
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Let me solve this step by step.\n<think>"}],
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "ends in a space "}],
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Ok."}, {"role": "user", "content": "Next\n\n"}],
]


def train_byte_level() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = TEMPLATE
    fast.save_pretrained(HERE / "tokenizers" / "byte-level")


def train_metaspace() -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([line.replace("\n", "") for line in CORPUS], trainer)
    # The byte tokens are ordinary entries of the vocabulary, not special tokens, as in Llama's file.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < 3]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(HERE / "tokenizers" / "metaspace")


def utf16(text: str, offset: int) -> int:
    """Python counts code points, JavaScript UTF-16 units."""
    return len(text[:offset].encode("utf-16-le")) // 2


def render(tokenizer, chat, **options):
    try:
        return tokenizer.apply_chat_template(chat, tokenize=False, **options)
    except Exception as error:  # noqa: BLE001 — a refusal is part of the golden record
        return {"error": type(error).__name__}


def main() -> None:
    train_byte_level()
    train_metaspace()
    encodings, chats = [], []
    for name in ("countdown-compact", "characters", "byte-level", "metaspace"):
        tokenizer = AutoTokenizer.from_pretrained(HERE / "tokenizers" / name)
        for text in TEXTS:
            encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ids = encoding["input_ids"]
            encodings.append({
                "tokenizer": name,
                "text": text,
                "ids": ids,
                "decoded": tokenizer.decode(ids, skip_special_tokens=True),
                "decodedKeepSpecial": tokenizer.decode(ids),
                "offsets": [[utf16(text, start), utf16(text, end)] for start, end in encoding["offset_mapping"]],
            })
        if tokenizer.chat_template is None:
            continue
        for chat in CHATS:
            chats.append({
                "tokenizer": name,
                "messages": chat,
                "plain": render(tokenizer, chat),
                "generation": render(tokenizer, chat, add_generation_prompt=True),
                "continued": render(tokenizer, chat, continue_final_message=True),
            })
    golden = {
        "generator": "test/golden/make_tokenizer_golden.py",
        "versions": {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__},
        "tolerance": 0,
        "encodings": encodings,
        "chats": chats,
    }
    (HERE / "tokenizers.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
