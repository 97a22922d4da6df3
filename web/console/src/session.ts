import { computed, reactive } from "vue";
import { client, signedOut } from "./api.ts";
import type { Data } from "@chopmark/sdk";

export type Me = Data<"get", "/api/v1/me">;

export const session = reactive<{ me: Me | null; ended: string }>({ me: null, ended: "" });

let stream: EventSource | null = null, over: AbortController | null = null;
const told = new BroadcastChannel("session");

/** Asks who is signed in. False: nobody is. */
export async function load(): Promise<boolean> {
  try {
    session.me = await client.get("/api/v1/me");
  } catch (e) {
    if (!signedOut(e)) throw e;
    session.me = null;
    return false;
  }
  session.ended = "";
  listen();
  return true;
}

// The stream ends with the session and says why: another sign-in, an administrator, a changed password.
// One tab has it and tells the others: over HTTP/1.1 a browser has six connections for all of its tabs.
function listen(): void {
  hush();
  const id = session.me?.session_id;
  if (!id) return;
  if (!navigator.locks) return hear(id); // they need https or localhost
  over = new AbortController();
  const { signal } = over;
  navigator.locks.request(`session ${id}`, { signal }, () => {
    hear(id);
    return new Promise<void>((done) => { signal.addEventListener("abort", () => done()); });
  }).catch(() => undefined); // it was no longer waited for
}

function hush(): void {
  over?.abort();
  stream?.close();
}

function hear(id: string): void {
  stream = new EventSource("/api/v1/me/session");
  stream.addEventListener("session:invalidated", (e) => {
    const { reason } = JSON.parse((e as MessageEvent<string>).data) as { reason: string };
    told.postMessage({ id, reason });
    end(id, reason);
  });
}

function end(id: string, reason: string): void {
  if (session.me?.session_id !== id) return;
  hush();
  session.ended = reason;
  session.me = null;
}
told.addEventListener("message", (e: MessageEvent<{ id: string; reason: string }>) => end(e.data.id, e.data.reason));

export async function signOut(): Promise<void> {
  hush();
  await client.post("/api/v1/signout");
  session.me = null;
}

export const can = (permission: string): boolean => (session.me?.permissions as readonly string[] | undefined)?.includes(permission) ?? false;
export const mustEnroll = computed(() => session.me?.enroll_first ?? false);
