// Writes friends-sw.js with the names of the files that the friends page is made of.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const PAGE = "/friends/FriendsPage.svelte";
const ICON = "assets/friends-icon.svg";

export function friendsWorker(): Plugin {
  return {
    name: "friends-worker",
    apply: "build",
    enforce: "post", // after chunks of nothing but styles have gone
    generateBundle(_, bundle) {
      const files = new Set<string>([ICON]);
      const add = (name: string, withDynamic: boolean) => {
        const chunk = bundle[name];
        if (chunk?.type !== "chunk" || files.has(name)) return;
        files.add(name);
        for (const file of [...(chunk.viteMetadata?.importedCss ?? []), ...(chunk.viteMetadata?.importedAssets ?? [])]) files.add(file);
        for (const other of chunk.imports) add(other, withDynamic);
        if (withDynamic) for (const other of chunk.dynamicImports) add(other, true);
      };
      for (const [name, chunk] of Object.entries(bundle)) if (chunk.type === "chunk" && chunk.isEntry) add(name, false);
      const page = Object.values(bundle).find((chunk) => chunk.type === "chunk" && chunk.facadeModuleId?.endsWith(PAGE));
      if (!page) this.error(`no chunk for ${PAGE}`);
      add(page.fileName, true);
      const names = JSON.stringify([...files].sort().map((name) => `/${name}`));
      const build = createHash("sha256").update(names).digest("hex").slice(0, 12);
      const source = readFileSync(new URL("src/friends/sw.js", import.meta.url), "utf8");
      this.emitFile({ type: "asset", fileName: "friends-sw.js", source: source.replace("__FILES__", names).replace("__BUILD__", build) });
    },
  };
}
