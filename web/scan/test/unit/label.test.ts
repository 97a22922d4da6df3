import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { judge, parseLabel, readKeys } from "../../src/label.ts";
import { parseMark } from "../../src/mark.ts";

const doc = readFileSync(resolve(import.meta.dirname, "../../../../docs/label-signature.md"), "utf8");
const rows = doc.split("\n").map((l) => /^\| (\d{18}) \| (\d+) \| (\S+) \| (\S+) \| (.+?) \| `(\w+)` \|$/.exec(l)).filter((m) => m !== null);
const x = Buffer.from(/public key `([0-9a-f]{64})`/.exec(doc)![1]!, "hex").toString("base64url");
const kid = /key id `([0-9a-f]{8})`/.exec(doc)![1]!;
const keys = (more = "") => readKeys(`{"keys":[{"kty":"RSA"},{"kty":"OKP","crv":"Ed25519","kid":"${kid}","x":"${x}"${more}}]}`);
const none = (s: string) => (s === "—" ? "" : s);
const early = new Date(1767225600e3);

test("the documented vectors verify, and say what they say", async () => {
  expect(rows).toHaveLength(5);
  for (const [, code, made, gtin, expires, lot, text] of rows) {
    const label = parseLabel(code!, text!.toLowerCase())!;
    expect(label).toMatchObject({ code, gtin: none(gtin!), lot: none(lot!), keyID: kid });
    expect(label.issuedAt.getTime()).toBe(Number(made) * 1000);
    expect(label.expires?.getTime()).toBe(expires === "—" ? undefined : Number(expires) * 1000);
    expect(await judge(await keys(), label, early)).toBe("issued");
  }
});

test("each verdict without a server", async () => {
  const [, code, , , expires, , text] = rows[2]!;
  const label = parseLabel(code!, text!)!;
  const at = (s: number) => new Date(s * 1000);
  expect(await judge(await keys(), label, at(Number(expires) - 1))).toBe("issued");
  expect(await judge(await keys(), label, at(Number(expires)))).toBe("expired");
  expect(await judge(await keys(`,"exp":1767225600,"revoked":{"revoked_at":1767225600}`), label, early)).toBe("key_revoked");
  expect(await judge(await keys(`,"exp":1767225601`), label, early)).toBe("issued");
  expect(await judge([], label, early)).toBe("key_unknown");
  expect(await judge(await keys(), parseLabel("0" + code!.slice(1), text!)!, early)).toBe("forged");
  for (let i = 0; i < text!.length; i += 7) {
    const other = text![i] === "Z" ? "Y" : "Z";
    const changed = parseLabel(code!, text!.slice(0, i) + other + text!.slice(i + 1));
    if (changed) expect(await judge(await keys(), changed, early), `character ${i}`).not.toBe("issued");
  }
});

test("what is no label is none", () => {
  const [, code, , , , , text] = rows[0]!;
  for (const bad of ["", "0", "U" + text!.slice(1), text + "0", text!.slice(0, -1), "0".repeat(1000)]) expect(parseLabel(code!, bad)).toBeNull();
  expect(parseLabel("123", text!)).toBeNull();
});

test("a document of keys is held to its names", async () => {
  await expect(readKeys("{}")).rejects.toThrow();
  await expect(readKeys(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"00000000","x":"${x}"}]}`)).rejects.toThrow();
});

test("marks of this host are told from others", () => {
  const code = "123456789012345678", token = "0000ABCDEFGHJKMNPQ";
  const cases: [string, object | null][] = [
    [`https://goods.example/${code}`, { code, token: "", signature: "" }],
    [`HTTPS://GOODS.EXAMPLE/${code}?s=ABC`, { code, token: "", signature: "ABC" }],
    [`https://goods.example/${code}/${token}`, { code, token, signature: "" }],
    [`https://goods.example/01/09506000134352/10/L1/21/${code}?s=ABC`, { code, token: "", signature: "ABC" }],
    [`\x1d010950600013435210L1\x1d21${code}`, { code, token: "", signature: "" }],
    [`]d2010950600013435217271231${"21" + code}`, { code, token: "", signature: "" }],
    [`https://evil.example/${code}`, null], [`https://goods.example.evil.example/${code}`, null], [`https://goods.example@evil.example/${code}`, null],
    [`javascript://goods.example/${code}`, null], ["https://goods.example/12", null], [code, null], ["", null], ["0109506000134352", null],
  ];
  for (const [text, want] of cases) expect(parseMark(text, "goods.example"), text).toEqual(want);
});
