import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { friendsWorker } from "./friends-worker";

// `npm run dev` serves the page with hot reload and passes the API on to a running server.
const server = process.env["MAJUNG_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte(), friendsWorker()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    // The map library alone is past vite's default; it loads after the sign-in page is on the screen.
    chunkSizeWarningLimit: 1300,
    reportCompressedSize: false,
    license: { fileName: "third-party-licenses.md" },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
  },
  server: { proxy: { "/v1": { target: server, ws: true } } },
});
