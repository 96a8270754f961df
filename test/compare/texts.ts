/** Texts of every kind, the same for each tokenizer: what people write, and what tokenizers are known to cut differently. */

import { Random } from "../../src/random.ts";

/** Pieces that texts are put together of. */
const PIECES = [
  ..."aZ éß中文한日本のالعهिन😀👩‍👩‍👧🇩🇪",
  ..."0123456789²³¹½¼⅓①⑩Ⅷ٣٤५৭〇一二",
  ..." \t\n\r\u00a0\u2003\u3000\u0085\u2028\u200b\ufeff\u000b\u000c\u001c\u001f\u0000\u007f",
  ..."!?.,;:'\"()[]{}<>/\\|-_=+*&^%$#@~`«»„“”’…—·•№€£",
  "e\u0301",
  "n\u0303o",
  "ﬁ",
  "Å",
  "ǅ",
  "ẞ",
  "İ",
  "ς",
  "ـ",
  "क्षि",
  "\u{1F600}\u{200D}",
  "\u{10FFFF}",
  "\ufffd",
  "It's",
  "DON'T",
  "we'll",
  "ſ",
  "'S",
  "  ",
  "   ",
  "\n\n",
  "\r\n",
  " \n ",
  "hello",
  "Hello World",
  "the",
  "tokenizer",
  "1234567",
  "3.14159",
  "1,000,000",
  "x²+y²=½",
  "camelCaseWord",
  "snake_case_word",
  "https://example.org/a?b=c&d=%20",
  "<|im_start|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<think>",
  "</think>",
  "<s>",
  "</s>",
  "<unk>",
  "[INST]",
  "<|begin_of_text|>",
  "<|eot_id|>",
  "<｜User｜>",
  "▁",
  "Ġ",
  "<0x0A>",
];

const SENTENCES = [
  "",
  " ",
  "\n",
  "Using the numbers [6, 3, 3], create an equation that equals 54.\n",
  "  def f(x):\n\treturn x ** 2  # naïve café\n\n\nprint(f(12345))\n",
  "<|im_start|>user\nWhat's 2 + 2?<|im_end|>\n<|im_start|>assistant\n<think>\n4\n</think>\n\nIt is \\boxed{4}.<|im_end|>",
  "使用数字 [19, 36, 55, 7] 创建一个等于 65 的方程。",
  "Привет, мир! Как дела? Ёлка.",
  "Γειά σου Κόσμε· τι κάνεις;",
  "مرحبا بالعالم ١٢٣",
  "नमस्ते दुनिया १२३",
  "안녕하세요 세계 123",
  "こんにちは、世界！１２３",
  "สวัสดีชาวโลก",
  "שלום עולם",
  "\ufeffa byte order mark\ufeff inside",
  "next\u0085line and\u2028separator",
  "½ cup, 2½ cups, x² + y³, H₂O, 10⁻³, Ⅳ, ①②③, ٣٤٥, 一二三",
  "word<s>word </s> <unk>x<pad> [MASK]",
  "a".repeat(300),
  " ".repeat(40),
  "\t\t\t\t\n\n\n\n    \n  x",
  "ThisIsOneVeryLongCamelCaseIdentifierWith123Numbers456AndUNDERSCORES_IN_IT",
  "I'm you're he's we'd they'll I've DON'T IT'S 's 't 're 've 'm 'll 'd",
  "“Quotes” ‘single’ – dashes — and… ellipsis",
  "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ ☺",
];

/** `count` texts, the same ones each time. */
export function sampleTexts(count: number): string[] {
  const random = new Random(1, "texts of tokenizers");
  const texts = [...SENTENCES];
  while (texts.length < count) {
    const parts = Array.from({ length: 1 + random.integer(14) }, () => random.choice(PIECES));
    texts.push(parts.join(random.uniform() < 0.3 ? " " : ""));
  }
  return texts.slice(0, count);
}
