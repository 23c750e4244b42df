// What is kept of users and keys, and the port to where. Implemented by `journal/lmdb-identity-store.ts`.
import type { Role } from "./principal.js";

/** A key as it is kept. Fields are added, never changed in meaning. */
export interface KeyRecord {
  readonly id: string;
  /** What its owner calls it; may be "". */
  readonly label: string;
  readonly user: string;
  readonly roles: readonly Role[];
  /** For role agent. */
  readonly nodeIds: readonly string[];
  /** SHA-256 of its text, base64url. */
  readonly digest: string;
  /** UTC ms, as all times here. */
  readonly createdAtMs: number;
  readonly createdBy: string;
  /** 0: never. */
  readonly expiresAtMs: number;
  /** 0: it is not revoked. */
  readonly revokedAtMs: number;
  readonly revokedBy: string;
  /** 0: never used. Written now and then, so up to a minute behind after a crash. */
  readonly lastUsedAtMs: number;
  /** Where it was used from, the latest last; bounded. */
  readonly addresses: readonly string[];
}

/** A user as it is kept. Users need no record unless they have a password or a team. */
export interface UserRecord {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly team: string;
  /** As `hashPassword` makes it; "" for none. */
  readonly passwordHash: string;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}

/** One line of the audit log. Never a secret. */
export interface AuditEntry {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly atMs: number;
  /** Name of who did it; "" when nobody was known. */
  readonly who: string;
  /** By which credential, such as "gr_7c1d0q2m9k4x". */
  readonly credential: string;
  /** Lower-case word, such as "key_created". */
  readonly act: string;
  /** What it was done to. */
  readonly subject: string;
  /** In words; may be "". */
  readonly why: string;
  readonly outcome: "done" | "refused" | "noted";
  /** Address of the connection; "" for the process itself. */
  readonly address: string;
}

/** What becomes durable together. */
export interface IdentityChange {
  readonly keys?: readonly KeyRecord[];
  readonly users?: readonly UserRecord[];
  readonly removedUsers?: readonly string[];
  readonly audit?: readonly AuditEntry[];
  /** There is an identity from now on, whatever is revoked or deleted later. */
  readonly on?: true;
}

export interface IdentityStore {
  /** Everything but the audit log. */
  load(): { readonly keys: readonly KeyRecord[]; readonly users: readonly UserRecord[]; readonly on: boolean };
  /** Resolves when the change is on the disk; in the order of the calls. Rejects when it is not. */
  write(change: IdentityChange): Promise<void>;
  /** Sequence of the newest entry; 0 when there is none. */
  lastAudit(): number;
  /** Newest first, with sequences below `below`, at most `limit`. */
  audit(below: number, limit: number): readonly AuditEntry[];
  /** Drops entries from the oldest on: those from before `beforeMs`, and what exceeds `keepAtMost`; stops after `limit`. Returns how many. */
  purgeAudit(beforeMs: number, keepAtMost: number, limit: number): Promise<number>;
  close(): Promise<void>;
}
