// The small parts of auth/: keys, passwords, names, the throttle, certificates.
import { describe, expect, test } from "@jest/globals";
import { isKey, keyDigest, keyIdOf, makeKey } from "../../../src/auth/api-key.js";
import { AttemptThrottle } from "../../../src/auth/attempt-throttle.js";
import { principalOfCertificate, type CertificateRule } from "../../../src/auth/certificate-rules.js";
import { isName } from "../../../src/auth/names.js";
import { hashPassword, isPassword, nobodysHash } from "../../../src/auth/password.js";
import { PasswordCheck } from "../../../src/auth/password-check.js";
import { LOCAL_ADMIN, speaksFor } from "../../../src/auth/principal.js";
import { TEST_COST } from "./made-identity.js";

describe("keys", () => {
  test("have 256 bits behind an id, all different, and only their hash opens", () => {
    const keys = Array.from({ length: 1_000 }, makeKey);
    expect(new Set(keys.map(({ text }) => text)).size).toBe(1_000);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(1_000);
    for (const { id, text, digest } of keys) {
      expect(text).toMatch(/^gr_[0-9a-z]{12}_[\w-]{43}$/);
      expect(keyIdOf(text)).toBe(id);
      expect(digest).toBe(keyDigest(text));
    }
    const [one, other] = keys as [ReturnType<typeof makeKey>, ReturnType<typeof makeKey>];
    expect(isKey(one.text, one.digest)).toBe(true);
    expect(isKey(one.text, other.digest)).toBe(false);
    expect(isKey(one.text, null)).toBe(false);
    expect(isKey("nobody", null)).toBe(false);
  });

  test.each(["", "gr_", "gr_abc_def", `gr_${"a".repeat(12)}_${"b".repeat(42)}`, `gr_${"A".repeat(12)}_${"b".repeat(43)}`, `xx_${"a".repeat(12)}_${"b".repeat(43)}`])("%j has not the form of one", (text) => {
    expect(keyIdOf(text)).toBeNull();
  });
});

describe("passwords", () => {
  test("fit their own hash only, with a salt of its own each", async () => {
    const [one, two] = await Promise.all([hashPassword("correct horse", TEST_COST), hashPassword("correct horse", TEST_COST)]);
    expect(one).toMatch(/^scrypt\$4\$8\$1\$/);
    expect(one).not.toBe(two);
    expect(await isPassword("correct horse", one)).toBe(true);
    expect(await isPassword("correct  horse", one)).toBe(false);
    expect(await isPassword("correct horse", nobodysHash(TEST_COST))).toBe(false);
  });

  test("typed with composed and with combining letters are the same", async () => {
    expect(await isPassword("caf\u00e9 au lait", await hashPassword("cafe\u0301 au lait", TEST_COST))).toBe(true);
  });

  test("are hashed with memory by default: 32 MiB", async () => {
    expect(nobodysHash()).toMatch(/^scrypt\$15\$8\$3\$/);
    const stored = await hashPassword("correct horse");
    expect(await isPassword("correct horse", stored)).toBe(true);
  });

  test("are checked two at a time, and beyond a bound not at all", async () => {
    const check = new PasswordCheck(() => 0, TEST_COST);
    const verdicts = Array.from({ length: 300 }, (_, index) => check.check(undefined, "ada", `guess ${index}`));
    const settled = await Promise.all(verdicts);
    expect(settled.filter((verdict) => verdict === "busy")).toHaveLength(44);
    expect(settled.filter((verdict) => verdict === "wrong")).toHaveLength(256);
    expect(await check.check(undefined, "ada", "guess 299")).toBe("wrong");
  });

  test("that were right are right for five minutes without another hash, and then looked at again", async () => {
    let nowMs = 0;
    const check = new PasswordCheck(() => nowMs, TEST_COST);
    const user = { name: "ada", roles: ["user" as const], team: "", passwordHash: await hashPassword("correct horse", TEST_COST), createdAtMs: 0, changedAtMs: 0 };
    expect(await check.check(user, "ada", "correct horse")).toBe("right");
    nowMs = 299_999;
    expect(check.check(user, "ada", "correct horse")).toBe("right");
    nowMs = 300_000;
    expect(check.check(user, "ada", "correct horse")).toBeInstanceOf(Promise);
    // Not of anybody else, and not with another hash behind the name.
    expect(await check.check({ ...user, passwordHash: nobodysHash(TEST_COST) }, "ada", "correct horse")).toBe("wrong");
  });

  test("of more than a KiB are wrong unread", () => {
    expect(new PasswordCheck(() => 0, TEST_COST).check(undefined, "ada", "x".repeat(1_025))).toBe("wrong");
  });
});

