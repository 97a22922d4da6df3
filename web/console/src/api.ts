import { Client, ChopmarkError } from "@chopmark/sdk";
import { language } from "./words/index.ts";

/** The server that these pages came from, asked in the reader's language. */
export const client = new Client({
  fetch: (url, init) => fetch(url, { ...init, headers: { ...(init?.headers as Record<string, string>), "Accept-Language": language() } }),
});

export const signedOut = (e: unknown): boolean => e instanceof ChopmarkError && e.status === 401;
