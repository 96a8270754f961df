"""Encodings, decodings, character offsets and chat renderings by transformers, for the tests of src/tokenizer/.

usage: npx tsx test/golden/write-built-tokenizers.ts && python test/golden/make_tokenizer_golden.py
reads test/golden/tokenizers/{countdown-compact,r1-compact,characters}/, trains test/golden/tokenizers/byte-level/ (a byte-level
BPE with the pre-tokenizer, normalizer and post-processor of the Qwen family) and test/golden/tokenizers/metaspace/
(SentencePiece style, as Llama 2), qwen-like/ and llama-like/ (byte-level BPE with the pre-tokenizers, added tokens and
kinds of chat template of Qwen3 and Llama 3), and writes test/golden/tokenizers.json.
"""
import datetime
import json
import pathlib

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
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
    "用数字 [6, 3, 3]，列一个等于 54 的算式。\n<think>(6*3)+3=18+3=21 太小\n我怎么清洗汽车？\n12 和 58 哪个大？\n",
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


# Constructs of the templates of Qwen2.5 and Qwen3: tools, calls, answers, thoughts that earlier turns lose.
QWEN_LIKE = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "Functions inside <tools></tools>:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(open=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.open = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or (not loop.last and thoughts)) %}
            {{- '<|im_start|>' + message.role + '\n<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\n' }}
                {%- endif %}
                {%- if tool_call.function is defined %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\n{"name": "' ~ tool_call.name ~ '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""

# Constructs of Llama 3's: a date, trimmed messages, indented JSON, comments, an exception.
LLAMA_LIKE = r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message goes into the header. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Functions are there.\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools is not none %}
    {%- if messages | length != 0 %}
        {%- set first_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("there is no first message for the functions") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at once") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""

TOOLS = [
    {"type": "function", "function": {
        "name": "look_up", "description": "Looks a wörd up; \"quoted\" <b>and</b> 'so'.",
        "parameters": {"type": "object", "properties": {
            "word": {"type": "string", "enum": ["a", "b"]}, "limit": {"type": "number", "default": 1.5},
            "exact": {"type": "boolean", "default": True}, "before": {"type": "null", "default": None},
        }, "required": ["word"]},
    }},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}, "required": []}}},
]

CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"word": "a", "limit": 2, "exact": False}}}

# For the two templates above: thoughts, calls and answers.
RICH_CHATS = [
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "<think>\n1 + 1\n</think>\n\n2"},
     {"role": "user", "content": "And 2 + 2?"}],
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}],
    [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Look a up."},
     {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "the first letter"}],
    [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "Both:", "tool_calls": [CALL, CALL]},
     {"role": "tool", "content": "1", "tool_call_id": "x"}, {"role": "tool", "content": "2"},
     {"role": "assistant", "content": "<think>so</think>done"}],
    [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Let me solve this step by step.\n<think>\n"}],
    [],
]

