"""Pieces of pre-tokenizers, normalised texts and added tokens by Python's `tokenizers`, for the tests of src/tokenizer/.

usage: python test/golden/make_pre_tokenizer_golden.py
writes test/golden/pre-tokenizers.json
"""
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).parent

TEXTS = [
    "a1b22 x²+½=Ⅷ ①٣٤ 一二 10⁻³",
    " leading, and trailing! ",
    "two  spaces\t\ttabs\r\nlines\n\n\nend",
    "\ufeffmark\ufeff in\u200bside",
    "next\u0085line\u2028and\u00a0no-break\u3000wide",
    "It's DON'T we'll ...!?-- (x_y) $5.00 #tag €9 «q» “r”",
    "日本語のテキスト mixed Привет, мир! नमस्ते",
    "e\u0301 n\u0303 ΣΑΣ İ ß ﬁ",
    "▁already▁marked  ▁",
    "👩‍👩‍👧 🇩🇪 x",
]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
PRE_TOKENIZERS = [
    pre_tokenizers.Digits(individual_digits=True),
    pre_tokenizers.Digits(individual_digits=False),
    pre_tokenizers.ByteLevel(add_prefix_space=False),
    pre_tokenizers.ByteLevel(add_prefix_space=True),
    pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
    pre_tokenizers.Whitespace(),
    pre_tokenizers.WhitespaceSplit(),
    pre_tokenizers.BertPreTokenizer(),
    pre_tokenizers.CharDelimiterSplit(" "),
    pre_tokenizers.FixedLength(3),
    *[pre_tokenizers.Punctuation(behavior) for behavior in BEHAVIORS],
    *[
        pre_tokenizers.Split(pattern, behavior, invert)
        for pattern in [Regex(r"\s+"), Regex(r"\p{L}+"), " ", "."]
        for behavior in BEHAVIORS
        for invert in [False, True]
    ],
    *[
        pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
        for scheme in ["always", "first", "never"]
        for split in [True, False]
    ],
    pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]),
]
NORMALIZERS = [
    normalizers.Lowercase(),
    normalizers.Strip(left=True, right=True),
    normalizers.Strip(left=False, right=True),
    normalizers.Prepend("▁"),
    normalizers.NFC(),
    normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]),
    normalizers.Replace(" ", "▁"),
]
ADDED = [
    AddedToken("<x>", special=True),
    AddedToken("<xy>", special=True),
    AddedToken("word", single_word=True),
    AddedToken("<l>", lstrip=True, special=True),
    AddedToken("<r>", rstrip=True, special=True),
    AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("Big", normalized=True),
    AddedToken("two words", normalized=True),
]
ADDED_TEXTS = [
    "a<x>b<xy>c<xyz>",
    "word words sword word. a word\u0301 _word word_ über-word wordé word",
    "a  <l>  b \u0085<l>\ufeff<l> x<r>  y<r>\n\n<r>z",
    "a \t<lr>\u3000 b<lr><lr>",
    "Big big BIG bigger",
    "two words TWO WORDS two  words",
    "",
    "<x>",
    " <x> ",
]


def characters_tokenizer(normalizer):
    """Every character a token of its own, so that what stands between added tokens is seen as it is."""
    characters = sorted({c for text in ADDED_TEXTS for c in text + text.lower()})
    vocab = {"<unk>": 0, **{c: i + 1 for i, c in enumerate(characters)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    tokenizer.add_tokens(ADDED)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer


def added_cases():
    for normalizer in [None, normalizers.Lowercase()]:
        tokenizer = characters_tokenizer(normalizer)
        # Read again: a normalizer that is set after the tokens were added is not used for them.
        tokenizer = Tokenizer.from_str(tokenizer.to_str())
        yield {
            "tokenizer": json.loads(tokenizer.to_str()),
            "cases": [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in ADDED_TEXTS],
        }


def config_of(part):
    return json.loads(part.__getstate__())


golden = {
    "pre_tokenizers": [
        {"config": config_of(one), "cases": [[text, [piece for piece, _ in one.pre_tokenize_str(text)]] for text in TEXTS]}
        for one in PRE_TOKENIZERS
    ],
    "normalizers": [
        {"config": config_of(one), "cases": [[text, one.normalize_str(text)] for text in TEXTS]} for one in NORMALIZERS
    ],
    "added": list(added_cases()),
}
(HERE / "pre-tokenizers.json").write_text(json.dumps(golden, ensure_ascii=True) + "\n")
