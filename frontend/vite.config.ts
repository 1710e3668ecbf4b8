import { defineConfig } from "vite";

// Fixed names: the build is committed, and a changed hash in every name would make each diff a new file.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/camlucida/app/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "app.js",
        chunkFileNames: "[name].js",
        assetFileNames: "app[extname]",
        // What several tabs use is one file; each tab but the first is another, fetched when nothing else happens.
        codeSplitting: { groups: [{ name: "shared", test: /node_modules|src\/(api|maps|shared|state|numbers)/ }] },
      },
    },
  },
});
