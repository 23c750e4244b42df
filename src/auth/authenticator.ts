// From what a call presents to who is calling. One step for all transports, called once a call: what was found out is remembered under a
// keyed hash of the header, so that a known key costs well below a microsecond; a change in the book makes all of it void at once.
import { hash, randomBytes } from "node:crypto";
import { putLast } from "../lib/put-last.js";
import { parseAuthorization, type Credentials } from "./authorization-header.js";
import type { AuditLog } from "./audit-log.js";
import { AttemptThrottle } from "./attempt-throttle.js";
import { isKey, keyIdOf, keyPrefix, makeKey } from "./api-key.js";
import { principalOfCertificate, type CertificateRules, type PeerNames } from "./certificate-rules.js";
import type { IdentityBook } from "./identity-book.js";
import type { ScryptCost } from "./password.js";
import { PasswordCheck } from "./password-check.js";
import { LOCAL_ADMIN, NOBODY, type Principal } from "./principal.js";
import { TokenCheck, type TokenRules } from "./token-check.js";

/** What a call brings. */
export interface Presented {
  /** The header; null when there is none. */
  readonly authorization: string | null;
  /** There is more than one, which is refused whatever they say. */
  readonly doubled: boolean;
  /** Of the connection, without port. */
  readonly address: string;
  /** Names of the client's certificate that TLS has verified, the same object for all calls of a connection; null when there is none. */
  readonly certificate: () => PeerNames | null;
}

/** A caller who is known, for as long as `isGood` says so. */
export interface Grant {
  readonly kind: "granted";
  readonly principal: Principal;
  /** Whether a call that is still open may go on. */
  isGood(): boolean;
}

export type Refusal =
  /** `why` says what to do and never what was presented. */
  | { readonly kind: "unauthenticated"; readonly why: string }
  | { readonly kind: "too_many_attempts"; readonly retryAfterMs: number }
  | { readonly kind: "identity_unavailable"; readonly why: string };

export type Verdict = Grant | Refusal;

export interface AuthenticatorOptions {
  readonly book: IdentityBook;
  readonly audit: AuditLog;
  /** null when no tokens are taken. */
  readonly tokens: TokenRules | null;
  readonly certificates: CertificateRules;
  /** Whether callers must say who they are though there is neither key nor user. */
  readonly required: boolean;
  readonly now?: () => number;
  readonly cost?: ScryptCost;
}

interface Remembered {
  readonly grant: Grant;
  readonly untilMs: number;
  readonly version: number;
  /** "" unless it is a stored key. */
  readonly keyId: string;
  address: string;
  usedAtMs: number;
}

