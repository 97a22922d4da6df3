import { createI18n } from "vue-i18n";
import en from "./en.ts";
import zh from "./zh.ts";

export type Words = typeof zh;
export type Language = "zh" | "en";

const kept = localStorage.getItem("language");
const first: Language = kept === "zh" || kept === "en" ? kept : navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

export const words = createI18n<[Words], Language, false>({ legacy: false, locale: first, fallbackLocale: "en", messages: { zh, en } });

export const language = (): Language => words.global.locale.value as Language;

export function speak(to: Language): void {
  words.global.locale.value = to;
  localStorage.setItem("language", to);
  document.documentElement.lang = to === "zh" ? "zh-CN" : "en";
}

speak(first);

// Making a formatter costs a hundred times what formatting does, and lists ask for thousands.
const region = (): string => (language() === "zh" ? "zh-CN" : "en-GB");
const made = new Map<string, { moment: Intl.DateTimeFormat; count: Intl.NumberFormat }>();
function forms(): { moment: Intl.DateTimeFormat; count: Intl.NumberFormat } {
  let own = made.get(region());
  if (!own) made.set(region(), own = { moment: new Intl.DateTimeFormat(region(), { dateStyle: "medium", timeStyle: "medium" }), count: new Intl.NumberFormat(region()) });
  return own;
}

/** A moment as the reader's clock shows it. */
export function moment(at: string | null | undefined): string {
  if (!at) return "–";
  return forms().moment.format(new Date(at));
}

export const count = (n: number | null | undefined): string => (n == null ? "–" : forms().count.format(n));
