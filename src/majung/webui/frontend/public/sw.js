// The service worker of the delivery pages: shows what is pushed, and opens the page that it is about.
// Each page registers it for its own path, so that two people's pages in one browser have a subscription each.
// It caches nothing: an order is shown as it is now, or not at all.

const BADGE = "/assets/app-icon.svg";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let notice;
  try {
    notice = event.data.json();
  } catch {
    notice = { id: 0, title: "마중", body: "", tag: "majung", url: self.registration.scope };
  }
  event.waitUntil(receive(notice));
});

async function receive(notice) {
  const pages = await self.clients.matchAll({ type: "window" });
  for (const page of pages) page.postMessage({ type: "notice", id: notice.id });
  // Who looks at the page is told there.
  if (pages.some((page) => page.focused && page.visibilityState === "visible")) return;
  const shown = await self.registration.getNotifications({ tag: notice.tag });
  const newest = shown.reduce((best, one) => ((one.data?.id ?? 0) > best ? one.data.id : best), 0);
  if (newest > notice.id) return; // of one order the newest stands, whatever comes late
  await self.registration.showNotification(notice.title, {
    body: notice.body,
    tag: notice.tag,
    lang: notice.language,
    icon: BADGE,
    badge: BADGE,
    timestamp: notice.at_ms,
    // The same one again (a push service may deliver twice) makes no sound again.
    renotify: newest < notice.id && newest > 0,
    silent: newest === notice.id && newest > 0,
    data: { id: notice.id, url: notice.url },
  });
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.url ?? self.registration.scope));
});

async function open(address) {
  const url = new URL(address, self.location.origin);
  if (url.origin !== self.location.origin) return;
  const pages = await self.clients.matchAll({ type: "window" });
  const page = pages.find((one) => new URL(one.url).pathname === url.pathname);
  if (!page) {
    await self.clients.openWindow(url.href);
    return;
  }
  page.postMessage({ type: "open", hash: url.hash });
  await page.focus().catch(() => undefined);
}

// The push service has changed the address: an open page subscribes again, else the next one that opens does.
self.addEventListener("pushsubscriptionchange", (event) => {
  const tell = async () => {
    for (const page of await self.clients.matchAll({ type: "window" })) page.postMessage({ type: "renew" });
  };
  event.waitUntil(tell());
});