const MAX_REMEMBERED = 10_000;
/** A password or token is looked at anew after this long, whatever its own end. */
const REMEMBER_MS = 5 * 60_000;
const NOTE_USE_EVERY_MS = 10_000;
const BUSY_RETRY_MS = 1_000;
const NO_CREDENTIALS = "this router wants to know who calls: send `authorization: Bearer KEY` (gpu-router takes it from --key or GPU_ROUTER_API_KEY)";
const LOCAL: Grant = { kind: "granted", principal: LOCAL_ADMIN, isGood: () => true };

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #now: () => number;
  readonly #throttle: AttemptThrottle;
  readonly #passwords: PasswordCheck;
  readonly #tokens: TokenCheck | null;
  readonly #pepper = randomBytes(32).toString("base64");
  readonly #remembered = new Map<string, Remembered>();
  readonly #underWay = new Map<string, Promise<Verdict>>();
  /** By the connection's names, so that the table is searched once a connection. */
  readonly #certificates = new WeakMap<PeerNames, Grant | null>();
  /** Keys of this process alone: digest -> who. Not stored. */
  readonly #ownKeys = new Map<string, { readonly digest: string; readonly principal: Principal }>();
  readonly #locally: Grant;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#throttle = new AttemptThrottle(this.#now);
    this.#passwords = new PasswordCheck(this.#now, options.cost);
    this.#tokens = options.tokens && new TokenCheck(options.tokens, this.#now);
    this.#locally = { ...LOCAL, isGood: () => !this.on };
  }

  /** Whether callers must say who they are. Once true it stays so. */
  get on(): boolean {
    const { required, tokens, certificates, book } = this.#options;
    return book.on || required || tokens !== null || Object.keys(certificates).length > 0;
  }

  /** At once for who is remembered, and for keys; later for passwords and tokens. Never rejects. */
  authenticate(presented: Presented): Verdict | Promise<Verdict> {
    if (!this.on) return this.#locally;
    const { authorization } = presented;
    if (presented.doubled) return this.#refuse(presented, "", "there is more than one authorization header", false);
    if (authorization === null) return this.#byCertificate(presented);
    const memory = hash("sha256", this.#pepper + authorization, "base64");
    const known = this.#remembered.get(memory);
    if (known && known.version === this.#options.book.version && this.#now() < known.untilMs) {
      this.#used(known, presented.address);
      return known.grant;
    }
    return this.#verify(parseAuthorization(authorization), memory, presented);
  }

  /** A key for a part of this process, such as the agent of `gpu-router up`; ends with the process. */
  ownKey(principal: Principal): string {
    const { id, text, digest } = makeKey();
    this.#ownKeys.set(id, { digest, principal: { ...principal, credential: keyPrefix(id) } });
    return text;
  }

  #verify(credentials: Credentials, memory: string, presented: Presented): Verdict | Promise<Verdict> {
    switch (credentials.kind) {
      case "malformed":
        return this.#refuse(presented, "", `the authorization header cannot be used: ${credentials.why}`, true);
      case "key":
        return this.#byKey(credentials.text, memory, presented);
      case "password":
        return this.#once(memory, () => this.#byPassword(credentials.user, credentials.password, memory, presented));
      case "token":
        return this.#once(memory, () => this.#byToken(credentials.text, memory, presented));
    }
  }

  #byKey(text: string, memory: string, presented: Presented): Verdict {
    const { book } = this.#options;
    const id = keyIdOf(text);
    const own = id === null ? undefined : this.#ownKeys.get(id);
    const key = id === null ? undefined : book.key(id);
    const subject = key || own ? keyPrefix(id ?? "") : "";
    const waitMs = this.#throttle.waitMs(presented.address, subject);
    if (waitMs > 0) return this.#throttled(presented, subject, waitMs);
    if (!isKey(text, own?.digest ?? key?.digest ?? null)) return this.#refuse(presented, subject, "the key is not one of this router", true);
    if (own) return this.#remember(memory, own.principal, Number.POSITIVE_INFINITY, "", presented, () => true);
    if (!key) throw new Error("Invariant broken: a key fits that nobody has");
    // From here on the bearer has the key, and may know what became of it.
    if (key.revokedAtMs > 0) return this.#refuse(presented, subject, `the key ${subject} was revoked`, false);
    if (key.expiresAtMs > 0 && key.expiresAtMs <= this.#now()) return this.#refuse(presented, subject, `the key ${subject} expired at ${new Date(key.expiresAtMs).toISOString()}`, false);
    const untilMs = key.expiresAtMs || Number.POSITIVE_INFINITY;
    return this.#remember(memory, book.principalOf(key), untilMs, key.id, presented, () => this.#now() < untilMs && book.key(key.id)?.revokedAtMs === 0);
  }

  async #byPassword(name: string, password: string, memory: string, presented: Presented): Promise<Verdict> {
    const { book } = this.#options;
    const { version } = book;
    const user = book.user(name);
    const subject = user ? `user ${name}` : "password";
    const waitMs = this.#throttle.waitMs(presented.address, subject);
    if (waitMs > 0) return this.#throttled(presented, subject, waitMs);
    const verdict = await this.#passwords.check(user?.passwordHash ? user : undefined, name, password);
    if (verdict === "busy") return { kind: "too_many_attempts", retryAfterMs: BUSY_RETRY_MS };
    if (verdict === "wrong" || !user) return this.#refuse(presented, subject, "name and password do not belong together", true);
    const principal: Principal = { name: name as Principal["name"], roles: user.roles, team: user.team, nodeIds: [], via: "password", credential: `password of ${name}` };
    // What is remembered ends; a stream goes on for as long as it is the same user with the same password and roles.
    const isGood = (): boolean => book.user(name) === user;
    return this.#remember(memory, principal, this.#now() + REMEMBER_MS, "", presented, isGood, version);
  }

  async #byToken(token: string, memory: string, presented: Presented): Promise<Verdict> {
    if (!this.#tokens) return this.#refuse(presented, "token", "this router takes no tokens", true);
    const waitMs = this.#throttle.waitMs(presented.address, "token");
    if (waitMs > 0) return this.#throttled(presented, "token", waitMs);
    const verdict = await this.#tokens.check(token);
    if (verdict.kind === "unavailable") return { kind: "identity_unavailable", why: verdict.why };
    if (verdict.kind === "wrong") return this.#refuse(presented, "token", `the token cannot be used: ${verdict.why}`, verdict.guess);
    const { expiresAtMs } = verdict;
    return this.#remember(memory, verdict.principal, expiresAtMs, "", presented, () => this.#now() < expiresAtMs);
  }

  #byCertificate(presented: Presented): Verdict {
    const { certificates } = this.#options;
    const names = Object.keys(certificates).length > 0 ? presented.certificate() : null;
    if (!names) return this.#refuse(presented, "", NO_CREDENTIALS, false);
    let grant = this.#certificates.get(names);
    if (grant === undefined) {
      const principal = principalOfCertificate(certificates, names);
      grant = principal && { kind: "granted", principal, isGood: () => this.#now() < names.validUntilMs };
      this.#certificates.set(names, grant);
    }
    if (grant?.isGood() === false) return this.#refuse(presented, "", `the certificate of this connection expired at ${new Date(names.validUntilMs).toISOString()}: connect anew with another one`, false);
    return grant ?? this.#refuse(presented, "", "the certificate is genuine, but auth.client_certificates has nobody with its names", false);
  }

  /** One verification for all calls that bring the same and come while it runs. */
  #once(memory: string, verify: () => Promise<Verdict>): Promise<Verdict> {
    const underWay = this.#underWay.get(memory);
    if (underWay) return underWay;
    const verdict = verify()
      .catch((error: unknown): Verdict => ({ kind: "identity_unavailable", why: error instanceof Error ? error.message : String(error) }))
      .finally(() => this.#underWay.delete(memory));
    this.#underWay.set(memory, verdict);
    return verdict;
  }

  #remember(memory: string, principal: Principal, untilMs: number, keyId: string, presented: Presented, isGood: Grant["isGood"], version = this.#options.book.version): Grant {
    const now = this.#now();
    const grant: Grant = { kind: "granted", principal, isGood };
    const known: Remembered = {
      grant,
      untilMs: principal.via === "token" ? Math.min(untilMs, now + REMEMBER_MS) : untilMs,
      version,
      keyId,
      address: "",
      usedAtMs: 0,
    };
    putLast(this.#remembered, memory, known, MAX_REMEMBERED);
    this.#used(known, presented.address);
    return grant;
  }

  #used(known: Remembered, address: string): void {
    if (known.keyId === "") return;
    const now = this.#now();
    if (known.address === address && now - known.usedAtMs < NOTE_USE_EVERY_MS) return;
    known.address = address;
    known.usedAtMs = now;
    this.#options.book.used(known.keyId, address, now);
  }

  #refuse(presented: Presented, subject: string, why: string, isGuess: boolean): Refusal {
    if (isGuess) this.#throttle.failed(presented.address, subject);
    this.#options.audit.note({ principal: NOBODY, address: presented.address }, { act: "sign_in", subject, why, outcome: "refused" });
    return { kind: "unauthenticated", why };
  }

  #throttled({ address }: Presented, subject: string, retryAfterMs: number): Refusal {
    this.#options.audit.note({ principal: NOBODY, address }, { act: "sign_in", subject, why: "too many failed attempts", outcome: "refused" });
    return { kind: "too_many_attempts", retryAfterMs };
  }
}
