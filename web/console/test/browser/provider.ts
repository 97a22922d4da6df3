import { createHash, createSign, generateKeyPairSync } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A small OpenID provider: code flow with PKCE, RS256. Whoever comes is Alice of the packers. */
export async function provider(): Promise<{ url: string; stop: () => void }> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const asked = new Map<string, { nonce: string; challenge: string }>();
  let url = "";
  const part = (v: object): string => Buffer.from(JSON.stringify(v)).toString("base64url");
  const server: Server = createServer((q, w) => {
    const at = new URL(q.url ?? "/", url);
    const json = (v: object, status = 200): void => { w.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(v)); };
    switch (at.pathname) {
      case "/.well-known/openid-configuration":
        return json({ issuer: url, authorization_endpoint: `${url}/auth`, token_endpoint: `${url}/token`, jwks_uri: `${url}/keys`, id_token_signing_alg_values_supported: ["RS256"] });
      case "/keys":
        return json({ keys: [{ ...publicKey.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: "1" }] });
      case "/auth": {
        const back = new URL(at.searchParams.get("redirect_uri")!), code = String(asked.size + 1);
        asked.set(code, { nonce: at.searchParams.get("nonce")!, challenge: at.searchParams.get("code_challenge")! });
        back.searchParams.set("code", code);
        back.searchParams.set("state", at.searchParams.get("state")!);
        return w.writeHead(302, { Location: back.href }).end();
      }
      case "/token": {
        let body = "";
        q.on("data", (more: Buffer) => { body += more; });
        q.on("end", () => {
          const form = new URLSearchParams(body), was = asked.get(form.get("code") ?? ""), now = Math.floor(Date.now() / 1000);
          if (!was || createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url") !== was.challenge) return json({ error: "invalid_grant" }, 400);
          const claims = { iss: url, sub: "42", aud: "chopmark", exp: now + 300, iat: now, nonce: was.nonce, name: "Alice Provided", email: "alice@corp.example", preferred_username: "alice", groups: ["packers"] };
          const text = `${part({ alg: "RS256", kid: "1" })}.${part(claims)}`;
          json({ access_token: "x", token_type: "Bearer", id_token: `${text}.${createSign("RSA-SHA256").update(text).sign(privateKey).toString("base64url")}` });
        });
        return;
      }
      default:
        return json({}, 404);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, stop: () => { server.closeAllConnections(); server.close(); } };
}
