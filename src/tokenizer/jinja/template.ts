/**
 * Jinja2 as transformers renders chat templates with it (`ImmutableSandboxedEnvironment`, `trim_blocks`, `lstrip_blocks`,
 * loop controls, `{% generation %}`, its own `tojson`), with Python's values behind it.
 *
 * An interpreter of our own, because a prompt that differs by a space is another prompt. Hugging Face's JavaScript package
 * computes with JavaScript's values; in 716 of 8,600 renderings of public templates its text was not transformers'. What
 * Jinja2 can do and this cannot is refused by name (`UnsupportedTemplateError`), never rendered as something else.
 *
 * Templates come from the Hub: they compute text from what they are given, reach nothing else, and have limits on steps,
 * lengths and depth.
 *
 *     lexer.ts → parser.ts, parse-expression.ts → ast.ts → compile.ts, compile-expression.ts → functions over runtime.ts
 *
 * The behaviour is that of Jinja2 3.1 and of transformers 5 (`utils/chat_template_utils.py`) on Python 3.11.
 */

import { compileTemplate } from "./compile.ts";
import { TemplateError, TemplateSyntaxError } from "./errors.ts";
import { templateGlobals } from "./globals.ts";
import { parseTemplate } from "./parser.ts";
import { Activation, Rendering } from "./runtime.ts";
import { toValue, type Value } from "./values.ts";

export class Template {
  readonly #run: (activation: Activation) => void;

  /** Throws TemplateSyntaxError, or UnsupportedTemplateError for a tag that is not here. */
  constructor(source: string) {
    this.#run = withinStack(
      () => compileTemplate(parseTemplate(source)),
      () => new TemplateSyntaxError("it is nested too deeply"),
    );
  }

  /**
   * The text for these variables, JSON-like values (`toValue`). `now` is what `strftime_now` says.
   *
   * @throws TemplateError where Jinja2 fails, UnsupportedTemplateError where this interpreter does.
   */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const given = new Map<string, Value>();
    for (const [name, value] of Object.entries(variables)) if (value !== undefined) given.set(name, toValue(value));
    const activation = new Activation(new Rendering(given, templateGlobals(now)));
    return withinStack(
      () => activation.capture(() => this.#run(activation)),
      () => new TemplateError("it is nested too deeply, or calls itself without end"),
    );
  }
}

/** What `work` gives; where it runs out of stack, the error that says so. */
function withinStack<T>(work: () => T, tooDeep: () => Error): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError && /call stack/i.test(error.message)) throw tooDeep();
    throw error;
  }
}
