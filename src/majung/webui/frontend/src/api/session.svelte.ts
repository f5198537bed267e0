// Who is signed in. Tokens live in sessionStorage: they go when the tab is closed. Who asks to stay signed in
// on this device leaves the refresh token (and nothing else) in localStorage, one for each page, so that an
// installed app opens signed in. The server uses it up with each use; tabs take turns, and signing out in one
// signs out all.

export interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_at_ms: number;
  username: string;
}

interface TokenResponse {
  access_token: string;
  refresh_token?: string;
  expires_in: number;
}

const KEY = "majung.session";
const KEPT = `majung.signed-in.${location.pathname.split("/")[1] ?? ""}`;
const REFRESH_BEFORE_MS = 60_000;

interface Kept {
  refresh_token: string;
  username: string;
}

/** The server said no to a sign-in or a refresh; `status` 0 means that it was not reached. */
export class SignInError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

class Session {
  tokens = $state.raw<Tokens | null>(restore());
  /** What the account is for (auth/model.py); "" until the server has said it. */
  role = $state("");
  /** Set when a session ended by itself, for the sign-in page to say so. */
  ended = $state(false);
  #refreshing: Promise<void> | null = null;
  #stays = kept() !== null && kept()?.username === this.tokens?.username;

  constructor() {
    addEventListener("storage", ({ key, newValue }) => {
      if (key === KEPT && newValue === null && this.#stays) this.signOut();
    });
  }

  /** With `stay`, on this device until signed out. */
  async signIn(username: string, password: string, stay = false): Promise<void> {
    const answer = await grant({ grant_type: "password", username, password });
    this.#stays = stay;
    this.#keep(answer, username, "");
    this.ended = false;
  }

  signOut(ended = false): void {
    this.tokens = null;
    this.role = "";
    this.ended = ended;
    this.#stays = false;
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEPT);
  }

  /** Admins and operators see the running of the service; others the riders that they were granted. */
  get operates(): boolean {
    return this.role === "admin" || this.role === "operator";
  }

  /** A token that is good for a while; refreshed when it is about to expire. Throws when signed out. */
  async bearer(): Promise<string> {
    if (this.tokens && this.tokens.expires_at_ms - Date.now() < REFRESH_BEFORE_MS) await this.refresh();
    if (!this.tokens) throw new SignInError(401, "signed out");
    return this.tokens.access_token;
  }

  /** Ask for a new access token; several callers share one request. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#inTurn(() => this.#refresh()).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  /** One tab at a time: a refresh token that two use at once is good for one of them. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    return this.#stays && "locks" in navigator ? navigator.locks.request(KEPT, work) : work();
  }

  async #refresh(): Promise<void> {
    const old = this.tokens && { ...this.tokens, ...(this.#stays ? kept() : null) };
    if (!old) return;
    if (!old.refresh_token) return this.signOut(true);
    try {
      const answer = await grant({ grant_type: "refresh_token", refresh_token: old.refresh_token });
      this.#keep(answer, old.username, old.refresh_token);
    } catch (error) {
      // A server that is away is no reason to sign out; a server that says no is.
      if (error instanceof SignInError && error.status >= 400 && error.status < 500 && error.status !== 429) {
        this.signOut(true);
      }
      throw error;
    }
  }

  #keep(answer: TokenResponse, username: string, refreshToken: string): void {
    this.tokens = {
      access_token: answer.access_token,
      refresh_token: answer.refresh_token ?? refreshToken,
      expires_at_ms: Date.now() + answer.expires_in * 1000,
      username,
    };
    const { refresh_token } = this.tokens;
    sessionStorage.setItem(KEY, JSON.stringify(this.tokens));
    if (this.#stays) localStorage.setItem(KEPT, JSON.stringify({ refresh_token, username } satisfies Kept));
    else localStorage.removeItem(KEPT);
  }
}

/** This tab's tokens; or what was left to stay signed in with, which the first call trades for new ones. */
function restore(): Tokens | null {
  const found = kept();
  return read<Tokens>(sessionStorage, KEY) ?? (found && { ...found, access_token: "", expires_at_ms: 0 });
}

const kept = () => read<Kept>(localStorage, KEPT);

function read<T>(storage: Storage, key: string): T | null {
  try {
    return JSON.parse(storage.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

async function grant(form: Record<string, string>): Promise<TokenResponse> {
  let response: Response;
  try {
    response = await fetch("/v1/oauth/token", { method: "POST", body: new URLSearchParams(form) });
  } catch {
    throw new SignInError(0, "server not reached");
  }
  if (!response.ok) throw new SignInError(response.status, await response.text());
  return (await response.json()) as TokenResponse;
}

export const session = new Session();
