// Journal and identity store under a key: the same as without one, and no word of it on the disk.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { open } from "lmdb";
import type { EndedRequest } from "../../../src/core/events.js";
import type { UserId } from "../../../src/core/model/ids.js";
import { LmdbIdentityStore } from "../../../src/journal/lmdb-identity-store.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { rekey } from "../../../src/journal/rekey.js";
import { vaultKey, type VaultKey } from "../../../src/journal/vault-key.js";
import { eventOf } from "../callbacks/events.js";
import { recoverEngine, specOf, Story } from "./story.js";
import { temporaryFolder } from "./temporary-folder.js";

const KEY = vaultKey(Buffer.alloc(32, 7), "data.key");
const OTHER = vaultKey(Buffer.alloc(32, 8), "other.key");
const MARK = "marked-0815";

/** The files below `folder` in which the mark can be read, in any of the ways in which text is stored. */
function readableIn(folder: string): string[] {
  const forms = [Buffer.from(MARK), Buffer.from(MARK, "utf16le"), Buffer.from(Buffer.from(MARK).toString("hex"))];
  return readdirSync(folder).filter((name) => forms.some((form) => readFileSync(path.join(folder, name)).includes(form))).sort();
}

async function withJournal<T>(folder: string, key: VaultKey | null, use: (journal: LmdbJournal) => T | Promise<T>): Promise<T> {
  const journal = await LmdbJournal.open(folder, key);
  try {
    return await use(journal);
  } finally {
    await journal.close();
  }
}

