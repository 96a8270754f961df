/** Light, dark, or as the system is; remembered in the browser. */

const KEY = "aha-theme";
const THEMES = ["auto", "light", "dark"] as const;

/** A choice. */
export type Theme = (typeof THEMES)[number];

/** The choice on its button. */
export const THEME_WORDS: Readonly<Record<Theme, string>> = {
  auto: "Colours: auto",
  light: "Colours: light",
  dark: "Colours: dark",
};

/** The choice now. */
export function currentTheme(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === kept) ?? "auto";
  } catch {
    // A file that was opened from disk may have no storage.
    return "auto";
  }
}

/** Sets the page's colours; charts are drawn again. */
export function applyTheme(theme: Theme = currentTheme()): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("aha-theme"));
}

/** The next choice, kept; returns it. */
export function nextTheme(): Theme {
  const theme = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]!;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it lasts as long as the page.
  }
  applyTheme(theme);
  return theme;
}

/** Whether what is drawn now is for the printer. */
export function isPrinting(): boolean {
  return document.documentElement.dataset.printing !== undefined;
}

// Charts are pixels: no style sheet makes them light for the printer, so they are drawn once more, before and afterwards.
addEventListener("beforeprint", () => {
  document.documentElement.dataset.printing = "yes";
  dispatchEvent(new Event("aha-theme"));
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.printing;
  dispatchEvent(new Event("aha-theme"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("aha-theme")));
