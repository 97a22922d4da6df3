// Label signatures, as docs/label-signature.md has them. The server's own implementation is
// internal/codebook/label.go; test/unit holds both to the same vectors.
import { verifyAsync } from "@noble/ed25519";

export type Label = {
  code: string; keyID: string; issuedAt: Date; gtin: string; expires: Date | null; lot: string;
  head: Uint8Array; signature: Uint8Array;
};

export type Judgement = "issued" | "expired" | "key_revoked" | "key_unknown" | "forged";

type Key = { kid: string; public: Uint8Array; until: number | null };

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const domain = new TextEncoder().encode("chopmark/label/1");
const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** The bytes of Crockford's base 32; null for what the server never writes. */
function base32(text: string): Uint8Array | null {
  const out: number[] = [];
  let acc = 0, bits = 0;
  for (const c of text.toUpperCase().replace(/[IL]/g, "1").replace(/O/g, "0")) {
    const v = alphabet.indexOf(c);
    if (v < 0) return null;
    acc = ((acc << 5) | v) & 0xffff;
    bits += 5;
    if (bits >= 8) out.push((acc >> (bits -= 8)) & 255);
  }
  return bits < 5 && (acc & ((1 << bits) - 1)) === 0 ? Uint8Array.from(out) : null;
}

const number = (bytes: Uint8Array) => bytes.reduce((n, b) => n * 256 + b, 0);

/** Reads what a link carries beside its code; null for what is no label's signature. */
export function parseLabel(code: string, text: string): Label | null {
  const raw = text.length <= 256 && /^[0-9]{18}$/.test(code) ? base32(text) : null;
  if (!raw || raw.length < 10 + 64 || (raw[0]! & 0xf8) !== 0x10) return null;
  const head = raw.subarray(0, raw.length - 64), flags = raw[0]!;
  let at = 5, whole = true;
  const take = (n: number) => {
    whole &&= at + n <= head.length;
    return head.subarray(at, (at += n));
  };
  const moment = () => new Date(number(take(5)) * 1000);
  const label: Label = {
    code, keyID: hex(head.subarray(1, 5)), issuedAt: moment(), gtin: "", expires: null, lot: "", head, signature: raw.subarray(head.length),
  };
  if (flags & 1) {
    label.gtin = String(number(take(6))).padStart(14, "0");
    whole &&= label.gtin.length === 14;
  }
  if (flags & 2) label.expires = moment();
  if (flags & 4) {
    const n = number(take(1));
    whole &&= n > 0 && n <= 64;
    label.lot = new TextDecoder().decode(take(n));
  }
  return whole && at === head.length ? label : null;
}

/** Reads the document of keys, and holds each key to its name. */
export async function readKeys(text: string): Promise<Key[]> {
  const doc: unknown = JSON.parse(text);
  const list = (doc as { keys?: unknown }).keys;
  if (!Array.isArray(list)) throw new Error("no document of keys");
  const keys: Key[] = [];
  for (const k of list as Record<string, unknown>[]) {
    if (k.kty !== "OKP" || k.crv !== "Ed25519" || typeof k.x !== "string") continue;
    const pub = Uint8Array.from(atob(k.x.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const kid = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", pub)).subarray(0, 4));
    if (pub.length !== 32 || kid !== k.kid) throw new Error("a key has another name than its bytes give");
    const revoked = (k.revoked as { revoked_at?: number } | undefined)?.revoked_at ?? k.exp;
    keys.push({ kid, public: pub, until: typeof revoked === "number" ? revoked * 1000 : null });
  }
  return keys;
}

/** What a label is worth without its server. */
export async function judge(keys: Key[], label: Label, now: Date): Promise<Judgement> {
  const key = keys.find((k) => k.kid === label.keyID);
  if (!key) return "key_unknown";
  const message = new Uint8Array([...domain, ...new TextEncoder().encode(label.code), ...label.head]);
  if (!(await verifyAsync(label.signature, message, key.public, { zip215: false }).catch(() => false))) return "forged";
  if (key.until !== null && now.getTime() >= key.until) return "key_revoked";
  return label.expires && now >= label.expires ? "expired" : "issued";
}