describe("the throttle", () => {
  test("lets ten failures pass, then makes one wait as long as it takes to forget one", () => {
    let nowMs = 0;
    const throttle = new AttemptThrottle(() => nowMs);
    for (let count = 0; count < 9; count += 1) throttle.failed("10.0.0.1", "");
    expect(throttle.waitMs("10.0.0.1", "")).toBe(0);
    throttle.failed("10.0.0.1", "");
    expect(throttle.waitMs("10.0.0.1", "")).toBe(3_000);
    expect(throttle.waitMs("10.0.0.1", "gr_a")).toBe(0);
    expect(throttle.waitMs("10.0.0.2", "")).toBe(0);
    nowMs = 2_999;
    expect(throttle.waitMs("10.0.0.1", "")).toBeGreaterThan(0);
    nowMs = 3_001;
    expect(throttle.waitMs("10.0.0.1", "")).toBe(0);
  });

  test("makes nobody wait until a clock that was set back is where it was", () => {
    let nowMs = 86_400_000;
    const throttle = new AttemptThrottle(() => nowMs);
    for (let count = 0; count < 10; count += 1) throttle.failed("10.0.0.1", "");
    nowMs = 1_000;
    expect(throttle.waitMs("10.0.0.1", "")).toBe(3_000);
    nowMs += 3_001;
    expect(throttle.waitMs("10.0.0.1", "")).toBe(0);
  });

  test("counts all addresses of an IPv6 network and of a mapped IPv4 address as one", () => {
    const throttle = new AttemptThrottle(() => 0);
    for (let count = 0; count < 10; count += 1) throttle.failed(`2001:db8:1:2::${count}`, "");
    expect(throttle.waitMs("2001:0db8:0001:0002:ffff:1:2:3", "")).toBeGreaterThan(0);
    expect(throttle.waitMs("2001:db8:1:3::1", "")).toBe(0);
    for (let count = 0; count < 10; count += 1) throttle.failed(count % 2 ? "::ffff:10.9.9.9" : "10.9.9.9", "");
    expect(throttle.waitMs("10.9.9.9", "")).toBeGreaterThan(0);
  });

  test("remembers ten thousand sources at most, the quiet ones go first", () => {
    const throttle = new AttemptThrottle(() => 0);
    for (let count = 0; count < 10; count += 1) throttle.failed("10.0.0.1", "");
    for (let count = 0; count < 20_000; count += 1) {
      throttle.failed(`10.1.${count >> 8}.${count & 255}`, "");
      if (count % 5_000 === 0) throttle.failed("10.0.0.1", "");
    }
    expect(throttle.size).toBe(10_000);
    expect(throttle.waitMs("10.0.0.1", "")).toBeGreaterThan(0);
  });
});

describe("certificates", () => {
  const rule = (more: Partial<CertificateRule> = {}): CertificateRule => ({ user: "", roles: ["user"], team: "", nodeIds: [], ...more });
  const who = (pattern: string, names: { commonName?: string; subjectAltName?: string }, more: Partial<CertificateRule> = {}) =>
    principalOfCertificate({ [pattern]: rule(more) }, { commonName: "", subjectAltName: "", ...names });

  test("are known by a common name, a DNS name, a URI, an address of e-mail", () => {
    expect(who("CN:batch", { commonName: "batch" })?.name).toBe("batch");
    expect(who("DNS:a.example", { subjectAltName: "DNS:b.example, DNS:a.example" })?.name).toBe("a.example");
    expect(who("URI:spiffe://org/gpu/*", { subjectAltName: "URI:spiffe://org/gpu/n1" }, { user: "pool" })?.name).toBe("pool");
    expect(who("email:*@org.example", { subjectAltName: "email:ada@org.example" })?.name).toBe("ada@org.example");
    expect(who("URI:spiffe://org/*", { subjectAltName: "URI:spiffe://org/n1" })?.name).toBe("spiffe///org/n1");
  });

  test("are not known by part of a name, by another kind of name, or by nothing", () => {
    expect(who("CN:batch", { commonName: "batch2" })).toBeNull();
    expect(who("CN:batch", { subjectAltName: "DNS:batch" })).toBeNull();
    expect(who("DNS:*.gpu.example", { subjectAltName: "DNS:gpu.example" })).toBeNull();
    expect(who("DNS:*.gpu.example", { subjectAltName: "DNS:.gpu.example" })).toBeNull();
    expect(who("CN:*", {})).toBeNull();
  });

  test("names in quotes, which hold something that wants to be another name, count for nothing", () => {
    expect(who("DNS:root", { subjectAltName: 'URI:"http://x/, DNS:root"' })).toBeNull();
    expect(who("DNS:root", { subjectAltName: 'DNS:"a, DNS:root", DNS:other' })).toBeNull();
    expect(who("DNS:other", { subjectAltName: 'DNS:"a, DNS:root", DNS:other' })?.name).toBe("other");
  });

  test("the first rule that fits counts; an agent speaks for the nodes named, else for itself", () => {
    const names = { commonName: "n1", subjectAltName: "" };
    const rules = { "CN:n1": rule({ roles: ["agent"], nodeIds: ["a", "b"] }), "CN:*": rule({ roles: ["admin"] }) };
    expect(principalOfCertificate(rules, names)).toMatchObject({ roles: ["agent"], nodeIds: ["a", "b"] });
    expect(who("CN:*", names, { roles: ["agent"] })?.nodeIds).toEqual(["n1"]);
  });
});

test("an agent speaks for its nodes, and nobody else does", () => {
  const agent = { ...LOCAL_ADMIN, roles: ["agent" as const], nodeIds: ["a"] };
  expect([speaksFor(agent, "a"), speaksFor(agent, "b"), speaksFor({ ...agent, nodeIds: ["*"] }, "b"), speaksFor({ ...agent, roles: ["admin"] }, "a")]).toEqual([true, false, true, false]);
});

test.each([["ada", true], ["Ada Lovelace", true], ["a@b.example", true], ["", false], ["a:b", false], ["a\nb", false], ["\ud800", false], ["x".repeat(129), false]])("the name %j may be one: %p", (name, may) => {
  expect(isName(name)).toBe(may);
});
