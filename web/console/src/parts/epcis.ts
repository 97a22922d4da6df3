import { ChopmarkError } from "@chopmark/sdk";
import { language, words } from "../words/index.ts";

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

const of = (brand: number): Record<string, string> => (brand ? { "X-Brand-ID": String(brand) } : {});
const nextOf = (answer: Response): string | null => {
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "");
  return link ? new URL(link[1]!, location.href).searchParams.get("nextPageToken") : null;
};
const json = { "Content-Type": "application/json" };

/** A page of events. next is the token of the one behind it. */
export async function events(query: Record<string, string>, brand: number, next?: string): Promise<{ rows: Event[]; cursor: string | null }> {
  const q = new URLSearchParams({ ...query, perPage: "50" });
  if (next) q.set("nextPageToken", next);
  const answer = await ask(`/epcis/events?${q}`, { headers: of(brand) });
  const body = (await answer.json()) as { epcisBody: { queryResults: { resultsBody: { eventList: Event[] } } } };
  return { rows: body.epcisBody.queryResults.resultsBody.eventList, cursor: nextOf(answer) };
}

/** Events at a place: those that were read there, and behind them those that name it as their business location alone. */
export async function eventsAt(place: string, query: Record<string, string>, brand: number, next?: string): Promise<{ rows: Event[]; cursor: string | null }> {
  const located = async (token?: string) => {
    const page = await events({ ...query, EQ_bizLocation: place }, brand, token);
    return { rows: page.rows.filter((e) => e.readPoint?.id !== place), cursor: page.cursor && `l${page.cursor}` };
  };
  if (next?.startsWith("l")) return located(next.slice(1));
  const read = await events({ ...query, EQ_readPoint: place }, brand, next?.slice(1));
  if (read.cursor) return { rows: read.rows, cursor: `r${read.cursor}` };
  const more = await located();
  return { rows: [...read.rows, ...more.rows], cursor: more.cursor };
}

/** Sends a document and tells what became of each event. The same key sends nothing twice. */
export async function capture(document: string, brand: number, proceed: boolean, key: string): Promise<Job> {
  const answer = await ask("/epcis/capture", {
    method: "POST", body: document,
    headers: {
      "Content-Type": document.trimStart().startsWith("<") ? "application/xml" : "application/ld+json", "Idempotency-Key": key,
      "GS1-Capture-Error-Behaviour": proceed ? "proceed" : "rollback", ...of(brand),
    },
  });
  return (await ask(answer.headers.get("Location")!)).json() as Promise<Job>;
}

export interface Schedule { second?: string; minute?: string; hour?: string; dayOfMonth?: string; month?: string; dayOfWeek?: string }
export interface Subscription { subscriptionID: string; queryName: string; dest: string; createdAt: string; lastNotifiedAt?: string; minRecordTime: string; reportIfEmpty?: boolean; stream?: boolean; schedule?: Schedule; undelivered?: number; undeliveredReason?: string }
export interface Query { name: string; createdAt: string; query: Record<string, unknown>; subscriptions: Subscription[] }
export interface Subscribing { dest: string; signatureToken: string; stream?: boolean; schedule?: Schedule; initialRecordTime?: string; reportIfEmpty: boolean }

const at = (query: string, ...below: string[]): string => ["/epcis/queries", query, ...below].map((p, i) => (i ? encodeURIComponent(p) : p)).join("/");

/** A page of a brand's kept queries with what is subscribed to each: a brand has at most 50. */
export async function queries(brand: number, next?: string): Promise<{ rows: Query[]; cursor: string | null }> {
  const answer = await ask(`/epcis/queries?${new URLSearchParams({ perPage: "20", ...(next ? { nextPageToken: next } : {}) })}`, { headers: of(brand) });
  const rows = (await answer.json()) as Query[];
  return {
    rows: await Promise.all(rows.map(async (q) => ({ ...q, subscriptions: (await (await ask(`${at(q.name, "subscriptions")}?perPage=50`, { headers: of(brand) })).json()) as Subscription[] }))),
    cursor: nextOf(answer),
  };
}

export async function keepQuery(brand: number, name: string, query: Record<string, unknown>): Promise<void> {
  await ask("/epcis/queries", { method: "POST", headers: { ...json, ...of(brand) }, body: JSON.stringify({ name, query }) });
}

export async function dropQuery(brand: number, name: string): Promise<void> {
  await ask(at(name), { method: "DELETE", headers: of(brand) });
}

/** The same key subscribes once. */
export async function subscribe(brand: number, query: string, what: Subscribing, key: string): Promise<void> {
  await ask(at(query, "subscriptions"), { method: "POST", headers: { ...json, ...of(brand), "Idempotency-Key": key }, body: JSON.stringify(what) });
}

export async function unsubscribe(brand: number, s: Subscription): Promise<void> {
  await ask(at(s.queryName, "subscriptions", s.subscriptionID), { method: "DELETE", headers: of(brand) });
}

const called = (group: string, name: string): string => (words.global.te(`${group}.${name}`) ? words.global.t(`${group}.${name}`) : name);
/** A business step and a disposition in the reader's language; what is not among the standard's stays as it is. */
export const stepName = (uri: string | undefined): string => called("steps", word(uri));
export const stateName = (uri: string | undefined): string => called("state", word(uri));

/** The last word of a URN or address of the vocabulary. */
export const word = (uri: string | undefined): string => (uri ? uri.split(/[/:#]/).at(-1)! : "");
