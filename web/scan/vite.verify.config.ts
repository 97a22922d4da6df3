import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// One file: the script and the style are put into the page.
function page(): Plugin {
  return {
    name: "page",
    generateBundle(_, bundle) {
      const [chunk] = Object.values(bundle);
      if (chunk?.type !== "chunk") throw new Error("no script was built");
      const style = readFileSync("src/style.css", "utf8").replaceAll("\n", "");
      const source = readFileSync("verify.template.html", "utf8").replace("/*STYLE*/", () => style)
        .replace("/*SCRIPT*/", () => chunk.code.trim().replaceAll("</script", "<\\/script"));
      delete bundle[chunk.fileName];
      this.emitFile({ type: "asset", fileName: "verify.html", source });
    },
  };
}

export default defineConfig({
  plugins: [page()],
  publicDir: false,
  build: {
    outDir: "../../internal/scanner/dist", emptyOutDir: false, target: "es2022",
    lib: { entry: "src/verify.ts", formats: ["iife"], name: "verifier", fileName: () => "verify.js" },
  },
});
