import "./style.css";
import { decoder, type Decoder } from "./decoder.ts";
import { judge, parseLabel, readKeys, type Judgement, type Label } from "./label.ts";
import { parseMark, type Mark } from "./mark.ts";
import { language, words, type Tone } from "./words.ts";

// The scanner. What it is doing stands in data-state of the body: idle, searching, found,
// and the states that keep it from that.
const lang = language(), w = words(lang);
const keysURL = "/.well-known/chopmark-keys.json";
const askFor = 8000; // milliseconds that an answer may take
const lookEvery = 120;

const $ = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const video = $<HTMLVideoElement>("video");
let read: Decoder | null = null, stream: MediaStream | null = null;

function element(tag: string, text: string, name = ""): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  if (name) e.className = name;
  return e;
}

/** Shows a state: tone, title, text, and what else there is to see. */
function show(state: string, [tone, title, text]: readonly [Tone, string, string], ...more: HTMLElement[]): void {
  document.body.dataset.state = state;
  const card = $("result");
  card.className = tone;
  card.hidden = false;
  card.replaceChildren(element("h2", title), element("p", text), ...more);
  card.tabIndex = -1;
  $("view").hidden = state !== "searching";
  $("start").hidden = state === "searching";
  $("start").textContent = state === "found" ? w.again : w.start;
}

function facts(rows: [string, string | null | undefined][]): HTMLElement {
  const list = document.createElement("dl");
  for (const [term, text] of rows) if (text) list.append(element("dt", term), element("dd", text));
  return list;
}

const day = (d: Date) => d.toLocaleDateString(w.tag, { year: "numeric", month: "short", day: "numeric" });

function stop(): void {
  stream?.getTracks().forEach((t) => t.stop());
  stream = null;
}

async function start(): Promise<void> {
  stop();
  if (!window.isSecureContext) return show("insecure", w.state.insecure);
  if (!navigator.mediaDevices?.getUserMedia) return show("nocamera", w.state.nocamera);
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: "environment" }, width: { ideal: 1280 } } });
  } catch (e) {
    const name = e instanceof DOMException ? e.name : "";
    if (name === "NotAllowedError" || name === "SecurityError") return show("denied", w.state.denied);
    return name === "NotReadableError" ? show("busy", w.state.busy) : show("nocamera", w.state.nocamera);
  }
  const mine = stream;
  video.srcObject = mine;
  await video.play();
  show("searching", ["wait", w.searching, w.lead]);
  read ??= await decoder();
  while (stream === mine) {
    const text = await read(video).catch(() => "");
    if (text && stream === mine) {
      stop();
      navigator.vibrate?.(60);
      return found(text);
    }
    await new Promise((r) => setTimeout(r, lookEvery));
  }
}

async function fromPhoto(file: File): Promise<void> {
  stop();
  read ??= await decoder();
  const picture = await createImageBitmap(file).catch(() => null);
  const text = picture ? await read(picture) : "";
  if (text) return found(text);
  show("nothing", w.state.nothing);
}

/** Judges a mark: by its signature at once, and by its server when there is one to ask. */
async function found(text: string): Promise<void> {
  const mark = parseMark(text, location.host);
  if (!mark) return show("found", w.state.foreign, element("p", text.slice(0, 200), "quote"));
  show("found", w.state.asking);
  const asked = ask(mark);
  const local = mark.signature ? await offline(mark).catch(() => null) : null;
  if (local) showOffline(local.verdict, local.label);
  const answer = await asked;
  if (answer) return answer();
  if (!local) show("found", w.state.offline);
}

async function offline(mark: Mark): Promise<{ verdict: Judgement; label: Label | null }> {
  const label = parseLabel(mark.code, mark.signature);
  if (!label) return { verdict: "forged", label: null };
  const keys = await readKeys(await (await fetch(keysURL, { signal: AbortSignal.timeout(askFor) })).text());
  return { verdict: await judge(keys, label, new Date()), label };
}

