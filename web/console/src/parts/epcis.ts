import { ChopmarkError } from "@chopmark/sdk";
import { language } from "../words/index.ts";

// EPCIS answers are GS1's, without our envelope: these are its routes as the console asks them.

export interface Event {
  type: string; eventID?: string; eventTime: string; recordTime?: string; eventTimeZoneOffset?: string; action?: string; bizStep?: string; disposition?: string;
  parentID?: string; epcList?: string[]; childEPCs?: string[]; inputEPCList?: string[]; outputEPCList?: string[]; quantityList?: unknown[]; childQuantityList?: unknown[];
  readPoint?: { id: string }; bizLocation?: { id: string }; errorDeclaration?: unknown;
}
export interface Result { index: number; status: string; hash?: string; problems?: unknown[]; warnings?: unknown[] }
export interface Job { captureID: string; success: boolean; events: number; counts: Record<string, number>; errors: { detail?: string; title: string }[]; results?: Result[] }

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(path, { ...init, credentials: "same-origin", headers: { Accept: "application/json", "Accept-Language": language(), ...(init.headers as Record<string, string>) } });
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))) as { error?: string; detail?: string; title?: string; details?: { field: string; reason: string }[] };
  throw new ChopmarkError(answer.status, said.error ?? "", said.detail || said.title || `HTTP ${answer.status}`, said.details ?? [], answer.headers.get("X-Request-Id") ?? "");
}

/** A page of events. next is the token of the one behind it. */
export async function events(query: Record<string, string>, brand: number, next?: string): Promise<{ rows: Event[]; cursor: string | null }> {
  const q = new URLSearchParams({ ...query, perPage: "50" });
  if (next) q.set("nextPageToken", next);
  const answer = await ask(`/epcis/events?${q}`, brand ? { headers: { "X-Brand-ID": String(brand) } } : {});
  const body = (await answer.json()) as { epcisBody: { queryResults: { resultsBody: { eventList: Event[] } } } };
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "");
  return { rows: body.epcisBody.queryResults.resultsBody.eventList, cursor: link ? new URL(link[1]!, location.href).searchParams.get("nextPageToken") : null };
}

/** Sends a document and tells what became of each event. The same key sends nothing twice. */
export async function capture(document: string, brand: number, proceed: boolean, key: string): Promise<Job> {
  const answer = await ask("/epcis/capture", {
    method: "POST", body: document,
    headers: {
      "Content-Type": document.trimStart().startsWith("<") ? "application/xml" : "application/ld+json", "Idempotency-Key": key,
      "GS1-Capture-Error-Behaviour": proceed ? "proceed" : "rollback", ...(brand ? { "X-Brand-ID": String(brand) } : {}),
    },
  });
  return (await ask(answer.headers.get("Location")!)).json() as Promise<Job>;
}

/** The last word of a URN or address of the vocabulary. */
export const word = (uri: string | undefined): string => (uri ? uri.split(/[/:#]/).at(-1)! : "");
