import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Grant } from "../../../src/auth/authenticator.js";
import { LOCAL_ADMIN } from "../../../src/auth/principal.js";
import { makeKey } from "../../../src/auth/api-key.js";
import { basic, makeIdentity, MemoryStore, OPERATOR, presenting, verdictOn, type MadeIdentity } from "./made-identity.js";

const PASSWORD = "correct horse battery";
let identity: MadeIdentity;
beforeEach(() => {
  identity = makeIdentity();
});
afterEach(() => identity.stop());

const granted = (name: string, via: string) => expect.objectContaining({ kind: "granted", principal: expect.objectContaining({ name, via }) });
const refused = (why: RegExp) => expect.objectContaining({ kind: "unauthenticated", why: expect.stringMatching(why) });

describe("without any identity", () => {
  test("everybody is the local admin, whatever he presents", async () => {
    expect(await verdictOn(identity, null)).toMatchObject({ kind: "granted", principal: LOCAL_ADMIN });
    expect(await verdictOn(identity, "nonsense")).toMatchObject({ kind: "granted", principal: LOCAL_ADMIN });
  });

  test("what began before the first key must not go on after it", async () => {
    const before = await verdictOn(identity, null);
    await identity.key({ roles: ["admin"] });
    expect(before).toMatchObject({ kind: "granted" });
    expect(before.kind === "granted" && before.isGood()).toBe(false);
    expect(await verdictOn(identity, null)).toEqual(refused(/wants to know who calls/));
  });

  test("required in the configuration, nobody gets in until there is a key", async () => {
    const strict = makeIdentity({ required: true });
    expect(await verdictOn(strict, null)).toEqual(refused(/wants to know who calls/));
    await strict.stop();
  });
});

describe("keys", () => {
  test("say who calls, with roles, team and nodes", async () => {
    const admin = await identity.key({ roles: ["admin"], user: "root" });
    await identity.book.putUser({ name: "ada", roles: ["user"], team: "blue", password: null }, OPERATOR);
    const text = await identity.key({ roles: ["user", "reader"] });
    expect(await verdictOn(identity, `Bearer ${admin}`)).toEqual(granted("root", "key"));
    expect(await verdictOn(identity, `bearer  ${text}`)).toMatchObject({ principal: { name: "ada", roles: ["user", "reader"], team: "blue" } });
  });

  test("a key that was seen is answered without a look at the book, and the same object", async () => {
    const text = await identity.key({ roles: ["admin"] });
    const first = identity.authenticator.authenticate(presenting(`Bearer ${text}`));
    expect(identity.authenticator.authenticate(presenting(`Bearer ${text}`))).toBe(first);
  });

  test("revoked, they are refused at once, remembered or not, and what they opened is not good any more", async () => {
    const text = await identity.key({ roles: ["admin"] });
    const open = await verdictOn(identity, `Bearer ${text}`);
    const id = text.slice(3, 15);
    await identity.book.revokeKey(id, "lost", OPERATOR);
    expect(await verdictOn(identity, `Bearer ${text}`)).toEqual(refused(/^the key gr_\w{12} was revoked$/));
    expect(open.kind === "granted" && open.isGood()).toBe(false);
  });

  test("expired, they are refused to the millisecond", async () => {
    await identity.key({ roles: ["admin"] });
    const text = await identity.key({ roles: ["user"], expiresAtMs: identity.clock.atMs + 1_000 });
    const open = await verdictOn(identity, `Bearer ${text}`);
    identity.clock.atMs += 999;
    expect(await verdictOn(identity, `Bearer ${text}`)).toEqual(granted("ada", "key"));
    identity.clock.atMs += 1;
    expect(await verdictOn(identity, `Bearer ${text}`)).toEqual(refused(/expired at 20/));
    expect(open.kind === "granted" && open.isGood()).toBe(false);
  });

  test("a wrong secret of a known key and a key that nobody has get the same words", async () => {
    const text = await identity.key({ roles: ["admin"] });
    const forged = text.slice(0, 16) + makeKey().text.slice(16);
    const words = await Promise.all([forged, makeKey().text, "gr_short"].map((key) => verdictOn(identity, `Bearer ${key}`)));
    expect(new Set(words.map((verdict) => JSON.stringify(verdict))).size).toBe(1);
    expect(words[0]).toEqual(refused(/not one of this router/));
  });

  test("of this process alone work without being stored", async () => {
    await identity.key({ roles: ["admin"] });
    const text = identity.authenticator.ownKey({ ...LOCAL_ADMIN, name: "node-1" as never, roles: ["agent"], nodeIds: ["node-1"] });
    expect(await verdictOn(identity, `Bearer ${text}`)).toMatchObject({ principal: { name: "node-1", roles: ["agent"] } });
    expect(identity.store.keys.size).toBe(1);
  });
});

