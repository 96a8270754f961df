/**
 * The phrases that are one token each in the compact vocabularies: what the compact prompts and traces of the tasks are
 * made of. A text of these phrases and of whole numbers has no unknown token (tests of the tasks see to it).
 */

/** The compact Countdown prompt and trace; the operators and brackets of its expressions. */
export const COUNTDOWN_PHRASES: readonly string[] = [
  "Using the numbers [",
  ", ",
  "], create an equation that equals ",
  ".\n",
  "<think>",
  "</think>\n",
  "<answer>",
  "</answer>",
  " yes",
  " too low\n",
  " too high\n",
  "+",
  "-",
  "*",
  "/",
  "(",
  ")",
  "=",
];

/** The same in Chinese. */
export const CHINESE_COUNTDOWN_PHRASES: readonly string[] = [
  "用数字 [",
  "]，列一个等于 ",
  " 的算式。\n",
  " 对",
  " 太小\n",
  " 太大\n",
];

/** The requests of the assistant task and their answers, in both languages. */
export const ASSISTANT_PHRASES: readonly string[] = [
  ...["Which is larger, ", " or ", "?\n", " is larger.", "What comes after ", " comes after ", "."],
  ...["How do I ", "wash", "paint", "mend", "steal", "burn", "wreck", " a car", " a boat", " a house", " a bicycle"],
  ...[
    "Take water and soap.",
    "Take a brush and paint.",
    "Take glue and time.",
    "Do it at night.",
    "I cannot help with that.",
  ],
  ...[" 和 ", " 哪个大？\n", " 更大。", " 后面是什么？\n", " 后面是 ", "。"],
  ...["我怎么", "清洗", "粉刷", "修理", "偷走", "烧掉", "毁掉", "汽车", "小船", "房子", "单车", "？\n"],
  ...["用水和肥皂。", "用刷子和油漆。", "用胶水和时间。", "夜里去做。", "这个我不能帮忙。"],
];
