// Users, keys and the audit log on LMDB, in a file of their own beside the journal: backed up, moved and guarded apart from it.
// Implements the port of `auth/`. Whoever opens it must hold the lock of the directory.
import { chmodSync } from "node:fs";
import path from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";
import type { AuditEntry, IdentityChange, IdentityStore, KeyRecord, UserRecord } from "../auth/identity-store.js";
import { makeDataDirectory } from "./data-directory.js";
import { checkLmdbFile } from "./lmdb-file.js";
import { SealedTable } from "./sealed-table.js";
import { vaultFor, type Vault } from "./vault.js";
import type { VaultKey } from "./vault-key.js";

const FILE = "identity.mdb";
/** The second is the first, encrypted. */
const FORMAT = 1;
const SEALED_FORMAT = 2;

export class LmdbIdentityStore implements IdentityStore {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #meta: Database<string, string>;
  readonly #vault: Vault;
  readonly #keys: SealedTable<string>;
  readonly #users: SealedTable<string>;
  readonly #audit: SealedTable<number>;

  /** Creates what is missing. Throws when the file is not one of ours, of another format, or not under `key` (null: not encrypted). */
  constructor(directory: string, key: VaultKey | null = null) {
    makeDataDirectory(directory);
    const file = path.join(directory, FILE);
    checkLmdbFile(file);
    this.#root = open({ path: file, encoding: "binary", maxDbs: 4, eventTurnBatching: false });
    // Digests are no secrets, hashes of passwords nearly are: nobody else on the machine reads them.
    chmodSync(file, 0o600);
    this.#meta = this.#root.openDB({ name: "meta", encoding: "string" });
    try {
      const format = Number(this.#meta.get("format") ?? 0);
      if (format !== 0 && format !== FORMAT && format !== SEALED_FORMAT) throw new Error(`${file} has format ${format}; this version reads format ${FORMAT}, and ${SEALED_FORMAT} with a key.`);
      this.#vault = vaultFor(file, key, format === 0 ? null : (this.#meta.get("key") ?? ""));
    } catch (error) {
      void this.#root.close();
      throw error;
    }
    this.#keys = new SealedTable(this.#root, "keys", this.#vault, { blind: true });
    this.#users = new SealedTable(this.#root, "users", this.#vault, { blind: true });
    this.#audit = new SealedTable(this.#root, "audit", this.#vault);
  }

  load(): { readonly keys: readonly KeyRecord[]; readonly users: readonly UserRecord[]; readonly on: boolean } {
    return {
      keys: [...this.#keys.getRange()].map(({ value }) => parsed<KeyRecord>(value)),
      users: [...this.#users.getRange()].map(({ value }) => parsed<UserRecord>(value)),
      on: this.#meta.get("on") === "1",
    };
  }

  async write({ keys = [], users = [], removedUsers = [], audit = [], on }: IdentityChange): Promise<void> {
    await this.#root.batch(() => {
      const { keyId } = this.#vault;
      void this.#meta.put("format", String(keyId === "" ? FORMAT : SEALED_FORMAT));
      if (keyId !== "") void this.#meta.put("key", keyId);
      if (on) void this.#meta.put("on", "1");
      for (const key of keys) this.#keys.put(key.id, packed(key));
      for (const user of users) this.#users.put(userKey(user.name), packed(user));
      for (const name of removedUsers) this.#users.remove(userKey(name));
      for (const entry of audit) this.#audit.put(entry.sequence, packed(entry));
      const last = audit.at(-1);
      // Kept apart: numbers are never given twice, even when the retention has taken all entries.
      if (last) void this.#meta.put("audit_last", String(last.sequence));
    });
    await this.#root.flushed;
  }

  lastAudit(): number {
    return Number(this.#meta.get("audit_last") ?? 0);
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
    await this.#root.batch(() => {
      for (const sequence of dropped) this.#audit.remove(sequence);
    });
    return dropped.length;
  }

  /** Writes all that it holds into `target`, which is new, under that one's key. */
  async copyTo(target: LmdbIdentityStore): Promise<void> {
    const { on, ...rest } = this.load();
    await target.write({ ...rest, ...(on && { on }) });
    await this.#audit.copyTo(target.#audit, async (write) => void (await target.#root.batch(write)));
    await target.#meta.put("audit_last", `${this.lastAudit()}`);
    await target.#root.flushed;
  }

  close(): Promise<void> {
    return this.#root.close();
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
