import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, jest } from "@jest/globals";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey, type JWK, type JWTPayload } from "jose";
import { TokenCheck, type TokenRules } from "../../../src/auth/token-check.js";

const ISSUER = "https://issuer.example";
const AUDIENCE = "gpu-router";
const NOW_MS = 1_700_000_000_000;
const NOW_S = NOW_MS / 1_000;

let directory = "";
let file = "";
let privateKey: CryptoKey;
let publicKey: CryptoKey;
let publicJwk: JWK;
const rules = (more: Partial<TokenRules> = {}): TokenRules => ({
  issuer: ISSUER,
  audience: AUDIENCE,
  jwks: file,
  userClaim: "sub",
  rolesClaim: "roles",
  teamClaim: "",
  roles: {},
  defaultRole: "user",
  clockToleranceMs: 30_000,
  ...more,
});

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-jwks-"));
  file = path.join(directory, "jwks.json");
  ({ privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true }));
  publicJwk = { ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256", use: "sig" };
  writeFileSync(file, JSON.stringify({ keys: [publicJwk] }));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const claims = (more: JWTPayload = {}): JWTPayload => ({ iss: ISSUER, aud: AUDIENCE, sub: "ada", exp: NOW_S + 300, ...more });
const sign = (payload: JWTPayload, key: CryptoKey = privateKey, header = {}): Promise<string> => new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid: "k1", ...header }).sign(key);
const check = async (token: string, more: Partial<TokenRules> = {}) => new TokenCheck(rules(more), () => NOW_MS).check(token);
const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a token that is right", () => {
  test("says who calls, until it expires", async () => {
    expect(await check(await sign(claims()))).toMatchObject({ kind: "right", principal: { name: "ada", roles: ["user"], team: "", nodeIds: [], via: "token" }, expiresAtMs: NOW_MS + 330_000 });
  });

  test("has its roles from the table, from claims inside of claims, its team too", async () => {
    const payload = claims({ realm_access: { roles: ["gpu-admins", "others"] }, dept: "blue" });
    const table = { rolesClaim: "realm_access.roles", roles: { "gpu-admins": "admin" as const }, teamClaim: "dept" };
    expect(await check(await sign(payload), table)).toMatchObject({ principal: { roles: ["admin"], team: "blue" } });
  });

  test("makes nobody an admin or agent by the word alone, where the configuration has no table", async () => {
    expect(await check(await sign(claims({ roles: ["admin", "agent", "reader"] })))).toMatchObject({ principal: { roles: ["reader"] } });
    expect(await check(await sign(claims({ roles: "admin" })))).toMatchObject({ principal: { roles: ["user"] } });
    expect(await check(await sign(claims({ roles: ["__proto__", "constructor"] })), { roles: { x: "admin" } })).toMatchObject({ principal: { roles: ["user"] } });
  });

  test("without any role is refused where none is the default", async () => {
    expect(await check(await sign(claims()), { defaultRole: "none" })).toMatchObject({ kind: "wrong", why: "it gives no role here", guess: false });
  });
});

describe("a token that is not", () => {
  test.each<[string, JWTPayload, RegExp]>([
    ["expired", claims({ exp: NOW_S - 31 }), /has expired/],
    ["not yet valid", claims({ nbf: NOW_S + 31 }), /nbf/],
    ["of another issuer", claims({ iss: "https://evil.example" }), /iss/],
    ["for another audience", claims({ aud: "other" }), /aud/],
    ["for no audience", { iss: ISSUER, sub: "ada", exp: NOW_S + 300 }, /aud/],
    ["without an end", { iss: ISSUER, aud: AUDIENCE, sub: "ada" }, /exp/],
    ["without a name", { iss: ISSUER, aud: AUDIENCE, exp: NOW_S + 300 }, /sub is not the name/],
    ["with a name that cannot be one", claims({ sub: "a:b" }), /sub is not the name/],
  ])("%s is refused, and no guess: its signature was right", async (_what, payload, why) => {
    expect(await check(await sign(payload))).toMatchObject({ kind: "wrong", why: expect.stringMatching(why), guess: false });
  });

  test("a clock that is off by less than the tolerance is forgiven, both ways", async () => {
    expect((await check(await sign(claims({ exp: NOW_S - 29 })))).kind).toBe("right");
    expect((await check(await sign(claims({ nbf: NOW_S + 29 })))).kind).toBe("right");
  });

  test("signed by somebody else's key is a guess", async () => {
    const other = await generateKeyPair("RS256");
    expect(await check(await sign(claims(), other.privateKey))).toMatchObject({ kind: "wrong", why: "it is not signed with a key of the issuer", guess: true });
    expect(await check(await sign(claims(), other.privateKey, { kid: "k2" }))).toMatchObject({ kind: "wrong", guess: true });
  });

  test("changed after it was signed is a guess", async () => {
    const [header, , signature] = (await sign(claims())).split(".");
    expect(await check(`${header}.${base64url(claims({ sub: "root" }))}.${signature}`)).toMatchObject({ kind: "wrong", guess: true });
  });

  test("with the issuer's public key as the secret of an HMAC is a guess", async () => {
    const head = `${base64url({ alg: "HS256", kid: "k1", typ: "JWT" })}.${base64url(claims({ sub: "root" }))}`;
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(publicJwk), String(publicJwk.n), Buffer.from(String(publicJwk.n), "base64url")]) {
      const token = `${head}.${createHmac("sha256", secret).update(head).digest("base64url")}`;
      expect(await check(token)).toMatchObject({ kind: "wrong", why: "it is not signed in a way that is taken here", guess: true });
    }
  });

  test("that says it needs no signature is a guess", async () => {
    const none = new UnsecuredJWT(claims({ sub: "root" })).encode();
    const spellings = ["none", "None", "NONE", ""].map((alg) => `${base64url({ alg, kid: "k1" })}.${base64url(claims())}.AA`);
    for (const token of [none, ...spellings]) expect(await check(token)).toMatchObject({ kind: "wrong", guess: true });
  });

  test("that brings or names its own key is a guess", async () => {
    const mine = await generateKeyPair("RS256", { extractable: true });
    const jwk = await exportJWK(mine.publicKey);
    expect(await check(await sign(claims(), mine.privateKey, { jwk }))).toMatchObject({ kind: "wrong", guess: true });
    expect(await check(await sign(claims(), mine.privateKey, { jku: "https://evil.example/jwks" }))).toMatchObject({ kind: "wrong", guess: true });
  });

  test("that wants something critical understood is not", async () => {
    const token = `${base64url({ alg: "RS256", kid: "k1", crit: ["x"], x: 1 })}.${base64url(claims())}.AA`;
    expect(await check(token)).toMatchObject({ kind: "wrong", guess: true });
  });
});

