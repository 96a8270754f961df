/**
 * Python's `strftime` for the dates that chat templates write (`strftime_now`), in English whatever the machine's
 * language: a model's prompt must not depend on where it runs. (The interpreter's own follows the locale.)
 */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** The local noon of a day as recipes write it, `2024-07-26`: that day in every time zone. */
export function dayOf(day: string): Date {
  const [year, month, date] = day.split("-").map(Number) as [number, number, number];
  return new Date(year, month - 1, date, 12);
}

const DAY_MS = 86_400_000;

/** The local time `date` by a format of `%` directives; one that is not known stays as it is. */
export function formatDate(date: Date, format: string): string {
  const year = date.getFullYear();
  const padded = (value: number, width = 2, fill = "0") => String(value).padStart(width, fill);
  const hour12 = date.getHours() % 12 === 0 ? 12 : date.getHours() % 12;
  const dayOfYear = (Date.UTC(year, date.getMonth(), date.getDate()) - Date.UTC(year, 0, 0)) / DAY_MS;
  const directives: Readonly<Record<string, () => string>> = {
    "%a": () => DAYS[date.getDay()]!.slice(0, 3),
    "%A": () => DAYS[date.getDay()]!,
    "%b": () => MONTHS[date.getMonth()]!.slice(0, 3),
    "%B": () => MONTHS[date.getMonth()]!,
    "%d": () => padded(date.getDate()),
    "%-d": () => String(date.getDate()),
    "%e": () => padded(date.getDate(), 2, " "),
    "%F": () => formatDate(date, "%Y-%m-%d"),
    "%H": () => padded(date.getHours()),
    "%I": () => padded(hour12),
    "%j": () => padded(dayOfYear, 3),
    "%m": () => padded(date.getMonth() + 1),
    "%-m": () => String(date.getMonth() + 1),
    "%M": () => padded(date.getMinutes()),
    "%p": () => (date.getHours() < 12 ? "AM" : "PM"),
    "%S": () => padded(date.getSeconds()),
    "%T": () => formatDate(date, "%H:%M:%S"),
    "%y": () => padded(year % 100),
    "%Y": () => padded(year, 4),
    "%%": () => "%",
  };
  return format.replace(/%-?[A-Za-z%]/g, (directive) => directives[directive]?.() ?? directive);
}
