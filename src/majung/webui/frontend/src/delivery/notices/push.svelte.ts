// Notifications of this device while the page is closed: Web Push, by the browser's own service.

import { get, request } from "../../api/client";
import { i18n } from "../../i18n/index.svelte";
import { notices } from "./notices.svelte";

export type PushState = "unknown" | "off" | "on" | "denied" | "unsupported" | "insecure";

const APP = location.pathname.split("/")[1] ?? "";
const KEY = `majung.push.${APP}`;

interface FromWorker {
  type: "notice" | "open" | "renew";
  hash?: string;
}

class Push {
  state = $state<PushState>("unknown");
  busy = $state(false);
  failed = $state(false);
  #registration: ServiceWorkerRegistration | null = null;
  #language = "";

  /** What is possible and what is on; renews the subscription when there is one. */
  async look(): Promise<void> {
    if (!isSecureContext) this.state = "insecure";
    else if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) this.state = "unsupported";
    else if (Notification.permission === "denied") this.state = "denied";
    else {
      try {
        await this.#register();
        const subscription = await this.#registration?.pushManager.getSubscription();
        if (subscription && Notification.permission === "granted") await this.#tell(subscription);
        else this.state = "off";
      } catch {
        this.state = "off";
      }
    }
  }

  async turnOn(): Promise<void> {
    this.busy = true;
    this.failed = false;
    try {
      if ((await Notification.requestPermission()) === "denied") {
        this.state = "denied";
        return;
      }
      await this.#register();
      await this.#subscribe();
    } catch {
      this.failed = Notification.permission !== "denied";
      this.state = Notification.permission === "denied" ? "denied" : "off";
    } finally {
      this.busy = false;
    }
  }

  /** Also when somebody signs out: the next one who uses this device must not read what is for the last. */
  async turnOff(): Promise<void> {
    const id = localStorage.getItem(KEY);
    localStorage.removeItem(KEY);
    this.busy = true;
    try {
      const subscription = await this.#registration?.pushManager.getSubscription();
      await subscription?.unsubscribe();
      if (id) await request(`/v1/push/subscriptions/${encodeURIComponent(id)}`, { method: "DELETE" });
    } catch {
      // The browser takes no more of them; the server learns it with the next one that it sends.
    } finally {
      this.busy = false;
      if (this.state === "on") this.state = "off";
    }
  }

  /** The page has changed its language: so do the notifications. */
  async speak(): Promise<void> {
    if (this.state === "on" && this.#language !== i18n.language) await this.look();
  }

  async #register(): Promise<void> {
    if (this.#registration) return;
    navigator.serviceWorker.addEventListener("message", ({ data }) => this.#heard(data as FromWorker));
    this.#registration = await navigator.serviceWorker.register("/sw.js", { scope: `/${APP}` });
    if (!this.#registration.active) await activated(this.#registration);
  }

  #heard(message: FromWorker): void {
    if (message.type === "open" && message.hash) location.hash = message.hash;
    else if (message.type === "notice") void notices.refresh();
    else if (message.type === "renew" && localStorage.getItem(KEY)) void this.#subscribe();
  }

  async #subscribe(): Promise<void> {
    const manager = this.#registration?.pushManager;
    if (!manager) return;
    const { key } = await get<{ key: string }>("/v1/push/key");
    const options = { userVisibleOnly: true, applicationServerKey: key };
    const subscription = await manager.subscribe(options).catch(async () => {
      // It is subscribed for another key: the server has a new one.
      await (await manager.getSubscription())?.unsubscribe();
      return manager.subscribe(options);
    });
    await this.#tell(subscription);
  }

  async #tell(subscription: PushSubscription): Promise<void> {
    this.#language = i18n.language;
    const { endpoint, expirationTime, keys } = subscription.toJSON();
    const body = JSON.stringify({ endpoint, expirationTime, keys, language: this.#language });
    const answer = await request("/v1/push/subscriptions", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    localStorage.setItem(KEY, ((await answer.json()) as { subscription_id: string }).subscription_id);
    this.state = "on";
  }
}

async function activated(registration: ServiceWorkerRegistration): Promise<void> {
  const worker = registration.installing ?? registration.waiting;
  if (!worker) return;
  await new Promise<void>((resolve) => {
    worker.addEventListener("statechange", () => worker.state === "activated" && resolve());
    if (worker.state === "activated") resolve();
  });
}

export const push = new Push();
