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

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A moment as the reader's clock shows it. */
export function moment(at: string | null | undefined): string {
  if (!at) return "–";
  return new Intl.DateTimeFormat(language() === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: zone }).format(new Date(at));
}

export const count = (n: number | null | undefined): string => (n == null ? "–" : new Intl.NumberFormat(language() === "zh" ? "zh-CN" : "en-GB").format(n));