describe("passwords", () => {
  beforeEach(async () => {
    await identity.book.putUser({ name: "root", roles: ["admin"], team: "", password: PASSWORD }, OPERATOR);
  });

  test("say who calls, and are remembered", async () => {
    expect(await verdictOn(identity, basic("root", PASSWORD))).toEqual(granted("root", "password"));
    // Remembered: the answer is there at once.
    expect(identity.authenticator.authenticate(presenting(basic("root", PASSWORD)))).not.toBeInstanceOf(Promise);
  });

  test("a wrong one, a user without one and a user that nobody knows get the same words", async () => {
    await identity.book.putUser({ name: "keyed", roles: ["user"], team: "", password: null }, OPERATOR);
    const verdicts = await Promise.all([basic("root", "wrong"), basic("keyed", ""), basic("nobody", PASSWORD)].map((header) => verdictOn(identity, header)));
    expect(new Set(verdicts.map((verdict) => JSON.stringify(verdict))).size).toBe(1);
    expect(verdicts[0]).toEqual(refused(/do not belong together/));
  });

  test("a new password ends the old one at once, and what it opened", async () => {
    const open = await verdictOn(identity, basic("root", PASSWORD));
    await identity.book.putUser({ name: "root", roles: ["admin"], team: "", password: "another good one" }, OPERATOR);
    expect(await verdictOn(identity, basic("root", PASSWORD))).toEqual(refused(/do not belong together/));
    expect(await verdictOn(identity, basic("root", "another good one"))).toEqual(granted("root", "password"));
    expect(open.kind === "granted" && open.isGood()).toBe(false);
  });

  test("fewer roles hold from the next call on", async () => {
    await verdictOn(identity, basic("root", PASSWORD));
    await identity.book.putUser({ name: "root", roles: ["reader"], team: "", password: null }, OPERATOR);
    expect(await verdictOn(identity, basic("root", PASSWORD))).toMatchObject({ principal: { roles: ["reader"] } });
  });

  test("a thousand calls at once with the same password are one computation", async () => {
    const calls = Array.from({ length: 1_000 }, () => identity.authenticator.authenticate(presenting(basic("root", PASSWORD))));
    expect(new Set(calls).size).toBe(1);
    expect(await calls[0]).toEqual(granted("root", "password"));
  });
});