function showOffline(verdict: Judgement, label: Label | null): void {
  const known = label && verdict !== "forged" && verdict !== "key_unknown";
  show("found", w.offline[verdict], ...(known ? [
    facts([[w.lot, label.lot], [w.gtin, label.gtin], [w.made, day(label.issuedAt)], [w.expires, label.expires && day(label.expires)]]),
    element("p", w.notCopied, "note"),
  ] : []));
  document.body.dataset.verdict = "offline " + verdict;
}

type Answer = { data: { verdict: string; product_info?: { name?: string; brand?: string; batch_no?: string }; scan_count?: number } | null };

/** Asks the server; null when it cannot be asked. */
async function ask(mark: Mark): Promise<(() => void) | null> {
  const query = new URLSearchParams();
  if (mark.token) query.set("token", mark.token);
  if (mark.signature) query.set("s", mark.signature);
  let status: number, answer: Answer;
  try {
    const response = await fetch(`/api/v1/codes/${mark.code}/verify?${query}`, { cache: "no-store", signal: AbortSignal.timeout(askFor) });
    status = response.status;
    answer = (await response.json()) as Answer;
  } catch {
    return null;
  }
  const known = answer.data?.verdict ?? (status === 404 ? "unknown" : "");
  const phrase = w.online[known];
  if (!phrase) return status === 429 ? () => show("found", w.state.limited) : null;
  return () => {
    const d = answer.data;
    const more = document.createElement("a");
    more.href = `/${mark.code}${mark.token ? "/" + mark.token : ""}?lang=${lang}${mark.signature ? "&s=" + mark.signature : ""}`;
    more.textContent = w.details;
    more.className = "more";
    show("found", phrase, ...(d ? [
      element("h3", d.product_info?.name ?? ""), element("p", d.product_info?.brand ?? "", "note"),
      facts([[w.lot, d.product_info?.batch_no]]), element("p", d.scan_count ? w.scans(d.scan_count) : "", "note"), more,
    ] : []));
    document.body.dataset.verdict = "online " + known;
  };
}

document.documentElement.lang = w.tag;
document.title = $("title").textContent = w.title;
$("lead").textContent = w.lead;
$("start").textContent = w.start;
$("photo-label").textContent = w.photo;
$<HTMLAnchorElement>("type").textContent = w.type;
$<HTMLAnchorElement>("type").href = `/?lang=${lang}`;
const other = $<HTMLAnchorElement>("other");
other.textContent = w.other;
other.href = `?lang=${lang === "zh" ? "en" : "zh"}`;
$("start").addEventListener("click", () => void start());
$<HTMLInputElement>("photo").addEventListener("change", (e) => {
  const input = e.target as HTMLInputElement;
  if (input.files?.[0]) void fromPhoto(input.files[0]);
  input.value = "";
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden || !stream) return;
  stop(); // a camera that nobody looks through is off
  document.body.dataset.state = "idle";
  $("view").hidden = true;
  $("result").hidden = true;
  $("start").hidden = false;
});

async function boot(): Promise<void> {
  const kept = navigator.serviceWorker?.register("/scan/sw.js", { scope: "/scan/" }).then(() => navigator.serviceWorker.ready, () => null);
  const loaded = decoder().then((d) => (read = d), () => null); // now, for when there is no network
  void Promise.all([kept, loaded]).then(async ([worker]) => {
    // what was loaded before there was a worker, it keeps now
    const had = performance.getEntriesByType("resource").map((e) => new URL(e.name).pathname).filter((p) => p.startsWith("/scan/assets/"));
    const done = new MessageChannel();
    if (worker?.active) await new Promise((r) => {
      done.port1.onmessage = r;
      worker.active!.postMessage(had, [done.port2]);
    });
    document.body.dataset.ready = "yes";
  });
  const camera = await navigator.permissions?.query({ name: "camera" as PermissionName }).catch(() => null);
  if (camera?.state === "granted" && document.body.dataset.state === "idle") await start();
}
void boot();
