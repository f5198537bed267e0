// Put on the screen of a phone: where the browser offers it, with one tap; else with the words for how.

interface InstallPrompt extends Event {
  prompt(): Promise<{ outcome: "accepted" | "dismissed" }>;
}

class Install {
  /** The browser would do it now. */
  #prompt = $state.raw<InstallPrompt | null>(null);
  installed = $state(matchMedia("(display-mode: standalone)").matches);
  readonly apple = /iPhone|iPad/.test(navigator.userAgent);

  constructor() {
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault();
      this.#prompt = event as InstallPrompt;
    });
    addEventListener("appinstalled", () => (this.installed = true));
  }

  get offered(): boolean {
    return this.#prompt !== null;
  }

  async ask(): Promise<void> {
    const prompt = this.#prompt;
    this.#prompt = null; // it is good for one time
    await prompt?.prompt();
  }
}

export const install = new Install();

/** The page opens without a network, too: its files are kept by a worker of its own (friends/sw.js). */
export function keepShell(): void {
  if (!isSecureContext || !("serviceWorker" in navigator)) return;
  void navigator.serviceWorker.register("/friends-sw.js", { scope: "/friends" }).catch(() => undefined);
}
