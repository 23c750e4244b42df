import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { makeIdentity, MemoryStore, OPERATOR, type MadeIdentity } from "./made-identity.js";

let identity: MadeIdentity;
beforeEach(() => {
  identity = makeIdentity();
});
afterEach(() => identity.stop());

const wish = (more = {}) => ({ user: "ada", roles: ["user" as const], nodeIds: [], label: "", expiresAtMs: 0, ...more });
const userWish = (more = {}) => ({ name: "ada", roles: ["user" as const], team: "", password: null, ...more });

test("the first key or user must be an admin's, and a user who is one needs a password: nobody locks himself out", async () => {
  const { book } = identity;
  expect(await book.createKey(wish(), OPERATOR)).toEqual({ kind: "first_not_admin" });
  expect(await book.putUser(userWish({ roles: ["admin"] }), OPERATOR)).toEqual({ kind: "first_not_admin" });
  expect(await book.putUser(userWish({ password: "a good password" }), OPERATOR)).toEqual({ kind: "first_not_admin" });
  expect([book.on, book.keys(), book.users(), identity.store.entries]).toEqual([false, [], [], []]);
  expect(await book.putUser(userWish({ roles: ["admin"], password: "a good password" }), OPERATOR)).toMatchObject({ kind: "put" });
  expect(book.on).toBe(true);
  expect(await book.createKey(wish(), OPERATOR)).toMatchObject({ kind: "created" });
});

test("a key is written before it is answered, as a hash, with its entry in the audit log", async () => {
  const text = await identity.key({ roles: ["admin"], label: "laptop" });
  const [key] = [...identity.store.keys.values()];
  expect(key).toMatchObject({ user: "ada", label: "laptop", createdBy: "anonymous", lastUsedAtMs: 0, addresses: [] });
  expect(JSON.stringify([identity.store.load(), identity.store.entries])).not.toContain(text.slice(16));
  expect(identity.store.entries).toMatchObject([{ sequence: 1, act: "key_created", subject: text.slice(0, 15), who: "anonymous", outcome: "done" }]);
});

test("a key that cannot be written does not exist", async () => {
  identity.store.trouble = new Error("disk full");
  await expect(identity.book.createKey(wish({ roles: ["admin"] }), OPERATOR)).rejects.toThrow("disk full");
  expect([identity.book.keys(), identity.book.on]).toEqual([[], false]);
});

test("a revocation that cannot be written holds for this process all the same", async () => {
  const text = await identity.key({ roles: ["admin"] });
  identity.store.trouble = new Error("disk full");
  await expect(identity.book.revokeKey(text.slice(3, 15), "", OPERATOR)).rejects.toThrow("disk full");
  expect(identity.book.key(text.slice(3, 15))?.revokedAtMs).toBeGreaterThan(0);
});

test("revoking is once: the time and the one who did it stay", async () => {
  const text = await identity.key({ roles: ["admin"] });
  const first = await identity.book.revokeKey(text.slice(3, 15), "lost", OPERATOR);
  identity.clock.atMs += 5;
  expect(await identity.book.revokeKey(text.slice(3, 15), "again", { ...OPERATOR, address: "x" })).toEqual(first);
  expect(await identity.book.revokeKey("000000000000", "", OPERATOR)).toBeNull();
  expect(identity.acts()).toEqual(["key_created", "key_revoked"]);
});

test("a user who is deleted takes all his keys along", async () => {
  await identity.key({ roles: ["admin"], user: "root" });
  await identity.key({ roles: ["user"] });
  await identity.key({ roles: ["reader"] });
  await identity.book.putUser(userWish({ password: "a good password" }), OPERATOR);
  expect(await identity.book.deleteUser("ada", "left", OPERATOR)).toBe(true);
  expect(identity.book.keys().map(({ user, revokedAtMs }) => [user, revokedAtMs > 0])).toEqual([["root", false], ["ada", true], ["ada", true]]);
  expect(identity.book.users()).toEqual([]);
  expect(identity.store.users.size).toBe(0);
  expect(identity.store.entries.at(-1)?.why).toMatch(/^left; with gr_\w{12}, gr_\w{12}$/);
  expect(await identity.book.deleteUser("ada", "", OPERATOR)).toBe(false);
});

test("who has only keys can be deleted too", async () => {
  await identity.key({ roles: ["admin"], user: "root" });
  await identity.key({ roles: ["user"] });
  expect(await identity.book.deleteUser("ada", "", OPERATOR)).toBe(true);
});

test("a change keeps the password unless it names one", async () => {
  await identity.key({ roles: ["admin"], user: "root" });
  await identity.book.putUser(userWish({ password: "a good password" }), OPERATOR);
  const before = identity.book.user("ada")?.passwordHash;
  await identity.book.putUser(userWish({ team: "blue" }), OPERATOR);
  expect(identity.book.user("ada")).toMatchObject({ passwordHash: before, team: "blue" });
  await identity.book.putUser(userWish({ password: "" }), OPERATOR);
  expect(identity.book.user("ada")?.passwordHash).toBe("");
  expect(identity.store.entries.slice(1).map(({ act, why }) => [act, why])).toEqual([
    ["user_created", "user, new password"],
    ["user_changed", "user, team blue"],
    ["user_changed", "user, no password"],
  ]);
});

test("every change that may take something away is told, and making a key is none", async () => {
  let told = 0;
  identity.book.onTakenAway(() => (told += 1));
  const text = await identity.key({ roles: ["admin"] });
  // From nobody must say who he is to everybody must.
  expect(told).toBe(1);
  const { version } = identity.book;
  await identity.key({ roles: ["user"] });
  expect([told, identity.book.version]).toEqual([1, version]);
  await identity.book.revokeKey(text.slice(3, 15), "", OPERATOR);
  await identity.book.putUser(userWish(), OPERATOR);
  await identity.book.deleteUser("ada", "", OPERATOR);
  expect([told, identity.book.version]).toEqual([4, version + 3]);
});

test("use is written within a minute and at the end, new addresses are noted once, and only the last 32 stay", async () => {
  const text = await identity.key({ roles: ["admin"] });
  const id = text.slice(3, 15);
  for (let host = 1; host <= 40; host += 1) identity.book.used(id, `192.0.2.${host}`, 1_000 + host);
  identity.book.used(id, "192.0.2.40", 2_000);
  expect(identity.store.keys.get(id)?.lastUsedAtMs).toBe(0);
  await identity.book.writeUses();
  const stored = identity.store.keys.get(id);
  expect(stored).toMatchObject({ lastUsedAtMs: 2_000 });
  expect(stored?.addresses).toHaveLength(32);
  expect(stored?.addresses.at(-1)).toBe("192.0.2.40");
  expect(identity.acts().filter((act) => act === "key_new_address")).toHaveLength(40);
});

test("a use does not bring a revoked key back", async () => {
  const store = new MemoryStore();
  const first = makeIdentity({}, store);
  const id = (await first.key({ roles: ["admin"] })).slice(3, 15);
  first.book.used(id, "192.0.2.1", 1);
  await first.book.revokeKey(id, "", OPERATOR);
  first.book.used(id, "192.0.2.2", 2);
  await first.stop();
  expect(store.keys.get(id)?.revokedAtMs).toBeGreaterThan(0);
});
