import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium as browsers, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareZXingModule, writeBarcode } from "zxing-wasm/writer";
import { chromium, hasChromium, pictures, start, type Server } from "../../../console/test/browser/server.ts";

// The real program, and a camera that looks at a label: the browser plays a film that is made here.
if (!hasChromium && process.env.CI) throw new Error(`${chromium} is missing`);
const drive = test.skipIf(!hasChromium);
const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
const small = { width: 360, height: 740 };

let server: Server, stopped = false, dir: string, key: string, code: string, link: string, unsigned: string, keys: string;
let browser: Browser, camera: Browser;
const complaints: string[] = [];

async function api(path: string, body?: object): Promise<Record<string, any>> {
  const r = await fetch(server.url + path, { method: body ? "POST" : "GET", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const answer = (await r.json()) as { data: Record<string, any>; message: string };
  if (!r.ok) throw new Error(`${path}: ${r.status} ${answer.message}`);
  return answer.data;
}

/** One code of a new batch that is on sale. */
async function issue(product: number, no: string, signed: boolean): Promise<string> {
  const { batch_id } = await api("/api/v1/batches", { product_id: product, batch_no: no, quantity: 10, label_signature: signed });
  const { codes } = await api(`/api/v1/batches/${batch_id}/claims`, { quantity: 1, claimant: "line" });
  await api("/api/v1/codes/state", { select: { batch_id, from_no: 1, to_no: 10 }, to: "active", reason: "test" });
  return codes[0]!;
}

/** A film of some frames that show a label, as a camera would see it. */
async function film(svg: string): Promise<string> {
  const page = await browser.newPage({ viewport: { width: 640, height: 480 } });
  await page.setContent(`<body style="margin:0;background:#b8b0a4;display:grid;place-items:center;height:480px"><div style="background:#fff;padding:8px;width:380px">${svg.replace(/^<\?xml[^>]*>/, "").replace("<svg", '<svg style="width:100%;height:auto;display:block"')}</div>`);
  const frame = await page.screenshot({ type: "jpeg", quality: 90 });
  await page.close();
  const file = join(dir, "label.mjpeg");
  writeFileSync(file, Buffer.concat(Array(5).fill(frame)));
  return file;
}

async function open(b: Browser, path: string, o: { lang?: string; permissions?: string[]; script?: boolean } = {}): Promise<[Page, BrowserContext]> {
  const context = await b.newContext({ viewport: small, locale: o.lang ?? "en-GB", permissions: o.permissions ?? [], javaScriptEnabled: o.script ?? true, colorScheme: "light" });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.on("pageerror", (e) => complaints.push(`${page.url()}: ${e.message}`));
  page.on("console", (m) => { if (m.type() === "error" && /Content Security Policy|Refused/.test(m.text())) complaints.push(`${page.url()}: ${m.text()}`); });
  await page.goto(server.url + path);
  return [page, context];
}

const verdict = (page: Page, want: string) => page.locator(`body[data-verdict="${want}"]`).waitFor();
const state = (page: Page, want: string) => page.locator(`body[data-state="${want}"]`).waitFor();

async function fits(page: Page, name: string): Promise<void> {
  expect.soft(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${name}: wider than the window`).toBeLessThanOrEqual(0);
  if (!process.env.SCREENSHOTS || !/^(scan-online|scan-offline|complaint)-/.test(name)) return; // those of the docs
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

beforeAll(async () => {
  if (!hasChromium) return;
  dir = mkdtempSync(join(tmpdir(), "chopmark-scan-"));
  server = await start();
  const shown = await (await fetch(server.link, { method: "POST" })).text();
  key = /id="key">([^<]+)</.exec(shown)![1]!;
  const { brand_id } = await api("/api/v1/brands", { name: "春山茶业" });
  const { product_id } = await api("/api/v1/products", { brand_id, name: "Longjing 250 g", gtin: "06901234567892" });
  code = await issue(product_id, "L2026-07", true);
  unsigned = await issue(product_id, "L2026-08", false);
  browser = await browsers.launch({ executablePath: chromium, args });
  const svg = await (await fetch(`${server.url}/api/v1/codes/${code}/qr.svg`, { headers: { Authorization: `Bearer ${key}` } })).text();
  camera = await browsers.launch({ executablePath: chromium, args: [...args, "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${await film(svg)}`] });
  keys = await (await fetch(`${server.url}/.well-known/chopmark-keys.json`)).text();
}, 420_000);

afterAll(async () => {
  await camera?.close();
  await browser?.close();
  if (server && !stopped) await server.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
}, 60_000);

drive("a label in front of the camera is found and judged by its server", async () => {
  for (const [lang, title, name] of [["en-GB", "Genuine", "scan-online-en"], ["zh-CN", "正品", "scan-online-zh"]] as const) {
    const [page, context] = await open(camera, "/scan", { lang, permissions: ["camera"] });
    await page.locator("body[data-verdict^='online authentic']").waitFor();
    expect(await page.locator("#result h2").textContent()).toContain(title);
    expect(await page.locator("#result").textContent()).toContain("Longjing 250 g");
    link = new URL((await page.locator(".more").getAttribute("href"))!, server.url).href;
    expect(link).toContain(code);
    await fits(page, name);
    await page.locator(".more").click();
    await page.locator("footer a", { hasText: /Tell the brand|告诉品牌方/ }).waitFor();
    await fits(page, `page-${lang.slice(0, 2)}`);
    await context.close();
  }
});

