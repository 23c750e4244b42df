// The identity of one router: store, audit log, book of users and keys, authenticator and guard, wired together. Opened by `daemon.ts`, and by
// the commands that make keys while no router runs.
import type { Logger } from "pino";
import { IdentityGuard } from "../api/guard.js";
import { AuditLog } from "../auth/audit-log.js";
import { Authenticator } from "../auth/authenticator.js";
import { IdentityBook } from "../auth/identity-book.js";
import type { AuthConfig } from "../config/auth-config.js";
import { LmdbIdentityStore } from "../journal/lmdb-identity-store.js";
import type { VaultKey } from "../journal/vault-key.js";

export interface Identity {
  readonly audit: AuditLog;
  readonly book: IdentityBook;
  readonly authenticator: Authenticator;
  readonly guard: IdentityGuard;
  /** Writes what is left to write, and closes the store. */
  close(): Promise<void>;
}

/** Whoever calls it holds the lock of `directory`. `key`: null where it is not encrypted. Throws when what is stored there cannot be read. */
export function openIdentity(directory: string, key: VaultKey | null, { required, tokens, certificates, maxStreamsPerUser, audit: retention }: AuthConfig, log: Pick<Logger, "error">): Identity {
  const store = new LmdbIdentityStore(directory, key);
  const failed = (error: unknown): void => log.error({ err: error }, "the identity store could not be written");
  const audit = new AuditLog(store, retention, failed);
  const book = new IdentityBook(store, audit, { failed });
  const authenticator = new Authenticator({ book, audit, tokens: tokens.issuer === "" ? null : tokens, certificates, required });
  const guard = new IdentityGuard(authenticator, audit, log, (listener) => book.onTakenAway(listener), maxStreamsPerUser);
  return {
    audit,
    book,
    authenticator,
    guard,
    async close() {
      guard.stop();
      audit.stop();
      await book.stop();
      await store.close();
    },
  };
}