async function withStore<T>(folder: string, key: VaultKey | null, use: (store: LmdbIdentityStore) => T | Promise<T>): Promise<T> {
  const store = new LmdbIdentityStore(folder, key);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** A life with the mark in every place that takes text or bytes of a caller. Returns what must be there afterwards. */
async function live(folder: string, key: VaultKey | null): Promise<{ readonly digest: number; readonly ended: readonly EndedRequest[] }> {
  const story = new Story(5);
  const ended: EndedRequest[] = [];
  await withJournal(folder, key, async (journal) => {
    journal.recover();
    for (let index = 0; index < 60; index += 1) {
      const spec = { payload: Buffer.from(`${MARK} payload`), userId: `${MARK}-user` as UserId, callbackUrl: `https://${MARK}.example/` };
      story.step({ kind: "submit", spec: specOf(`${MARK}-${index}`, spec) });
      const { batch } = story.chapter(index % 25 === 24);
      // Every other result lies beside its request.
      const withResults = batch.ended.map(({ request }, at) => ({ request, result: Buffer.from(`${MARK} result`.padEnd(at % 2 === 0 ? 9_000 : 90)) }));
      ended.push(...withResults);
      const callbacks = [journal.outbox.stamp(eventOf(`${MARK}-${index}`, 1, `https://${MARK}.example/`))];
      await journal.append({ ...batch, ended: withResults, callbacks });
    }
    const [first] = journal.outbox.pending();
    await journal.outbox.settle([], [{ ...first!, givenUpAtMs: 1, tries: 1, error: `no ${MARK}` }], 10);
  });
  await withStore(folder, key, (store) =>
    store.write({
      keys: [{ id: `gr_${MARK}`, label: MARK, user: MARK, roles: ["user"], nodeIds: [], digest: "d", createdAtMs: 1, createdBy: MARK, expiresAtMs: 0, revokedAtMs: 0, revokedBy: "", lastUsedAtMs: 0, addresses: [] }],
      users: [{ name: MARK, roles: ["user"], team: MARK, passwordHash: "", createdAtMs: 1, changedAtMs: 1 }],
      audit: [{ sequence: 1, atMs: 1, who: MARK, credential: "", act: "a", subject: MARK, why: MARK, outcome: "done", address: "" }],
      on: true,
    }),
  );
  return { digest: story.engine.state.digest(), ended };
}

async function expectAllThere(folder: string, key: VaultKey | null, { digest, ended }: Awaited<ReturnType<typeof live>>): Promise<void> {
  await withJournal(folder, key, (journal) => {
    expect(recoverEngine(journal).state.digest()).toBe(digest);
    for (const { request, result } of ended) {
      expect(journal.finished(request.spec.requestId)?.phase).toBe(request.phase);
      expect(Buffer.from(journal.result(request.spec.requestId)!).equals(result)).toBe(true);
    }
    expect(journal.listFinished(0, 1_000).requests.map(({ spec }) => spec.requestId)).toEqual(ended.map(({ request }) => request.spec.requestId).toReversed());
    expect([...journal.outbox.pending()]).toHaveLength(59);
    expect(journal.outbox.deadLetters(0, 10)).toMatchObject([{ order: 1, error: `no ${MARK}` }]);
  });
  await withStore(folder, key, (store) => {
    expect(store.load()).toMatchObject({ keys: [{ id: `gr_${MARK}` }], users: [{ name: MARK }], on: true });
    expect(store.audit(100, 10)).toMatchObject([{ sequence: 1, who: MARK }]);
    expect(store.lastAudit()).toBe(1);
  });
}

describe("a data directory under a key", () => {
  test("holds all that one without a key holds, and nothing of it can be read in any file; without the key all of it can", async () => {
    const [plain, encrypted] = [await temporaryFolder(), await temporaryFolder()];
    await expectAllThere(plain, null, await live(plain, null));
    await expectAllThere(encrypted, KEY, await live(encrypted, KEY));
    expect(readableIn(plain)).toEqual(["identity.mdb", "journal.mdb"]);
    expect(readableIn(encrypted)).toEqual([]);
  });

  test("forgets as it should: nothing is left in any table under a name that only the key knows", async () => {
    const folder = await temporaryFolder();
    const { ended } = await live(folder, KEY);
    await withJournal(folder, KEY, async (journal) => {
      expect(await journal.purge(Number.MAX_SAFE_INTEGER, 0, 10_000)).toBe(ended.length);
    });
    await withStore(folder, KEY, (store) => store.write({ removedUsers: [MARK] }));
    for (const [file, names] of [["journal.mdb", ["finished", "finished_order", "results"]], ["identity.mdb", ["users"]]] as const) {
      const root = open({ path: path.join(folder, file), encoding: "binary", maxDbs: 8 });
      for (const name of names) expect([name, [...root.openDB({ name, encoding: "binary" }).getKeys()]]).toEqual([name, []]);
      await root.close();
    }
  });

  test("is opened by its key alone, and then by nothing that opens it wrongly before", async () => {
    const folder = await temporaryFolder();
    const lived = await live(folder, KEY);
    await expect(LmdbJournal.open(folder)).rejects.toThrow(`is encrypted, with key ${KEY.id}: name the file`);
    await expect(LmdbJournal.open(folder, OTHER)).rejects.toThrow(`is encrypted with key ${KEY.id}, and other.key holds key ${OTHER.id}`);
    expect(() => new LmdbIdentityStore(folder)).toThrow(`is encrypted, with key ${KEY.id}: name the file`);
    expect(() => new LmdbIdentityStore(folder, OTHER)).toThrow(/identity\.mdb is encrypted with key/);
    await expectAllThere(folder, KEY, lived);
    const plain = await temporaryFolder();
    await live(plain, null);
    await expect(LmdbJournal.open(plain, KEY)).rejects.toThrow("is not encrypted, and journal.encryption_key_file asks for that");
    expect(() => new LmdbIdentityStore(plain, KEY)).toThrow("is not encrypted");
  });

  test("notices a value that somebody put in the place of another", async () => {
    const folder = await temporaryFolder();
    const { ended } = await live(folder, KEY);
    const root = open({ path: path.join(folder, "journal.mdb"), encoding: "binary", maxDbs: 8 });
    const finished = root.openDB<Buffer, string>({ name: "finished", encoding: "binary" });
    const [one, two] = [...finished.getKeys()];
    await finished.put(one!, Buffer.from(finished.get(two!)!));
    await root.flushed;
    await root.close();
    await withJournal(folder, KEY, (journal) => {
      expect(() => ended.map(({ request }) => journal.finished(request.spec.requestId))).toThrow(/was changed, or was sealed with another key/);
    });
  });
});

describe("a copy under another key", () => {
  test("holds everything, from plain to a key, to another, and back; what it was made of stays as it was", async () => {
    const parent = await temporaryFolder();
    const at = (name: string): string => path.join(parent, name);
    const lived = await live(at("plain"), null);
    writeFileSync(path.join(at("plain"), "callback-secrets"), "whsec_x\n", { mode: 0o600 });
    await rekey({ directory: at("plain"), key: null }, { directory: at("one"), key: KEY });
    await rekey({ directory: at("one"), key: KEY }, { directory: at("two"), key: OTHER });
    await rekey({ directory: at("two"), key: OTHER }, { directory: at("back"), key: null });
    expect([readableIn(at("one")), readableIn(at("two"))]).toEqual([[], []]);
    expect(readFileSync(path.join(at("back"), "callback-secrets"), "utf8")).toBe("whsec_x\n");
    for (const [name, key] of [["plain", null], ["one", KEY], ["two", OTHER], ["back", null]] as const) await expectAllThere(at(name), key, lived);
    expect(readdirSync(parent).sort()).toEqual(["back", "one", "plain", "two"]);
  });

  test("is refused where something lies already, where there is no journal, in use, or with a wrong key; and leaves no half copy that passes for one", async () => {
    const parent = await temporaryFolder();
    const [data, copy] = [path.join(parent, "data"), path.join(parent, "copy")];
    await expect(rekey({ directory: data, key: null }, { directory: copy, key: KEY })).rejects.toThrow(`There is no journal in ${data}`);
    await live(data, KEY);
    await expect(rekey({ directory: data, key: KEY }, { directory: parent, key: null })).rejects.toThrow(`${parent} is there already`);
    await expect(rekey({ directory: data, key: OTHER }, { directory: copy, key: null })).rejects.toThrow(/is encrypted with key/);
    await withJournal(data, KEY, () => expect(rekey({ directory: data, key: KEY }, { directory: copy, key: null })).rejects.toThrow(/in use by another gpu-router process/));
    // Damage in the middle of the copying.
    const root = open({ path: path.join(data, "journal.mdb"), encoding: "binary", maxDbs: 8 });
    const outbox = root.openDB<Buffer, number>({ name: "outbox", encoding: "binary" });
    await outbox.put(30, randomBytes(100));
    await root.close();
    await expect(rekey({ directory: data, key: KEY }, { directory: copy, key: null })).rejects.toThrow("What is stored as outbox 30 was changed");
    expect(readdirSync(parent)).not.toContain("copy");
  });
});
