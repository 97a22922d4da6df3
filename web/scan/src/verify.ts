import { judge, parseLabel, readKeys } from "./label.ts";
import { language, words, type Tone } from "./words.ts";

// The verifier in one file: it asks nobody, so its server may be gone.
const lang = language(), w = words(lang), v = w.verify;
const $ = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

function show([tone, title, text]: readonly [Tone, string, string], rows: [string, string][] = [], note = ""): void {
  const add = (tag: string, content: string, name = "") => {
    const e = document.createElement(tag);
    e.textContent = content;
    e.className = name;
    return e;
  };
  const list = document.createElement("dl");
  for (const [term, content] of rows) if (content) list.append(add("dt", term), add("dd", content));
  const card = $("result");
  card.className = tone;
  card.hidden = false;
  card.replaceChildren(add("h2", title), add("p", text), list, add("p", note, "note"));
}

async function verify(): Promise<void> {
  if (!globalThis.crypto?.subtle) return show(["wait", w.state.insecure[1], v.insecure]);
  const link = /([0-9]{18})(?:\/[0-9A-Za-z]{18})?\?(?:[^#]*&)?s=([0-9A-Za-z]+)/.exec($<HTMLTextAreaElement>("link").value.trim());
  const label = link && parseLabel(link[1]!, link[2]!);
  if (!link) return show(["warn", v.badLink, ""]);
  if (!label) return show(w.offline.forged);
  let verdict;
  try {
    verdict = await judge(await readKeys($<HTMLTextAreaElement>("keys").value), label, new Date());
  } catch {
    return show(["warn", v.badKeys, ""]);
  }
  document.body.dataset.verdict = verdict;
  if (verdict === "forged" || verdict === "key_unknown") return show(w.offline[verdict]);
  const day = (d: Date | null) => d?.toLocaleDateString(w.tag) ?? "";
  show(w.offline[verdict], [[w.lot, label.lot], [w.gtin, label.gtin], [w.made, day(label.issuedAt)], [w.expires, day(label.expires)]], w.notCopied);
}

document.documentElement.lang = w.tag;
document.title = $("title").textContent = v.title;
$("lead").textContent = v.lead;
$("link-label").textContent = v.link;
$("keys-label").textContent = v.keys;
$("file-label").textContent = v.file;
$("go").textContent = v.go;
const other = $<HTMLAnchorElement>("other");
other.textContent = w.other;
other.href = `?lang=${lang === "zh" ? "en" : "zh"}`;
$("go").addEventListener("click", () => void verify());
$<HTMLInputElement>("file").addEventListener("change", (e) => {
  const file = (e.target as HTMLInputElement).files?.[0];
  void file?.text().then((t) => ($<HTMLTextAreaElement>("keys").value = t));
});
