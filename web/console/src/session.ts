import { computed, reactive } from "vue";
import { client, signedOut } from "./api.ts";
import type { Data } from "@chopmark/sdk";

export type Me = Data<"get", "/api/v1/me">;

export const session = reactive<{ me: Me | null; ended: string }>({ me: null, ended: "" });

let stream: EventSource | null = null;

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
function listen(): void {
  stream?.close();
  if (!session.me?.session_id) return;
  stream = new EventSource("/api/v1/me/session");
  stream.addEventListener("session:invalidated", (e) => {
    stream?.close();
    session.ended = (JSON.parse((e as MessageEvent<string>).data) as { reason: string }).reason;
    session.me = null;
  });
}

export async function signOut(): Promise<void> {
  stream?.close();
  await client.post("/api/v1/signout");
  session.me = null;
}

export const can = (permission: string): boolean => (session.me?.permissions as readonly string[] | undefined)?.includes(permission) ?? false;
export const mustEnroll = computed(() => session.me?.enroll_first ?? false);
