/** What can go wrong with a template: it does not parse, it fails as it would under Jinja2, or Aha lacks something of it. */

/** The template is not Jinja: no conversation can be rendered. */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";
}

/** Rendering fails as it does under Jinja2: an operation on an undefined value, `raise_exception`, a type error. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

/**
 * The template asks for something that Jinja2 has and this interpreter does not, or for text that differs from one run of
 * Jinja2 to the next. It is never rendered as something else.
 */
export class UnsupportedTemplateError extends Error {
  override readonly name = "UnsupportedTemplateError";
}
