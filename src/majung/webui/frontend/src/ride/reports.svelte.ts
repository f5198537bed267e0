// What the rider reports of an order (picked up, set off, handed over, not handed over), kept in IndexedDB
// until the server has it: in a lift or a cellar the work goes on, and the reports follow in their order.
//
// A report whose answer was lost is sent again; the server then says that the order is past that step already,
// which is as good as done. What the server refuses is not kept, and the rider is told why.

import { ApiError } from "../api/client";
import { currentOf } from "../delivery/actions";
import { deliveryApi } from "../delivery/api";
import { feed } from "../delivery/feed.svelte";
import { network, onNetwork } from "../api/network.svelte";
import { FINAL, STEPS, type Order, type OrderState, type Proof } from "../delivery/types";
import { words } from "../delivery/words.svelte";
import { toasts } from "../ui/toasts.svelte";
import { done, open } from "../positions/database";

export type ReportKind = "pick-up" | "depart" | "deliver" | "fail";
export type Evidence = { proof: Proof } | { photo: Blob } | { signature: string };

interface Report {
  number?: number;
  order_id: string;
  kind: ReportKind;
  reason?: string;
  evidence?: Evidence;
}

/** `kept`: it will be sent when the network is back. */
export type Outcome = "done" | "kept" | "refused";

const AFTER: Record<ReportKind, OrderState> = { "pick-up": "PICKED_UP", depart: "DELIVERING", deliver: "DELIVERED", fail: "FAILED" };
const STORE = "reports";
const RETRY_MS = 3000;
const SIGNATURE_SIZE = [300, 150] as const;

class Reports {
  waiting = $state.raw<readonly Report[]>([]);
  #database: Promise<IDBDatabase> | null = null;
  #sending: Promise<void> | null = null;
  #refused = new Set<number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #unwatch = () => undefined as void;

  start(account: string): void {
    this.#database = open(`majung.ride.reports.${account}`, STORE, { keyPath: "number", autoIncrement: true });
    this.#unwatch = onNetwork(
      () => undefined,
      () => void this.send(),
    );
    this.#timer = setInterval(() => this.waiting.length > 0 && network.online && void this.send(), RETRY_MS);
    void this.#read().then(() => this.send(), toasts.failed.bind(toasts));
  }

  stop(): void {
    this.#unwatch();
    clearInterval(this.#timer);
    void this.#database?.then((database) => database.close());
    this.#database = null;
    this.waiting = [];
  }

  /** The order as it will be once what was reported has arrived. */
  ahead(order: Order): Order {
    const last = this.waiting.findLast(({ order_id }) => order_id === order.order_id);
    return last ? { ...order, state: AFTER[last.kind] } : order;
  }

  async report(order: Order, kind: ReportKind, more: Pick<Report, "reason" | "evidence"> = {}): Promise<Outcome> {
    const number = await this.#put({ order_id: order.order_id, kind, ...more });
    await this.#read();
    if (network.online) {
      await this.#sending; // what was under way may have begun before this one was there
      await this.send();
    }
    if (this.#refused.delete(number)) return "refused";
    return this.waiting.some((report) => report.number === number) ? "kept" : "done";
  }

  /** All that waits, oldest first, until one does not get through. */
  send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null));
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    for (let next = this.waiting[0]; next && this.#database; next = this.waiting[0]) {
      try {
        feed.put([await this.#deliver(next)]);
        await this.#drop([next]);
      } catch (error) {
        const now = currentOf(error);
        if (now) feed.put([now]);
        if (isLater(error)) return;
        const over = now && !reached(now.state, AFTER[next.kind]);
        if (now && !over) await this.#drop([next]);
        else await this.#refuse(next, error, now);
      }
    }
  }

  async #deliver(report: Report): Promise<Order> {
    const { order_id, kind, reason, evidence } = report;
    if (kind === "fail") return deliveryApi.report(order_id, kind, { reason });
    if (kind !== "deliver" || !evidence) return deliveryApi.report(order_id, kind, {});
    let proof: Proof;
    if ("proof" in evidence) proof = evidence.proof;
    else {
      const [width, height] = SIGNATURE_SIZE;
      proof = await ("photo" in evidence
        ? deliveryApi.photo(order_id, evidence.photo)
        : deliveryApi.signature(order_id, evidence.signature, width, height));
      await this.#put({ ...report, evidence: { proof } }); // it is there: not sent twice
      await this.#read();
    }
    return deliveryApi.report(order_id, kind, { proof });
  }

  /** Without this step the later ones of the same order make no sense. */
  async #refuse(report: Report, error: unknown, now: Order | null): Promise<void> {
    await this.#drop(this.waiting.filter(({ order_id }) => order_id === report.order_id));
    if (report.number !== undefined) this.#refused.add(report.number);
    if (now) toasts.say(words.w.account.changed(words.w.states[now.state]), "bad");
    else if (error instanceof ApiError && error.status === 403) toasts.say(words.w.ride.notYours, "bad");
    else toasts.failed(error);
    await feed.refresh();
  }

  async #put(report: Report): Promise<number> {
    return Number(await done((await this.#store("readwrite")).put(report)));
  }

  async #drop(reports: readonly Report[]): Promise<void> {
    const store = await this.#store("readwrite");
    await Promise.all(reports.map(({ number = 0 }) => done(store.delete(number))));
    await this.#read();
  }

  async #read(): Promise<void> {
    this.waiting = (await done((await this.#store("readonly")).getAll())) as Report[];
  }

  async #store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    if (!this.#database) throw new Error("signed out");
    return (await this.#database).transaction(STORE, mode).objectStore(STORE);
  }
}

/** Whether trying again may help: no network, no server, too much at once, or signed out meanwhile. */
const isLater = (error: unknown) =>
  !(error instanceof ApiError) || error.status === 0 || error.status === 401 || error.status === 429 || error.status >= 500;

function reached(state: OrderState, wanted: OrderState): boolean {
  if (FINAL.has(state) && state !== "DELIVERED") return state === wanted;
  return STEPS.indexOf(state as (typeof STEPS)[number]) >= STEPS.indexOf(wanted as (typeof STEPS)[number]);
}

export const reports = new Reports();
