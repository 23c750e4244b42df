// Users, keys and the audit log on LMDB, in a file of their own beside the journal: backed up, moved and guarded apart from it.
// Implements the port of `auth/`. Whoever opens it must hold the lock of the directory.
import path from "node:path";
import type { AuditEntry, IdentityChange, IdentityStore, KeyRecord, UserRecord } from "../auth/identity-store.js";
import { openSealedFile, putFormat, storedNumber, type SealedFile } from "./sealed-file.js";
import { SealedTable } from "./sealed-table.js";
import type { VaultKey } from "./vault-key.js";

const FILE = "identity.mdb";
const MAX_TABLES = 4;

export class LmdbIdentityStore implements IdentityStore {
  readonly #file: SealedFile;
  readonly #keys: SealedTable<string>;
  readonly #users: SealedTable<string>;
  readonly #audit: SealedTable<number>;

  /** Creates what is missing. Throws when the file is not one of ours, of another format, or not under `key` (null: not encrypted). */
  constructor(directory: string, key: VaultKey | null = null) {
    this.#file = openSealedFile(path.join(directory, FILE), MAX_TABLES, key);
    const { root, vault } = this.#file;
    this.#keys = new SealedTable(root, "keys", vault, { blind: true });
    this.#users = new SealedTable(root, "users", vault, { blind: true });
    this.#audit = new SealedTable(root, "audit", vault);
  }

  load(): { readonly keys: readonly KeyRecord[]; readonly users: readonly UserRecord[]; readonly on: boolean } {
    return {
      keys: [...this.#keys.getRange()].map(({ value }) => parsed<KeyRecord>(value)),
      users: [...this.#users.getRange()].map(({ value }) => parsed<UserRecord>(value)),
      on: storedNumber(this.#file.meta, "on") === 1,
    };
  }

  async write({ keys = [], users = [], removedUsers = [], audit = [], on }: IdentityChange): Promise<void> {
    const { root, meta } = this.#file;
    await root.batch(() => {
      putFormat(this.#file);
      if (on) void meta.put("on", Buffer.from("1"));
      for (const key of keys) this.#keys.put(key.id, packed(key));
      for (const user of users) this.#users.put(userKey(user.name), packed(user));
      for (const name of removedUsers) this.#users.remove(userKey(name));
      for (const entry of audit) this.#audit.put(entry.sequence, packed(entry));
      const last = audit.at(-1);
      // Kept apart: numbers are never given twice, even when the retention has taken all entries.
      if (last) void meta.put("audit_last", Buffer.from(`${last.sequence}`));
    });
    await root.flushed;
  }

  lastAudit(): number {
    return storedNumber(this.#file.meta, "audit_last");
  }

  audit(below: number, limit: number): readonly AuditEntry[] {
    return [...this.#audit.getRange({ start: below - 1, reverse: true, limit })].map(({ value }) => parsed<AuditEntry>(value));
  }

  async purgeAudit(beforeMs: number, keepAtMost: number, limit: number): Promise<number> {
    const keepFrom = this.lastAudit() - keepAtMost;
    const dropped: number[] = [];
    for (const { key, value } of this.#audit.getRange({ start: 0, limit })) {
      if (key > keepFrom && parsed<AuditEntry>(value).atMs >= beforeMs) break;
      dropped.push(key);
    }
    if (dropped.length === 0) return 0;
    await this.#file.root.batch(() => {
      for (const sequence of dropped) this.#audit.remove(sequence);
    });
    return dropped.length;
  }

  /** Writes all that it holds into `target`, which is new, under that one's key. */
  async copyTo(target: LmdbIdentityStore): Promise<void> {
    const { on, ...rest } = this.load();
    await target.write({ ...rest, ...(on && { on }) });
    const { root, meta } = target.#file;
    await this.#audit.copyTo(target.#audit, async (write) => void (await root.batch(write)));
    await meta.put("audit_last", Buffer.from(`${this.lastAudit()}`));
    await root.flushed;
  }

  close(): Promise<void> {
    return this.#file.root.close();
  }
}

/** Names are up to 128 characters, LMDB's keys up to 1,978 bytes; a name of one byte must not look like a number to it. */
function userKey(name: string): string {
  return `u ${name}`;
}

function packed(value: KeyRecord | UserRecord | AuditEntry): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function parsed<T>(stored: Buffer): T {
  return JSON.parse(stored.toString()) as T;
}
