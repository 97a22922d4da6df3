import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { xdb } from "./places.ts";

const root = resolve(import.meta.dirname, "../../../..");

export interface Server { url: string; link: string; stop: () => Promise<void> }

/** The program as it is built from this tree, on a data directory of its own. CHOPMARK_BIN names one that is built already. */
export async function start(...more: string[]): Promise<Server> {
  const dir = mkdtempSync(join(tmpdir(), "chopmark-console-"));
  let bin = process.env.CHOPMARK_BIN ?? "";
  if (!bin) {
    bin = join(dir, "chopmark");
    const built = spawnSync("go", ["build", "-trimpath", "-o", bin, "./cmd/chopmark"], { cwd: root, env: { ...process.env, CGO_ENABLED: "0" }, encoding: "utf8" });
    if (built.status !== 0) throw new Error(built.stderr);
  }
  writeFileSync(join(dir, "places.xdb"), xdb());
  const port = await free();
  const child = spawn(bin, ["serve", "--data", join(dir, "data"), "--listen", `127.0.0.1:${port}`, "--grpc-listen", "127.0.0.1:0", "--public-url", `http://localhost:${port}`, "--geoip", join(dir, "places.xdb"), "--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "::1/128", ...more], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (part: Buffer) => { said += part; });
  const link = await new Promise<string>((done, fail) => {
    createInterface(child.stdout).on("line", (line) => {
      const at = /sign in\s+(\S+)/.exec(line);
      if (at) done(at[1]!);
    });
    child.once("exit", () => fail(new Error(`the server ended:\n${said}`)));
  });
  return { url: `http://localhost:${port}`, link: link.replace("127.0.0.1", "localhost"), stop: () => stop(child, dir) };
}

async function stop(child: ChildProcess, dir: string): Promise<void> {
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await gone;
  rmSync(dir, { recursive: true, force: true });
}

function free(): Promise<number> {
  return new Promise((done, fail) => {
    const s = createServer().once("error", fail).listen(0, "127.0.0.1", () => {
      const { port } = s.address() as { port: number };
      s.close(() => done(port));
    });
  });
}

/** An authenticator: RFC 6238 with SHA-1, 30 s, six digits. */
export function totp(secret: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/[\s=]/g, "").toUpperCase()].map((c) => alphabet.indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30e3)));
  const mac = createHmac("sha1", key).update(step).digest();
  const at = mac[19]! & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1e6).padStart(6, "0");
}

export const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const hasChromium = existsSync(chromium);
export const pictures = join(root, "docs/images");
