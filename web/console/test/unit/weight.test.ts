import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const dist = resolve(import.meta.dirname, "../../../../internal/console/dist"), most = 350 * 1024;

// Built by test/setup/web.sh before the tests run.
test.skipIf(!existsSync(join(dist, "index.html")))("what the first page loads is at most 350 KB", () => {
  const page = readFileSync(join(dist, "index.html"), "utf8");
  const files = [...page.matchAll(/(?:src|href)="\/console\/(assets\/[^"]+)"/g)].map((m) => m[1]!);
  const sum = files.reduce((n, f) => n + statSync(join(dist, existsSync(join(dist, f + ".br")) ? f + ".br" : f)).size, 0);
  console.log(`first load of the shell: ${(sum / 1024).toFixed(1)} KB compressed in ${files.length} files, at most ${most / 1024} KB`);
  expect(files.length).toBeGreaterThan(1);
  expect(sum).toBeLessThanOrEqual(most);
});
