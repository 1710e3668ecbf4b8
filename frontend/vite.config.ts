import { defineConfig } from "vite";

// Fixed names: the build is committed, and a changed hash in every name would make each diff a new file.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/camlucida/app/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
        // The first view is one file; each of the other tabs is another, with its style sheet, fetched when nothing else
        // happens.
        codeSplitting: { groups: [{ name: "app", test: /node_modules|src\/(?!(tabs|styles)\/(compare|trust|activations|dataset|study)\b)/ }] },
      },
    },
  },
});