# Texts at which the pre-tokenizers differ.
HARD_TEXTS = [
    "12345 678  90, 3.14",
    "don't WON'T I'LL we'Ve",
    "a\n\n\n b\r\n\r\n  \tc \n",
    "   leading and trailing   ",
    "ﬁne ＡＢＣ é e\u0301 İi ǅ",
    "def f(x):\n\treturn {x: [1, 2]} // y; # ok!!\n",
    "日本語のテキスト。한국어 العربية हिन्दी",
    "<think>\n2 + 2\n</think>\n\n<answer> 4 </answer>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>",
    "<|im_start|>assistant\n<tool_call>\n{}\n</tool_call><|im_end|>",
    "🇩🇪 👨🏽‍🚀 🏳️‍🌈 ☃ \u200d \ufeff",
    " .  , ' n't ? !",
]

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_family(name: str, digits: str, normalizer, special: list, config: dict, added: list) -> None:
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-like"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN.replace("DIGITS", digits)), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if name == "llama-like":
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{special[0]} $A", special_tokens=[(special[0], 0)]),
        ])
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **config)
    fast.add_tokens([AddedToken(token, normalized=False, special=False) for token in added])
    directory = HERE / "tokenizers" / name
    fast.save_pretrained(directory)
    # The template in tokenizer_config.json, as a string or as a list by name: the forms of files on the Hub.
    path = directory / "tokenizer_config.json"
    saved = json.loads(path.read_text())
    if name == "qwen-like":
        saved["chat_template"] = QWEN_LIKE
    else:
        saved["chat_template"] = [
            {"name": "default", "template": LLAMA_LIKE},
            {"name": "tool_use", "template": "tools: {{ tools | map(attribute='function') | map(attribute='name') | join(', ') }}"},
        ]
        saved["clean_up_tokenization_spaces"] = True  # as Llama 3's files say, and transformers ignores
    path.write_text(json.dumps(saved, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def train_families() -> None:
    train_family(
        "qwen-like", r"\p{N}", normalizers.NFC(), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        ["<tool_call>", "</tool_call>", "<think>", "</think>"],
    )
    train_family(
        "llama-like", r"\p{N}{1,3}", None,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        dict(bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"), [],
    )


def dates() -> list:
    formats = ["%d %b %Y", "%A, %B %d, %Y", "%a %e %j", "%Y-%m-%d %H:%M:%S", "%I:%M %p", "%y%m%d %% %F %T", "%-d.%-m."]
    moments = [(2024, 7, 26, 0, 5, 9), (2025, 1, 1, 12, 0, 0), (2024, 12, 31, 23, 59, 59), (2026, 9, 6, 13, 7, 1)]
    return [
        {"date": moment, "format": form, "text": datetime.datetime(*moment).strftime(form)}
        for moment in moments for form in formats
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
    train_families()
    encodings, chats = [], []
    for name in ("countdown-compact", "r1-compact", "characters", "byte-level", "metaspace", "qwen-like", "llama-like"):
        tokenizer = AutoTokenizer.from_pretrained(HERE / "tokenizers" / name)
        for text in TEXTS + (HARD_TEXTS if name.endswith("-like") else []):
            encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ids = encoding["input_ids"]
            encodings.append({
                "tokenizer": name,
                "text": text,
                "ids": ids,
                "idsWithSpecial": tokenizer(text)["input_ids"],
                "decoded": tokenizer.decode(ids, skip_special_tokens=True),
                "decodedKeepSpecial": tokenizer.decode(ids),
                "offsets": [[utf16(text, start), utf16(text, end)] for start, end in encoding["offset_mapping"]],
            })
        if tokenizer.chat_template is None:
            continue
        date = {"date_string": "26 Jul 2024"}
        for chat in RICH_CHATS if name.endswith("-like") else []:
            chats.append({
                "tokenizer": name,
                "messages": chat,
                "variables": {**date, "enable_thinking": False},
                "plain": render(tokenizer, chat, **date, enable_thinking=False),
                "generation": render(tokenizer, chat, add_generation_prompt=True, **date, enable_thinking=False),
                "continued": render(tokenizer, chat, continue_final_message=True, **date, enable_thinking=False),
            })
            template = None if name == "qwen-like" else tokenizer.chat_template["default"]
            chats.append({
                "tokenizer": name,
                "messages": chat,
                "variables": date,
                "tools": TOOLS,
                **({} if template is None else {"template": "default"}),
                "plain": render(tokenizer, chat, tools=TOOLS, chat_template=template, **date),
                "generation": render(tokenizer, chat, tools=TOOLS, chat_template=template, add_generation_prompt=True, **date),
                "continued": render(tokenizer, chat, tools=TOOLS, chat_template=template, continue_final_message=True, **date),
            })
        if name == "llama-like":
            chat = CHATS[0]
            chats.append({
                "tokenizer": name, "messages": chat, "tools": TOOLS, "plain": render(tokenizer, chat, tools=TOOLS),
                "generation": render(tokenizer, chat, tools=TOOLS, add_generation_prompt=True),
                "continued": render(tokenizer, chat, tools=TOOLS, continue_final_message=True),
            })
        for chat in CHATS if not name.endswith("-like") else []:
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
        "dates": dates(),
    }
    (HERE / "tokenizers.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
