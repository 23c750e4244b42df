import { statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import type { AuditEntry, KeyRecord, UserRecord } from "../../../src/auth/identity-store.js";
import { LmdbIdentityStore } from "../../../src/journal/lmdb-identity-store.js";
import { temporaryFolder } from "./temporary-folder.js";

const key = (id: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
  id,
  label: "",
  user: "ada",
  roles: ["user"],
  nodeIds: [],
  digest: "d",
  createdAtMs: 1,
  createdBy: "root",
  expiresAtMs: 0,
  revokedAtMs: 0,
  revokedBy: "",
  lastUsedAtMs: 0,
  addresses: [],
  ...more,
});
const user = (name: string): UserRecord => ({ name, roles: ["user"], team: "", passwordHash: "", createdAtMs: 1, changedAtMs: 1 });
const entry = (sequence: number, atMs = sequence): AuditEntry => ({ sequence, atMs, who: "root", credential: "", act: "a", subject: "", why: "", outcome: "done", address: "" });

async function withStore<T>(directory: string, use: (store: LmdbIdentityStore) => T | Promise<T>): Promise<T> {
  const store = new LmdbIdentityStore(directory);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

test("what was written is there after a restart: keys, users, that there is an identity; and what was removed is not", async () => {
  const directory = await temporaryFolder();
  await withStore(directory, async (store) => {
    expect(store.load()).toEqual({ keys: [], users: [], on: false });
    // Names that a database might take for numbers or separators, and the longest that there is.
    await store.write({ keys: [key("one"), key("two")], users: [user("1"), user("ü".repeat(128)), user("gone")], on: true });
    await store.write({ keys: [key("one", { revokedAtMs: 9 })], removedUsers: ["gone"] });
  });
  await withStore(directory, (store) => expect(store.load()).toEqual({ keys: [key("one", { revokedAtMs: 9 }), key("two")], users: [user("1"), user("ü".repeat(128))], on: true }));
});

test("the audit log is read newest first, in pages, and its numbers are never given twice", async () => {
  const directory = await temporaryFolder();
  await withStore(directory, async (store) => {
    expect(store.lastAudit()).toBe(0);
    for (let sequence = 1; sequence <= 25; sequence += 1) await store.write({ audit: [entry(sequence)] });
    const read = (below: number, limit: number): number[] => store.audit(below, limit).map(({ sequence }) => sequence);
    expect(read(Number.MAX_SAFE_INTEGER, 3)).toEqual([25, 24, 23]);
    expect(read(23, 2)).toEqual([22, 21]);
    expect(read(2, 10)).toEqual([1]);
    expect(read(1, 10)).toEqual([]);
    // By age, by count, and no more than asked at once.
    expect(await store.purgeAudit(5, 100, 2)).toBe(2);
    expect(await store.purgeAudit(5, 100, 100)).toBe(2);
    expect(await store.purgeAudit(0, 10, 100)).toBe(11);
    expect(read(Number.MAX_SAFE_INTEGER, 100)).toEqual([25, 24, 23, 22, 21, 20, 19, 18, 17, 16]);
    expect(await store.purgeAudit(1_000, 0, 100)).toBe(10);
  });
  await withStore(directory, (store) => expect([store.lastAudit(), store.audit(1_000, 10)]).toEqual([25, []]));
});

test("nobody else on the machine may read the file", async () => {
  const directory = await temporaryFolder();
  await withStore(directory, () => {});
  expect(statSync(path.join(directory, "identity.mdb")).mode & 0o077).toBe(0);
});

test("a file that is something else is refused, not guessed at", async () => {
  const directory = await temporaryFolder();
  writeFileSync(path.join(directory, "identity.mdb"), "x".repeat(5_000));
  expect(() => new LmdbIdentityStore(directory)).toThrow(/identity\.mdb cannot be opened/);
});
