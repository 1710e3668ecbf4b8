import { defineConfig } from "vite";

// Fixed names: the build is committed, and a changed hash in every name would make each diff a new file.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/camlucida/app/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: { entryFileNames: "app.js", chunkFileNames: "[name].js", assetFileNames: "app[extname]" },
    },
  },
});
