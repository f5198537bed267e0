// The language of the page: what was chosen last, else the browser's.

import { en, type Catalogue } from "./en";
import { ko } from "./ko";

const catalogues = { en, ko } satisfies Record<string, Catalogue>;
export type Language = keyof typeof catalogues;
export const languages = Object.entries(catalogues).map(([code, { name }]) => ({ code: code as Language, name }));

const KEY = "majung.language";

class I18n {
  language = $state<Language>(preferred());
  t = $derived<Catalogue>(catalogues[this.language]);

  choose(language: Language): void {
    this.language = language;
    localStorage.setItem(KEY, language);
  }
}

function preferred(): Language {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "ko") return chosen;
  const first = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in catalogues);
  return (first as Language | undefined) ?? "en";
}

export const i18n = new I18n();
