// Users, keys and the audit log on LMDB, in a file of their own beside the journal: backed up, moved and guarded apart from it.
// Implements the port of `auth/`. Whoever opens it must hold the lock of the directory.
import { chmodSync, mkdirSync } from "node:fs";
import path from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";
import type { AuditEntry, IdentityChange, IdentityStore, KeyRecord, UserRecord } from "../auth/identity-store.js";
import { checkLmdbFile } from "./lmdb-file.js";

const FILE = "identity.mdb";
const FORMAT = 1;

export class LmdbIdentityStore implements IdentityStore {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #meta: Database<string, string>;
  readonly #keys: Database<string, string>;
  readonly #users: Database<string, string>;
  readonly #audit: Database<string, number>;

  /** Creates what is missing. Throws when the file is not one of ours, or of another format. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    const file = path.join(directory, FILE);
    checkLmdbFile(file);
    this.#root = open({ path: file, encoding: "binary", maxDbs: 4, eventTurnBatching: false });
    // Digests are no secrets, hashes of passwords nearly are: nobody else on the machine reads them.
    chmodSync(file, 0o600);
    this.#meta = this.#root.openDB({ name: "meta", encoding: "string" });
    this.#keys = this.#root.openDB({ name: "keys", encoding: "string" });
    this.#users = this.#root.openDB({ name: "users", encoding: "string" });
    this.#audit = this.#root.openDB({ name: "audit", encoding: "string" });
    const format = Number(this.#meta.get("format") ?? FORMAT);
    if (format === FORMAT) return;
    void this.#root.close();
    throw new Error(`${file} has format ${format}; this version reads format ${FORMAT}.`);
  }

  load(): { readonly keys: readonly KeyRecord[]; readonly users: readonly UserRecord[]; readonly on: boolean } {
    return {
      keys: [...this.#keys.getRange()].map(({ value }) => JSON.parse(value) as KeyRecord),
      users: [...this.#users.getRange()].map(({ value }) => JSON.parse(value) as UserRecord),
      on: this.#meta.get("on") === "1",
    };
  }

  async write({ keys = [], users = [], removedUsers = [], audit = [], on }: IdentityChange): Promise<void> {
    await this.#root.batch(() => {
      void this.#meta.put("format", String(FORMAT));
      if (on) void this.#meta.put("on", "1");
      for (const key of keys) void this.#keys.put(key.id, JSON.stringify(key));
      for (const user of users) void this.#users.put(userKey(user.name), JSON.stringify(user));
      for (const name of removedUsers) void this.#users.remove(userKey(name));
      for (const entry of audit) void this.#audit.put(entry.sequence, JSON.stringify(entry));
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
    return [...this.#audit.getRange({ start: below - 1, reverse: true, limit })].map(({ value }) => JSON.parse(value) as AuditEntry);
  }

  async purgeAudit(beforeMs: number, keepAtMost: number, limit: number): Promise<number> {
    const keepFrom = this.lastAudit() - keepAtMost;
    const dropped: number[] = [];
    for (const { key, value } of this.#audit.getRange({ start: 0, limit })) {
      if (key > keepFrom && (JSON.parse(value) as AuditEntry).atMs >= beforeMs) break;
      dropped.push(key);
    }
    if (dropped.length === 0) return 0;
    await this.#root.batch(() => {
      for (const sequence of dropped) void this.#audit.remove(sequence);
    });
    return dropped.length;
  }

  close(): Promise<void> {
    return this.#root.close();
  }
}

/** Names are up to 128 characters, LMDB's keys up to 1,978 bytes; a name of one byte must not look like a number to it. */
function userKey(name: string): string {
  return `u ${name}`;
}