describe("guessing", () => {
  test("is slowed down after ten failures, and the right key behind the same address still gets in", async () => {
    const text = await identity.key({ roles: ["admin"] });
    for (let guess = 0; guess < 10; guess += 1) expect((await verdictOn(identity, `Bearer ${makeKey().text}`)).kind).toBe("unauthenticated");
    expect(await verdictOn(identity, `Bearer ${makeKey().text}`)).toEqual({ kind: "too_many_attempts", retryAfterMs: 3_000 });
    expect(await verdictOn(identity, `Bearer ${text}`)).toEqual(granted("ada", "key"));
    // Who guesses at one key is kept from that key, and others are not.
    expect((await verdictOn(identity, `Bearer ${makeKey().text}`, { address: "192.0.2.2" })).kind).toBe("unauthenticated");
  });

  test("at one key shuts out that key behind that address only, and only who is not remembered", async () => {
    const mine = await identity.key({ roles: ["admin"], user: "root" });
    const target = await identity.key({ roles: ["user"] });
    await verdictOn(identity, `Bearer ${target}`, { address: "192.0.2.9" });
    for (let guess = 0; guess < 10; guess += 1) await verdictOn(identity, `Bearer ${target.slice(0, 16)}${makeKey().text.slice(16)}`);
    expect((await verdictOn(identity, `Bearer ${target.slice(0, 16)}${makeKey().text.slice(16)}`)).kind).toBe("too_many_attempts");
    expect(await verdictOn(identity, `Bearer ${mine}`)).toEqual(granted("root", "key"));
    expect(await verdictOn(identity, `Bearer ${target}`)).toEqual(granted("ada", "key"));
  });

  test("passwords of names that nobody has costs no computation once it is slowed down", async () => {
    await identity.key({ roles: ["admin"] });
    for (let guess = 0; guess < 10; guess += 1) await verdictOn(identity, basic(`name-${guess}`, PASSWORD));
    expect((await verdictOn(identity, basic("name-11", PASSWORD))).kind).toBe("too_many_attempts");
  });

  test("leaves traces that name no secret, and cannot fill the disk", async () => {
    const text = await identity.key({ roles: ["admin"] });
    const guess = `${text.slice(0, 16)}${makeKey().text.slice(16)}`;
    for (let count = 0; count < 5_000; count += 1) await verdictOn(identity, `Bearer ${guess}`);
    await verdictOn(identity, basic("hunter2hunter2", PASSWORD));
    expect(identity.store.entries.length).toBeLessThan(120);
    identity.clock.atMs += 10_000;
    await verdictOn(identity, "nonsense");
    const { entries } = identity.store;
    expect(entries.find(({ act }) => act === "suppressed")?.subject).toMatch(/^49\d\d entries$/);
    expect(JSON.stringify(entries)).not.toContain(guess.slice(16));
    expect(JSON.stringify(entries)).not.toContain("hunter2");
    expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => index + 1));
  });

  test("leaves traces from now on though the clock was set back", async () => {
    await identity.key({ roles: ["admin"] });
    for (let count = 0; count < 200; count += 1) await verdictOn(identity, "nonsense");
    identity.clock.atMs -= 86_400_000;
    await verdictOn(identity, "nonsense");
    const before = identity.store.entries.length;
    identity.clock.atMs += 2_000;
    await verdictOn(identity, "nonsense");
    expect(identity.store.entries.length).toBeGreaterThan(before);
  });
});

describe("headers that are none", () => {
  test.each([
    ["", /neither `Bearer KEY` nor/],
    ["Bearer", /neither `Bearer KEY` nor/],
    ["Bearer a b", /neither `Bearer KEY` nor/],
    ["Bearer gr_a, Basic YTpi", /neither `Bearer KEY` nor/],
    ["Basic YTpi\r\nx: y", /neither `Bearer KEY` nor/],
    ["Digest abc", /neither `Bearer KEY` nor/],
    ["Bearer justaword", /neither a key of this router nor a JWT/],
    ["Basic !!!!", /neither `Bearer KEY` nor/],
    ["Basic YQ", /not base64 of NAME:PASSWORD/],
    ["Basic YWI=", /not base64 of NAME:PASSWORD/],
    ["Basic OnBhc3M=", /not base64 of NAME:PASSWORD/],
    [`Basic ${Buffer.from([0x61, 0x3a, 0xff, 0xfe]).toString("base64")}`, /not base64 of NAME:PASSWORD/],
    [`Basic ${Buffer.from("a\u0000b:password").toString("base64")}`, /cannot be one of a user/],
    [`Bearer ${"x".repeat(9_000)}`, /longer than 8192/],
  ])("%#: %.40j", async (header, why) => {
    await identity.key({ roles: ["admin"] });
    expect(await verdictOn(identity, header)).toEqual(refused(why));
  });

  test("two of them are none, even with a right key", async () => {
    const text = await identity.key({ roles: ["admin"] });
    expect(await verdictOn(identity, `Bearer ${text}`, { doubled: true })).toEqual(refused(/more than one/));
  });
});

