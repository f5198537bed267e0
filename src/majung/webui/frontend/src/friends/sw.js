// The service worker of the friends page: it opens without a network, with the files of one build. What friends
// do is never kept here (the page keeps its last list itself, and forgets it when somebody signs out).
//
// vite.config.ts puts the names of the files in, so that each build is another worker with a cache of its own.

const FILES = __FILES__;
const NAME = "majung-friends-__BUILD__";
const DOCUMENT = "/friends";
const BESIDES = ["/v1/map/config.json", "/app/friends"];
const WAIT_MS = 4000;
/** Of this build, and of the one before it: a page may still be open with that. */
const CACHES = 2;

self.addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(NAME);
    await cache.addAll([DOCUMENT, ...FILES, ...BESIDES]);
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    const ours = (await caches.keys()).filter((name) => name.startsWith("majung-friends-") && name !== NAME);
    await Promise.all(ours.slice(0, Math.max(0, ours.length - CACHES + 1)).map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (url.pathname === DOCUMENT) event.respondWith(networkFirst(request, DOCUMENT));
  } else if (url.pathname.startsWith("/assets/")) event.respondWith(cacheFirst(request));
  else if (BESIDES.includes(url.pathname)) event.respondWith(networkFirst(request, url.pathname));
});

async function cacheFirst(request) {
  return (await caches.match(request)) ?? fetch(request);
}

/** What is kept is of this worker's build: a newer document would want files that are not here. */
async function networkFirst(request, kept) {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(WAIT_MS) });
  } catch (error) {
    const found = await (await caches.open(NAME)).match(kept);
    if (found) return found;
    throw error;
  }
}
