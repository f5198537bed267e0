// Who uses the page: the role, and the rider or store that the account stands for.

import { session } from "../api/session.svelte";
import { deliveryApi, type Me } from "./api";

class Account {
  me = $state.raw<Me | null>(null);
  failure = $state.raw<unknown>(null);

  async load(): Promise<void> {
    this.failure = null;
    try {
      const me = await deliveryApi.me();
      if (session.tokens) this.me = me;
    } catch (error) {
      this.failure = error;
    }
  }

  clear(): void {
    this.me = null;
    this.failure = null;
  }
}

export const account = new Account();
