// An identity in memory for tests: a store whose writes can be watched and made to fail, and everything that stands on it.
import { AuditLog } from "../../../src/auth/audit-log.js";
import { Authenticator, type AuthenticatorOptions, type Presented, type Verdict } from "../../../src/auth/authenticator.js";
import { IdentityBook, type KeyWish } from "../../../src/auth/identity-book.js";
import type { AuditEntry, IdentityChange, IdentityStore, KeyRecord, UserRecord } from "../../../src/auth/identity-store.js";
import type { ScryptCost } from "../../../src/auth/password.js";
import { LOCAL_ADMIN, type Actor } from "../../../src/auth/principal.js";

/** Cheap: tests are about who gets in, not about how long guessing takes. */
export const TEST_COST: ScryptCost = { logN: 4, blockSize: 8, parallel: 1 };

export const OPERATOR: Actor = { principal: LOCAL_ADMIN, address: "" };

export class MemoryStore implements IdentityStore {
  readonly keys = new Map<string, KeyRecord>();
  readonly users = new Map<string, UserRecord>();
  readonly entries: AuditEntry[] = [];
  on = false;
  /** Set to make every write fail. */
  trouble: Error | null = null;

  load(): ReturnType<IdentityStore["load"]> {
    return { keys: [...this.keys.values()], users: [...this.users.values()], on: this.on };
  }
  async write({ keys = [], users = [], removedUsers = [], audit = [], on }: IdentityChange): Promise<void> {
    if (this.trouble) throw this.trouble;
    for (const key of keys) this.keys.set(key.id, key);
    for (const user of users) this.users.set(user.name, user);
    for (const name of removedUsers) this.users.delete(name);
    this.entries.push(...audit);
    this.on ||= on === true;
  }
  lastAudit(): number {
    return this.entries.at(-1)?.sequence ?? 0;
  }
  audit(below: number, limit: number): readonly AuditEntry[] {
    return this.entries.filter(({ sequence }) => sequence < below).toReversed().slice(0, limit);
  }
  async purgeAudit(): Promise<number> {
    return 0;
  }
  async close(): Promise<void> {}
}

export interface MadeIdentity {
  readonly store: MemoryStore;
  readonly audit: AuditLog;
  readonly book: IdentityBook;
  readonly authenticator: Authenticator;
  readonly clock: { atMs: number };
  /** What could not be written. */
  readonly failures: unknown[];
  /** Acts of the audit log, the oldest first. */
  acts(): string[];
  /** Makes a key and gives its text. */
  key(wish: Partial<KeyWish> & Pick<KeyWish, "roles">): Promise<string>;
  stop(): Promise<void>;
}

export function makeIdentity(options: Partial<Omit<AuthenticatorOptions, "book" | "audit">> = {}, store = new MemoryStore(), clock = { atMs: 1_700_000_000_000 }): MadeIdentity {
  const now = (): number => clock.atMs;
  const failures: unknown[] = [];
  const failed = (error: unknown): void => void failures.push(error);
  const audit = new AuditLog(store, { keepForMs: 86_400_000, keepAtMost: 1_000 }, failed, now);
  const book = new IdentityBook(store, audit, { now, cost: TEST_COST, failed });
  const authenticator = new Authenticator({ book, audit, tokens: null, certificates: {}, required: false, now, cost: TEST_COST, ...options });
  return {
    store,
    audit,
    book,
    authenticator,
    clock,
    failures,
    acts: () => store.entries.map(({ act }) => act),
    async key(wish) {
      const made = await book.createKey({ user: "ada", nodeIds: [], label: "", expiresAtMs: 0, ...wish }, OPERATOR);
      if (made.kind !== "created") throw new Error(made.kind);
      return made.text;
    },
    async stop() {
      audit.stop();
      await book.stop();
    },
  };
}

/** What a call brings. */
export function presenting(authorization: string | null, more: Partial<Presented> = {}): Presented {
  return { authorization, doubled: false, address: "192.0.2.1", certificate: () => null, ...more };
}

/** The verdict, now or later, on a call with this header. */
export async function verdictOn({ authenticator }: MadeIdentity, authorization: string | null, more: Partial<Presented> = {}): Promise<Verdict> {
  return authenticator.authenticate(presenting(authorization, more));
}

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}
