import { ChopmarkError } from "@chopmark/sdk";
import { words } from "../words/index.ts";

export interface Failure { title: string; hint: string; details: readonly { field: string; reason: string }[]; requestId: string }

/** What is wrong with what was typed, told before anything is sent. */
export class Mistake extends Error {
  constructor(title: string, readonly hint: string) { super(title); }
}

/** What a failed request means to a person and what to do next, in the reader's language; below it what the server says. */
export function failure(e: unknown): Failure {
  const t = words.global.t;
  if (e instanceof ChopmarkError) {
    const known = `errors.${e.error.replace(/\./g, "_")}`;
    const title = words.global.te(known) ? t(known) : words.global.te(`status.${e.status}`) ? t(`status.${e.status}`) : e.message;
    const told = e.message === title || e.message.startsWith("HTTP ") || e.details.some((d) => e.message.includes(d.reason));
    return { title, hint: told ? "" : e.message, details: e.details, requestId: e.requestId };
  }
  if (e instanceof Mistake) return { title: e.message, hint: e.hint, details: [], requestId: "" };
  if (e instanceof TypeError) return { title: t("status.offline"), hint: t("status.offlineHint"), details: [], requestId: "" };
  return { title: String(e), hint: "", details: [], requestId: "" };
}
