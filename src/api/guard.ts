// The gate of both transports: from what a call presents to its caller, or to the error that refuses it. Also ends calls that are open when
// their caller loses the right to them. Who somebody is, `auth/` finds out; what a role may do is in `access.ts`.
import type { AuditLog } from "../auth/audit-log.js";
import type { Authenticator, Grant, Presented, Verdict } from "../auth/authenticator.js";
import { NOBODY, LOCAL_ADMIN, type Actor } from "../auth/principal.js";
import type { Logger } from "pino";
import { LinkedList } from "../lib/linked-list.js";
import type { Access } from "./access.js";
import { ApiError } from "./outcomes.js";

/** Who calls, from where. */
export interface Caller extends Actor {
  /** Whether a call of his that is open may go on. */
  isGood(): boolean;
  /** Writes to the audit log that he was refused what is another's. */
  refused(what: string, why: string): void;
  /** Writes to the audit log what he did with what is another's. Resolves when it is on the disk. */
  did(act: string, subject: string, why: string): Promise<void>;
}

export interface Guard {
  /** Whether callers must say who they are. */
  readonly on: boolean;
  /** Throws, or rejects with, ApiError for who may not. At once for who is known already. */
  admit(access: Access, what: string, presented: Presented): Caller | Promise<Caller>;
  /** Calls `end` when an open call must not go on; the returned function lets go. */
  hold(caller: Caller, end: () => void): () => void;
  /** The same for a stream of a user, who may have so many open. Throws ApiError for one too many. */
  holdStream(caller: Caller, end: () => void): () => void;
}

/** Everybody, as long as there is no identity: for servers on loopback. */
export const LOCAL_CALLER: Caller = { principal: LOCAL_ADMIN, address: "", isGood: () => true, refused: () => {}, did: async () => {} };
const UNKNOWN_CALLER: Caller = { ...LOCAL_CALLER, principal: NOBODY };

/** Of a server without identity: everybody may do everything. */
export const OPEN_GUARD: Guard = { on: false, admit: () => LOCAL_CALLER, hold: () => () => {}, holdStream: () => () => {} };

/** How often open calls are looked at for credentials that have expired. */
const LOOK_EVERY_MS = 5_000;

interface OpenCall {
  readonly caller: Caller;
  readonly end: () => void;
}

export class IdentityGuard implements Guard {
  readonly #authenticator: Authenticator;
  readonly #audit: AuditLog;
  readonly #log: Pick<Logger, "error">;
  #lastTrouble = "";
  readonly #open = new LinkedList<OpenCall>();
  readonly #maxStreamsPerUser: number;
  /** Open streams by user. */
  readonly #streams = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #unlisten: () => void;

  /** `onTakenAway` calls back whenever somebody may have lost a right; `log` hears why callers cannot be checked, once per kind of trouble. */
  constructor(authenticator: Authenticator, audit: AuditLog, log: Pick<Logger, "error">, onTakenAway: (listener: () => void) => () => void, maxStreamsPerUser: number) {
    this.#maxStreamsPerUser = maxStreamsPerUser;
    this.#authenticator = authenticator;
    this.#audit = audit;
    this.#log = log;
    this.#unlisten = onTakenAway(() => this.#look());
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  get on(): boolean {
    return this.#authenticator.on;
  }

  admit(access: Access, what: string, presented: Presented): Caller | Promise<Caller> {
    if (access === "open") return UNKNOWN_CALLER;
    const verdict = this.#authenticator.authenticate(presented);
    return verdict instanceof Promise ? verdict.then((later) => this.#judge(access, what, presented, later)) : this.#judge(access, what, presented, verdict);
  }

  hold(caller: Caller, end: () => void): () => void {
    const entry = this.#open.append({ caller, end });
    return () => this.#open.remove(entry);
  }

  holdStream(caller: Caller, end: () => void): () => void {
    const { name } = caller.principal;
    const others = this.#streams.get(name) ?? 0;
    if (others >= this.#maxStreamsPerUser) throw new ApiError({ kind: "too_many_streams", limit: this.#maxStreamsPerUser });
    this.#streams.set(name, others + 1);
    const letGo = this.hold(caller, end);
    return () => {
      letGo();
      const left = (this.#streams.get(name) ?? 0) - 1;
      if (left > 0) this.#streams.set(name, left);
      else this.#streams.delete(name);
    };
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#unlisten();
  }

  #judge(access: readonly string[], what: string, { address }: Presented, verdict: Verdict): Caller {
    if (verdict.kind === "identity_unavailable" && verdict.why !== this.#lastTrouble) {
      this.#lastTrouble = verdict.why;
      this.#log.error({ trouble: verdict.why }, "who is calling cannot be checked");
    }
    if (verdict.kind !== "granted") throw new ApiError(verdict);
    const { principal } = verdict;
    const caller = new KnownCaller(verdict, address, this.#audit);
    if (principal.roles.some((role) => access.includes(role))) return caller;
    caller.refused(what, `needs role ${access.join(" or ")}`);
    throw new ApiError({ kind: "permission_denied", why: `${what} needs role ${access.join(" or ")}; you have ${principal.roles.join(" and ") || "none"}` });
  }

  #look(): void {
    // Apart from ending: that takes a call off the list.
    const lost = Array.from(this.#open).filter(({ caller }) => !caller.isGood());
    for (const { end } of lost) end();
  }
}

class KnownCaller implements Caller {
  readonly #grant: Grant;
  readonly #audit: AuditLog;
  readonly address: string;

  constructor(grant: Grant, address: string, audit: AuditLog) {
    this.#grant = grant;
    this.address = address;
    this.#audit = audit;
  }

  get principal(): Caller["principal"] {
    return this.#grant.principal;
  }

  isGood(): boolean {
    return this.#grant.isGood();
  }

  refused(what: string, why: string): void {
    this.#audit.note(this, { act: "call", subject: what, why, outcome: "refused" });
  }

  did(act: string, subject: string, why: string): Promise<void> {
    return this.#audit.record(this, { act, subject, why });
  }
}
