import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

// The service worker names the files that it keeps from the start. What is loaded on demand,
// the decoder, it keeps when it was loaded: most phones have one of their own.
function worker(): Plugin {
  return {
    name: "worker",
    generateBundle(_, bundle) {
      const first = Object.values(bundle).filter((f) => (f.type === "chunk" ? f.isEntry : f.fileName.endsWith(".css"))).map((f) => "/scan/" + f.fileName);
      const files = JSON.stringify(["/scan/", "/scan/icon.svg", "/scan/manifest.webmanifest", ...first]);
      const version = createHash("sha256").update(files).update(readFileSync("index.html")).digest("hex").slice(0, 12);
      const source = readFileSync("src/sw.js", "utf8").replace("__FILES__", files).replace("__VERSION__", JSON.stringify(version));
      this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
  };
}

// The server hands these out as they are: nobody compresses while somebody waits.
function compressed(): Plugin {
  return {
    name: "compressed",
    writeBundle(options) {
      for (const entry of readdirSync(options.dir!, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg|wasm|webmanifest)$/.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name), raw = readFileSync(file);
        if (raw.length < 512) continue;
        if (!entry.name.endsWith(".wasm")) writeFileSync(file + ".gz", gzipSync(raw, { level: 9 })); // what runs it takes Brotli
        writeFileSync(file + ".br", brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

export default defineConfig({
  base: "/scan/",
  plugins: [worker(), compressed()],
  build: { outDir: "../../internal/scanner/dist", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: "es2022" },
});