describe("the issuer's keys", () => {
  test("of a file are read again when a token names one that is missing, at most every five seconds", async () => {
    const rotating = path.join(directory, "rotating.json");
    writeFileSync(rotating, JSON.stringify({ keys: [publicJwk] }));
    let nowMs = NOW_MS;
    const tokens = new TokenCheck(rules({ jwks: rotating }), () => nowMs);
    const next = await generateKeyPair("ES256", { extractable: true });
    const token = await new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: "k9" }).sign(next.privateKey);
    expect((await tokens.check(token)).kind).toBe("wrong");
    writeFileSync(rotating, JSON.stringify({ keys: [publicJwk, { ...(await exportJWK(next.publicKey)), kid: "k9", alg: "ES256" }] }));
    expect((await tokens.check(token)).kind).toBe("wrong");
    nowMs += 5_000;
    expect((await tokens.check(token)).kind).toBe("right");
  });

  describe("by HTTP", () => {
    let server: Server;
    let asked = 0;
    let status = 200;
    let keys: object[] = [];
    beforeAll(async () => {
      keys = [publicJwk];
      server = createServer((_request, response) => {
        asked += 1;
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ keys }));
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    });
    afterAll(() => void server.close());
    const jwks = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;

    test("are asked for once, and not again for every token that names a key that is not there", async () => {
      asked = 0;
      const tokens = new TokenCheck(rules({ jwks: jwks() }), () => NOW_MS);
      expect((await tokens.check(await sign(claims()))).kind).toBe("right");
      const forged = await Promise.all(Array.from({ length: 50 }, (_, index) => sign(claims(), privateKey, { kid: `made-up-${index}` })));
      for (const token of forged) expect(await tokens.check(token)).toMatchObject({ kind: "wrong", guess: true });
      expect(asked).toBe(1);
    });

    test("are asked for again when a token names a new one, so that the issuer may change them, at most every half a minute", async () => {
      asked = 0;
      const tokens = new TokenCheck(rules({ jwks: jwks() }), () => NOW_MS);
      expect((await tokens.check(await sign(claims()))).kind).toBe("right");
      const next = await generateKeyPair("ES256", { extractable: true });
      const rotated = await new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: "next" }).sign(next.privateKey);
      keys = [{ ...(await exportJWK(next.publicKey)), kid: "next", alg: "ES256" }];
      expect((await tokens.check(rotated)).kind).toBe("wrong");
      const clock = jest.spyOn(Date, "now").mockReturnValue(Date.now() + 30_001);
      try {
        expect((await tokens.check(rotated)).kind).toBe("right");
        // One that the issuer has withdrawn signs nothing any more.
        expect(await tokens.check(await sign(claims()))).toMatchObject({ kind: "wrong", guess: true });
      } finally {
        clock.mockRestore();
        keys = [publicJwk];
      }
      expect(asked).toBe(2);
    });

    test("when they cannot be had, that is not the caller's fault", async () => {
      status = 500;
      expect((await new TokenCheck(rules({ jwks: jwks() }), () => NOW_MS).check(await sign(claims()))).kind).toBe("unavailable");
      status = 200;
      expect((await check(await sign(claims()), { jwks: path.join(directory, "nowhere.json") })).kind).toBe("unavailable");
    });
  });
});
