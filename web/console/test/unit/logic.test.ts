import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { codesIn } from "../../src/parts/change.ts";
import { deviceName } from "../../src/parts/device.ts";
import { mistakeIn } from "../../src/parts/json.ts";
import { paged } from "../../src/parts/list.ts";
import { onGrid } from "../../src/parts/provinces.ts";
import { strip } from "../../src/parts/strip.ts";
import { targets } from "../../src/parts/states.ts";
import en from "../../src/words/en.ts";
import zh from "../../src/words/zh.ts";

test("codes are found in links and columns, each once, and nothing shorter or longer", () => {
  expect(codesIn("code,state\n123456789012345678,active\nhttps://h/123456789012345678/abc\n\"999999999999999999\"\n1234567890123456789 12345")).toEqual(["123456789012345678", "999999999999999999"]);
});

test("where a text stops being JSON is found, whatever the browser", () => {
  for (const good of ["{}", " [1, -2.5e+3, true, null] ", '{"a": {"b": ["\\u00e9", ""]}, "c": 0}']) expect(mistakeIn(good), good).toBeNull();
  for (const [text, line, column] of [["", 1, 1], ["{", 1, 2], ['{\n  "a": [1,],\n}', 2, 11], ['{"a" 1}', 1, 6], ["{'a': 1}", 1, 2], ['{"a": 01}', 1, 7], ["{} {}", 1, 4], ['{"a": "x\ny"}', 1, 7], ["[tru]", 1, 2]] as const) {
    expect(() => JSON.parse(text), text).toThrow();
    expect(mistakeIn(text), text).toEqual({ line, column });
  }
});

test("devices are called as people call them", () => {
  expect([
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; V2309A) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/116.0 Mobile Safari/537.36 MicroMessenger/8.0.49",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0", "curl/8.5.0",
  ].map(deviceName)).toEqual(["Safari · iPhone", "WeChat · Android", "Edge · Windows", "curl/8.5.0"]);
});

test("an earlier answer that comes late does not replace the later question's", async () => {
  const waiting: ((rows: string[]) => void)[] = [];
  const list = paged<string>(() => new Promise((done) => waiting.push((rows) => done({ rows, cursor: null }))));
  const first = list.first(), second = list.first();
  waiting[1]!(["new"]);
  waiting[0]!(["old"]);
  await Promise.all([first, second]);
  expect(list.rows.value).toEqual(["new"]);
});

test("a page is added to the pages before it", async () => {
  const list = paged<number>(async (cursor) => (cursor ? { rows: [2], cursor: null } : { rows: [1], cursor: "c" }));
  await list.first();
  await list.more();
  expect([list.rows.value, list.cursor.value]).toEqual([[1, 2], null]);
});

test("provinces are found in both languages, each has a tile of its own", () => {
  const { tiles, rest } = onGrid([{ place: "广东省", n: 2 }, { place: "China Guangdong Shenzhen", n: 3 }, { place: "中国 内蒙古自治区", n: 1 }, { place: "Germany Bavaria", n: 4 }, { place: "", n: 5 }, { place: "中国 青海 海南", n: 7 }], true);
  expect(tiles.find((t) => t.name === "广东")!.n).toBe(5);
  expect(tiles.find((t) => t.name === "内蒙古")!.n).toBe(1);
  expect(tiles.filter((t) => t.n === 7).map((t) => t.name)).toEqual(["青海"]);
  expect(rest.map((r) => r.n)).toEqual([4, 5]);
  expect(tiles).toHaveLength(34);
  expect(new Set(tiles.map((t) => `${t.column} ${t.row}`)).size).toBe(34);
  expect(new Set(onGrid([], false).tiles.map((t) => t.short)).size).toBe(34);
});

test("scans stand where they belong on the strip, the most frequent fills it, and none is lost", () => {
  const at = (n: number): { at: number; tone: "success" | "failure" } => ({ at: n * 60e3, tone: n === 120 ? "failure" : "success" });
  const { bars, marks } = strip([at(0), at(1), at(120)], [{ at: 60 * 60e3, name: "recalled" }]);
  expect(bars.map((b) => b.n)).toEqual([2, 1]);
  expect(bars.map((b) => b.x)).toEqual([1, 591]);
  expect([bars[0]!.parts[0]!.height, bars[1]!.parts[0]!.height, bars[1]!.parts[0]!.tone]).toEqual([84, 42, "failure"]);
  expect(marks[0]!.x).toBe(300);
  const one = strip([at(5)], []);
  expect([one.bars.length, one.bars[0]!.x]).toEqual([1, 301]);
});

function keys(tree: object, at = ""): string[] {
  return Object.entries(tree).flatMap(([k, v]) => (typeof v === "object" ? keys(v as object, `${at}${k}.`) : [`${at}${k}`]));
}

test("both languages have the same words, and every state has one", () => {
  expect(keys(en).sort()).toEqual(keys(zh).sort());
  for (const s of targets) expect(zh.state).toHaveProperty(s);
});

test("no page names a word that there is not", () => {
  const src = resolve(import.meta.dirname, "../../src"), known = new Set(keys(zh)), missing: string[] = [];
  for (const f of readdirSync(src, { recursive: true, encoding: "utf8" }).filter((f) => /\.(vue|ts)$/.test(f))) {
    for (const [, key] of readFileSync(join(src, f), "utf8").matchAll(/\bt\("([\w.]+)"/g)) if (!known.has(key!)) missing.push(`${f}: ${key}`);
  }
  expect(missing).toEqual([]);
});
