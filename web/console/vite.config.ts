import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import vue from "@vitejs/plugin-vue";
import { defineConfig, type Plugin } from "vite";

// The server hands these out as they are: nobody compresses while somebody waits.
function compressed(): Plugin {
  return {
    name: "compressed",
    writeBundle(options) {
      for (const entry of readdirSync(options.dir!, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg|json)$/.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name);
        const raw = readFileSync(file);
        if (raw.length < 512) continue;
        writeFileSync(file + ".gz", gzipSync(raw, { level: 9 }));
        writeFileSync(file + ".br", brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [vue(), compressed()],
  build: { outDir: "../../internal/console/dist", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/log": "http://127.0.0.1:8080" } },
});
