// Where to bring it, and what: kept on this device until it is ordered.

import type { Item, Option, Store } from "../delivery/api";
import type { Address } from "../delivery/types";

export interface BasketLine {
  item: Item;
  options: Option[];
  quantity: number;
}

const ADDRESS = "majung.address";
const BASKET = "majung.basket";
const MOST = 99;

export const priceOf = ({ item, options }: Pick<BasketLine, "item" | "options">): number =>
  options.reduce((sum, option) => sum + (option.price_krw ?? 0), item.price_krw);

class Basket {
  address = $state.raw<Address | null>(restore<Address>(ADDRESS));
  store = $state.raw<Store | null>(restore<{ store: Store }>(BASKET)?.store ?? null);
  lines = $state.raw<BasketLine[]>(restore<{ lines: BasketLine[] }>(BASKET)?.lines ?? []);
  count = $derived(this.lines.reduce((sum, line) => sum + line.quantity, 0));
  dishes = $derived(this.lines.reduce((sum, line) => sum + line.quantity * priceOf(line), 0));
  fee = $derived(this.store?.fee_krw ?? 0);
  missing = $derived(Math.max(0, (this.store?.minimum_krw ?? 0) - this.dishes));

  deliverTo(address: Address): void {
    this.address = address;
    localStorage.setItem(ADDRESS, JSON.stringify(address));
  }

  add(store: Store, added: BasketLine): void {
    if (this.store?.store_id !== store.store_id) this.clear();
    this.store = store;
    const same = this.lines.findIndex((line) => keyOf(line) === keyOf(added));
    if (same >= 0) this.set(same, (this.lines[same]?.quantity ?? 0) + added.quantity);
    else this.#keep([...this.lines, added]);
  }

  set(index: number, quantity: number): void {
    this.#keep(
      this.lines
        .map((line, i) => (i === index ? { ...line, quantity: Math.min(MOST, quantity) } : line))
        .filter((line) => line.quantity > 0),
    );
  }

  clear(): void {
    this.store = null;
    this.#keep([]);
  }

  #keep(lines: BasketLine[]): void {
    this.lines = lines;
    if (lines.length === 0) this.store = null;
    localStorage.setItem(BASKET, JSON.stringify({ store: this.store, lines }));
  }
}

const keyOf = ({ item, options }: BasketLine) => [item.item_id, ...options.map((o) => o.option_id).sort()].join(" ");

function restore<T>(key: string): T | null {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

export const basket = new Basket();