describe("certificates", () => {
  const certificates = { "DNS:*.gpu.example": { user: "", roles: ["agent" as const], team: "", nodeIds: [] } };

  test("say who calls where the table knows their names, and turn identity on by themselves", async () => {
    const mtls = makeIdentity({ certificates });
    expect(await verdictOn(mtls, null)).toEqual(refused(/wants to know who calls/));
    const names = { commonName: "x", subjectAltName: "DNS:n1.gpu.example", validUntilMs: Number.POSITIVE_INFINITY };
    expect(await verdictOn(mtls, null, { certificate: () => names })).toMatchObject({ principal: { name: "n1.gpu.example", roles: ["agent"], nodeIds: ["n1.gpu.example"], via: "certificate" } });
    expect(await verdictOn(mtls, null, { certificate: () => ({ ...names, commonName: "stranger", subjectAltName: "" }) })).toEqual(refused(/has nobody with its names/));
    await mtls.stop();
  });

  test("of a connection that outlives them are refused to the millisecond, and what they opened is not good any more", async () => {
    const mtls = makeIdentity({ certificates });
    const validUntilMs = mtls.clock.atMs + 1_000;
    const names = { commonName: "", subjectAltName: "DNS:n1.gpu.example", validUntilMs };
    const grant = (await verdictOn(mtls, null, { certificate: () => names })) as Grant;
    mtls.clock.atMs = validUntilMs - 1;
    expect([grant.isGood(), (await verdictOn(mtls, null, { certificate: () => names })).kind]).toEqual([true, "granted"]);
    mtls.clock.atMs = validUntilMs;
    expect(grant.isGood()).toBe(false);
    expect(await verdictOn(mtls, null, { certificate: () => names })).toEqual(refused(/^the certificate of this connection expired at \S+Z: connect anew with another one$/));
    await mtls.stop();
  });

  test("a header goes before the certificate, and a wrong one is not forgiven for it", async () => {
    const mtls = makeIdentity({ certificates });
    const names = { commonName: "", subjectAltName: "DNS:n1.gpu.example", validUntilMs: Number.POSITIVE_INFINITY };
    const text = await mtls.key({ roles: ["admin"] });
    expect(await verdictOn(mtls, `Bearer ${text}`, { certificate: () => names })).toEqual(granted("ada", "key"));
    expect(await verdictOn(mtls, `Bearer ${makeKey().text}`, { certificate: () => names })).toEqual(refused(/not one of this router/));
    await mtls.stop();
  });
});

describe("what is remembered", () => {
  test("is bounded: after ten thousand other headers the first one is found out again", async () => {
    const [first, ...others] = await Promise.all([identity.key({ roles: ["admin"] }), identity.key({ roles: ["admin"] }), identity.key({ roles: ["admin"] })]);
    const before = identity.authenticator.authenticate(presenting(`Bearer ${first}`));
    // The same key behind more and more spaces is another header each time.
    for (let spaces = 1; spaces <= 5_000; spaces += 1) for (const text of others) identity.authenticator.authenticate(presenting(`Bearer${" ".repeat(spaces)}${text}`));
    const after = identity.authenticator.authenticate(presenting(`Bearer ${first}`));
    expect(after).not.toBe(before);
    expect(after).toEqual(granted("ada", "key"));
  });

  test("a restart knows the same keys, and that there is an identity though all are revoked", async () => {
    const store = new MemoryStore();
    const first = makeIdentity({}, store);
    const text = await first.key({ roles: ["admin"] });
    await first.stop();
    const second = makeIdentity({}, store);
    expect(await verdictOn(second, `Bearer ${text}`)).toEqual(granted("ada", "key"));
    await second.book.revokeKey(text.slice(3, 15), "", OPERATOR);
    await second.stop();
    const third = makeIdentity({}, store);
    expect(await verdictOn(third, null)).toEqual(refused(/wants to know who calls/));
    expect(third.acts()).toEqual(["key_created", "key_new_address", "key_revoked", "sign_in"]);
    await third.stop();
  });
});
