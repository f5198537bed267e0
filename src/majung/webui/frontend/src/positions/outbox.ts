// Positions that the server has not yet acknowledged, in IndexedDB: a tunnel or a closed browser loses none.

import { done, open } from "./database";

export interface Fix {
  session_id: string;
  seq: number;
  latitude: number;
  longitude: number;
  device_time_ms: number;
  accuracy_m?: number;
  speed_mps?: number;
  heading_deg?: number;
}

const STORE = "fixes";
/** Half a day of a fix a second; past that the oldest go. */
const MOST = 40_000;

export class Outbox {
  #opened: Promise<IDBDatabase>;

  constructor(name: string) {
    this.#opened = open(name, STORE, { keyPath: "seq" });
  }

  async add(fix: Fix): Promise<void> {
    const store = await this.#store("readwrite");
    await done(store.put(fix));
    if ((await done(store.count())) > MOST) await done(store.delete(IDBKeyRange.upperBound(fix.seq - MOST)));
  }

  /** The oldest ones after `seq`, oldest first. */
  async after(seq: number, limit: number): Promise<Fix[]> {
    return done((await this.#store("readonly")).getAll(IDBKeyRange.lowerBound(seq, true), limit)) as Promise<Fix[]>;
  }

  async count(): Promise<number> {
    return done((await this.#store("readonly")).count());
  }

  async dropThrough(seq: number): Promise<void> {
    await done((await this.#store("readwrite")).delete(IDBKeyRange.upperBound(seq)));
  }

  async close(): Promise<void> {
    (await this.#opened).close();
  }

  async #store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    return (await this.#opened).transaction(STORE, mode).objectStore(STORE);
  }
}
