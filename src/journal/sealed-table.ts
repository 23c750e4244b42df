// A table of LMDB whose values, and where it is asked for whose keys, go through a vault. Used by the stores of this folder for all that
// may say something about anybody; what they keep beside it are counters.
import type { Database, RootDatabase } from "lmdb";
import type { Vault } from "./vault.js";

const COPIED_AT_ONCE_BYTES = 4 << 20;

interface Range<K> {
  readonly start?: K;
  readonly end?: K;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** Buffers by strings, or by numbers in their order. Writes belong in a transaction of its environment. */
export class SealedTable<K extends string | number> {
  readonly name: string;
  readonly #table: Database<Buffer, K>;
  readonly #vault: Vault;
  readonly #blind: boolean;

  /** `blind`: its keys are names that must not be read either; they then come in no order, and ranges give what stands for them. */
  constructor(root: RootDatabase<Buffer, string>, name: string, vault: Vault, { blind = false } = {}) {
    this.name = name;
    this.#table = root.openDB({ name, encoding: "binary" });
    this.#vault = vault;
    this.#blind = blind;
  }

  get entryCount(): number {
    return (this.#table.getStats() as { readonly entryCount: number }).entryCount;
  }

  get(key: K): Buffer | undefined {
    const stored = this.#stored(key);
    const value = this.#table.get(stored);
    return value && this.#vault.open(this.#place(stored), value);
  }

  put(key: K, value: Buffer): void {
    const stored = this.#stored(key);
    void this.#table.put(stored, this.#vault.seal(this.#place(stored), value));
  }

  remove(key: K): void {
    void this.#table.remove(this.#stored(key));
  }

  getKeys(range: Range<K> = {}): Iterable<K> {
    return this.#table.getKeys(range);
  }

  *getRange(range: Range<K> = {}): Iterable<{ readonly key: K; readonly value: Buffer }> {
    for (const { key, value } of this.#table.getRange(range)) yield { key, value: this.#vault.open(this.#place(key), value) };
  }

  /** Puts all of it into `target`, in transactions of `commit`; where keys are blind `keyOf` finds them in the values. */
  async copyTo(target: SealedTable<K>, commit: (write: () => void) => Promise<void>, keyOf?: (value: Buffer) => K): Promise<void> {
    const entries = this.getRange()[Symbol.iterator]();
    for (let next = entries.next(); !next.done; ) {
      await commit(() => {
        for (let bytes = 0; !next.done && bytes < COPIED_AT_ONCE_BYTES; next = entries.next()) {
          const { key, value } = next.value;
          target.put(keyOf ? keyOf(value) : key, value);
          bytes += value.byteLength;
        }
      });
    }
  }

  #stored(key: K): K {
    return this.#blind && typeof key === "string" ? (this.#vault.blind(key) as K) : key;
  }

  #place(key: K): string {
    return `${this.name} ${key}`;
  }
}