async function photo(page: Page, text: string, format: "QRCode" | "DataMatrix" = "QRCode"): Promise<void> {
  await prepareZXingModule({ overrides: { wasmBinary: new Uint8Array(readFileSync(new URL(import.meta.resolve("zxing-wasm/writer/zxing_writer.wasm")))).buffer }, fireImmediately: true });
  const made = await writeBarcode(text, { format, scale: 6, addQuietZones: true } as Parameters<typeof writeBarcode>[1]);
  if (made.error || !made.image) throw new Error(made.error);
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: Buffer.from(await made.image.arrayBuffer()) });
}

drive("photos: other hosts, forged signatures, DataMatrix, nothing", async () => {
  const [page, context] = await open(browser, "/scan/");
  await page.locator("body[data-ready]").waitFor();
  await photo(page, `https://evil.example/${code}`);
  await page.getByText("Not a code of this site").waitFor();
  const s = new URL(link).searchParams.get("s")!;
  await photo(page, `${server.url}/${code}?s=${s.slice(0, 60)}${s[60] === "A" ? "B" : "A"}${s.slice(61)}`);
  await verdict(page, "online unknown");
  await photo(page, `${server.url}/${unsigned}`, "DataMatrix");
  await verdict(page, "online authentic");
  await photo(page, `${server.url}/${unsigned}`);
  await verdict(page, "online authentic_again");
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: readFileSync(new URL("../../public/icon-192.png", import.meta.url)) });
  await page.getByText("No code in this photo").waitFor();
  await context.close();
});

drive("no camera, and one that is not allowed", async () => {
  for (const [lang, denied, none] of [["en-GB", "The camera is not allowed", "No camera here"], ["zh-CN", "摄像头未获授权", "没有可用的摄像头"]] as const) {
    const [refused, one] = await open(camera, "/scan/", { lang });
    await one.clearPermissions();
    await refused.locator("body[data-ready]").waitFor();
    await fits(refused, `scan-idle-${lang.slice(0, 2)}`);
    await refused.locator("#start").click();
    await state(refused, "denied");
    await refused.getByText(denied).waitFor();
    await fits(refused, `scan-denied-${lang.slice(0, 2)}`);
    await one.close();
    const [without, two] = await open(browser, "/scan/", { lang, permissions: ["camera"] });
    await state(without, "nocamera");
    await without.getByText(none).waitFor();
    await two.close();
  }
});

drive("it says that something looks wrong, without a script", async () => {
  for (const [lang, thanks] of [["en-GB", "Thank you"], ["zh-CN", "谢谢"]] as const) {
    const [page, context] = await open(browser, `/${code}`, { lang, script: false });
    await page.locator("footer a").click();
    await page.locator("#text").fill("The seal is broken. 封口破损。");
    await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: readFileSync(new URL("../../public/icon-192.png", import.meta.url)) });
    await fits(page, `complaint-${lang.slice(0, 2)}`);
    await page.locator("button").click();
    await page.locator("h1", { hasText: thanks }).waitFor();
    await fits(page, `thanks-${lang.slice(0, 2)}`);
    await context.close();
  }
  const { brand_id } = await api(`/api/v1/codes/${code}`);
  const { complaints } = (await api(`/api/v1/complaints?brand_id=${brand_id}`)) as unknown as { complaints: { text: string; photo: string; code: string }[] };
  expect(complaints).toHaveLength(2);
  expect(complaints[0]).toMatchObject({ code, text: "The seal is broken. 封口破损。", photo: expect.stringMatching(/^\/api\/v1\/complaints\/cpl_\w+\/photo$/) });
});

drive("without its server: the scanner opens and judges the signature, the verifier too", async () => {
  const phones: [Page, BrowserContext, string][] = [];
  for (const lang of ["en-GB", "zh-CN"]) {
    const [page, context] = await open(camera, "/scan/", { lang, permissions: ["camera"] });
    await page.locator("body[data-ready][data-verdict^='online']").waitFor();
    phones.push([page, context, lang.slice(0, 2)]);
  }
  const saved = join(dir, "verify.html");
  writeFileSync(saved, await (await fetch(`${server.url}/scan/verify`)).text());
  const [served, one] = await open(browser, "/scan/verify", { lang: "en-GB" });
  await server.stop();
  stopped = true;

  for (const [page, context, lang] of phones) {
    await page.goto(`${server.url}/scan/`);
    await verdict(page, "offline issued");
    const shown = await page.locator("#result").textContent();
    expect(shown).toContain(lang === "en" ? "Label issued by the brand" : "标签由品牌方签发");
    expect(shown).toContain("L2026-07");
    expect(shown, "what it does not prove is left out").toContain(lang === "en" ? "not copied" : "不能证明没有被复制");
    await fits(page, `scan-offline-${lang}`);
    await photo(page, `${server.url}/${unsigned}`);
    await page.getByText(lang === "en" ? "this label has no signature" : "此标签没有离线签名").waitFor();
    await context.close();
  }

  const file = await browser.newContext({ viewport: small, locale: "zh-CN" });
  const fromDisk = await file.newPage();
  await fromDisk.goto(`file://${saved}`);
  for (const [page, name] of [[served, "verify-en"], [fromDisk, "verify-zh"]] as const) {
    await page.locator("#keys").fill(keys);
    await page.locator("#link").fill(link);
    await page.locator("#go").click();
    await verdict(page, "issued");
    await fits(page, name);
    await page.locator("#link").fill(link.replace(code, unsigned));
    await page.locator("#go").click();
    await verdict(page, "forged");
  }
  await one.close();
  await file.close();
});

drive("no page broke its policy", () => expect(complaints).toEqual([]));
