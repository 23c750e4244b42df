// Checks signed tokens (JWT, as OpenID Connect providers issue them): signature by the issuer's published keys, asymmetric algorithms
// only, issuer, audience, times; and reads who they speak for. `jose` does the cryptography.
import { readFile } from "node:fs/promises";
import { createLocalJWKSet, createRemoteJWKSet, errors, jwtVerify, type JSONWebKeySet, type JWTPayload, type JWTVerifyGetKey } from "jose";
import type { UserId } from "../core/model/ids.js";
import { isName } from "./names.js";
import { ROLES, type Principal, type Role } from "./principal.js";

/** What a router believes of tokens. */
export interface TokenRules {
  readonly issuer: string;
  readonly audience: string;
  /** https URL of the issuer's keys (http on loopback), or a file with them. */
  readonly jwks: string;
  /** The claim with the user's name; dots lead into objects, as in all claims here. */
  readonly userClaim: string;
  readonly rolesClaim: string;
  /** "" for none. */
  readonly teamClaim: string;
  /** Values of `rolesClaim` that give a role; beside them the names of roles stand for themselves only when this is empty. */
  readonly roles: Readonly<Record<string, Role>>;
  /** Of a token without any of them; "none" refuses it. */
  readonly defaultRole: Role | "none";
  /** How far the issuer's clock may be off, ms. */
  readonly clockToleranceMs: number;
}

export type TokenVerdict =
  | { readonly kind: "right"; readonly principal: Principal; readonly expiresAtMs: number }
  /** `guess`: the signature itself was wrong. */
  | { readonly kind: "wrong"; readonly why: string; readonly guess: boolean }
  | { readonly kind: "unavailable"; readonly why: string };

/** No HMAC, where the public key would be the secret, and not "none". */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"];
const JWKS_TIMEOUT_MS = 5_000;
const JWKS_REFETCH_MS = 30_000;
const JWKS_MAX_AGE_MS = 10 * 60_000;
/** A file is read again when a token names a key that it lacks, at most this often. */
const FILE_REREAD_MS = 5_000;

export class TokenCheck {
  readonly #rules: TokenRules;
  readonly #now: () => number;
  readonly #keys: JWTVerifyGetKey;

  constructor(rules: TokenRules, now: () => number) {
    this.#rules = rules;
    this.#now = now;
    this.#keys = /^https?:/.test(rules.jwks)
      ? createRemoteJWKSet(new URL(rules.jwks), { timeoutDuration: JWKS_TIMEOUT_MS, cooldownDuration: JWKS_REFETCH_MS, cacheMaxAge: JWKS_MAX_AGE_MS })
      : keysOfFile(rules.jwks, now);
  }

  /** Never rejects for a bad token. */
  async check(token: string): Promise<TokenVerdict> {
    const { issuer, audience, clockToleranceMs } = this.#rules;
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: clockToleranceMs / 1_000,
        requiredClaims: ["exp"],
        currentDate: new Date(this.#now()),
      });
      return this.#principal(payload);
    } catch (error) {
      return verdictOf(error);
    }
  }

  #principal(payload: JWTPayload): TokenVerdict {
    const { userClaim, teamClaim, clockToleranceMs } = this.#rules;
    const name = claim(payload, userClaim);
    if (typeof name !== "string" || !isName(name)) return { kind: "wrong", why: `its claim ${userClaim} is not the name of a user`, guess: false };
    const roles = this.#roles(payload);
    if (roles.length === 0) return { kind: "wrong", why: "it gives no role here", guess: false };
    const team = teamClaim === "" ? "" : claim(payload, teamClaim);
    return {
      kind: "right",
      principal: { name: name as UserId, roles, team: typeof team === "string" && isName(team) ? team : "", nodeIds: roles.includes("agent") ? [name] : [], via: "token", credential: `token of ${name}` },
      expiresAtMs: (payload.exp ?? 0) * 1_000 + clockToleranceMs,
    };
  }

  #roles(payload: JWTPayload): readonly Role[] {
    const { rolesClaim, roles, defaultRole } = this.#rules;
    const value = claim(payload, rolesClaim);
    const named = (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === "string");
    const table = Object.keys(roles).length > 0 ? roles : SELF;
    const given = new Set(named.flatMap((item) => (Object.hasOwn(table, item) ? (table[item] ?? []) : [])));
    if (given.size === 0 && defaultRole !== "none") given.add(defaultRole);
    return [...given];
  }
}

/** Without a table only what changes nothing for others counts by its own name; admin and agent need to be said in the configuration. */
const SELF: Readonly<Record<string, Role>> = Object.fromEntries(ROLES.filter((role) => role === "user" || role === "reader").map((role) => [role, role]));

/** "realm_access.roles" is `roles` in the object `realm_access`; a claim whose own name has dots goes before that. */
function claim(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  return path.split(".").reduce<unknown>((value, key) => (typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Readonly<Record<string, unknown>>)[key] : undefined), payload);
}

function verdictOf(error: unknown): TokenVerdict {
  // The signature was right: an old token is not a guess.
  if (error instanceof errors.JWTExpired) return { kind: "wrong", why: "the token has expired", guess: false };
  if (error instanceof errors.JWTClaimValidationFailed) return { kind: "wrong", why: `its claim ${error.claim} is not as it must be (${error.reason})`, guess: false };
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return { kind: "wrong", why: "it is not signed in a way that is taken here", guess: true };
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return { kind: "wrong", why: "it is not signed with a key of the issuer", guess: true };
  }
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return { kind: "wrong", why: "it is not a signed token", guess: true };
  return { kind: "unavailable", why: error instanceof Error ? error.message : String(error) };
}

/** Keys of a file, read when first needed and when one is missing. */
function keysOfFile(file: string, now: () => number): JWTVerifyGetKey {
  let keys: JWTVerifyGetKey | null = null;
  let readAtMs = 0;
  const read = async (): Promise<JWTVerifyGetKey> => {
    readAtMs = now();
    return createLocalJWKSet(JSON.parse(await readFile(file, "utf8")) as JSONWebKeySet);
  };
  return async (header, token) => {
    keys ??= await read();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || now() - readAtMs < FILE_REREAD_MS) throw error;
      keys = await read();
      return keys(header, token);
    }
  };
}
