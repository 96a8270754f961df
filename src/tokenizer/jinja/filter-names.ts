/** The names of Jinja2's filters. Those of the second list are not here: what asks for them is refused by name. */

export const UNSUPPORTED_FILTERS: ReadonlySet<string> = new Set(
  "pprint random striptags urlize wordwrap xmlattr".split(" "),
);

/** All of them. */
export const FILTER_NAMES: ReadonlySet<string> = new Set([
  ...(
    "abs attr batch capitalize center count d default dictsort e escape filesizeformat first float forceescape format " +
    "groupby indent int items join last length list lower map max min reject rejectattr replace reverse round safe select " +
    "selectattr slice sort string sum title tojson trim truncate unique upper urlencode wordcount"
  ).split(" "),
  ...UNSUPPORTED_FILTERS,
]);
