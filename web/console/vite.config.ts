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

// What the sign-in page needs is named in the page itself: on a weak link it comes beside the shell and not after it.
// Whoever is signed in has most of it on other pages anyway.
function ahead(): Plugin {
  return {
    name: "ahead",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((f) => f.type === "chunk"), page = chunks.find((c) => c.facadeModuleId?.endsWith("pages/SignIn.vue"));
        if (!page) return html; // the development server
        const needed = [page, ...chunks.filter((c) => page.imports.includes(c.fileName))];
        const styles = needed.flatMap((c) => [...(c.viteMetadata?.importedCss ?? [])]), scripts = needed.map((c) => c.fileName);
        return [
          ...scripts.map((f) => ({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/console/${f}` } })),
          ...styles.map((f) => ({ tag: "link", attrs: { rel: "stylesheet", crossorigin: true, href: `/console/${f}` } })),
        ].filter((t) => !html.includes(`"${t.attrs.href}"`)).map((t) => ({ ...t, injectTo: "head" as const }));
      },
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [vue(), compressed(), ahead()],
  // of Vue and its words what these pages use
  define: { __VUE_OPTIONS_API__: false, __VUE_I18N_FULL_INSTALL__: false, __VUE_I18N_LEGACY_API__: false, __INTLIFY_DROP_MESSAGE_COMPILER__: false, __INTLIFY_PROD_DEVTOOLS__: false },
  build: { outDir: "../../internal/console/dist", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/log": "http://127.0.0.1:8080" } },
});
