// Users and keys, as they stand: in memory for look-ups on every call, written before a change is answered. One writer, one process.
import type { UserId } from "../core/model/ids.js";
import type { AuditLog } from "./audit-log.js";
import { keyPrefix, makeKey } from "./api-key.js";
import type { IdentityStore, KeyRecord, UserRecord } from "./identity-store.js";
import { hashPassword, type ScryptCost } from "./password.js";
import type { Actor, Principal, Role } from "./principal.js";

const MAX_KEYS = 100_000;
const MAX_USERS = 100_000;
/** Addresses remembered of a key; a key that is used from more is noted again now and then. */
const MAX_ADDRESSES = 32;
const WRITE_USES_EVERY_MS = 60_000;

/** A key to be made. */
export interface KeyWish {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly nodeIds: readonly string[];
  readonly label: string;
  /** 0: never. */
  readonly expiresAtMs: number;
}

/** A user to be made or changed. */
export interface UserWish {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly team: string;
  /** null leaves the one that is there, "" takes it away. */
  readonly password: string | null;
}

/** Why a change was not made. */
export type BookRefusal =
  | { readonly kind: "first_not_admin" }
  | { readonly kind: "book_full"; readonly what: "keys" | "users"; readonly limit: number };

/** The text of a new key is in this answer and nowhere else. */
export type CreatedKey = { readonly kind: "created"; readonly key: KeyRecord; readonly text: string };

export class IdentityBook {
  readonly #store: IdentityStore;
  readonly #audit: AuditLog;
  readonly #now: () => number;
  readonly #cost: ScryptCost | undefined;
  readonly #keys = new Map<string, KeyRecord>();
  readonly #users = new Map<string, UserRecord>();
  readonly #used = new Set<string>();
  readonly #onTakenAway = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;
  #on: boolean;
  #version = 1;

  constructor(store: IdentityStore, audit: AuditLog, options: { readonly now?: () => number; readonly cost?: ScryptCost; readonly failed: (error: unknown) => void }) {
    this.#store = store;
    this.#audit = audit;
    this.#now = options.now ?? Date.now;
    this.#cost = options.cost;
    const { keys, users, on } = store.load();
    for (const key of keys) this.#keys.set(key.id, key);
    for (const user of users) this.#users.set(user.name, user);
    this.#on = on;
    this.#timer = setInterval(() => void this.writeUses().catch(options.failed), WRITE_USES_EVERY_MS);
    this.#timer.unref();
  }

  /** Whether there has ever been a key or a user. Stays so when all are revoked: nobody becomes admin by that. */
  get on(): boolean {
    return this.#on;
  }

  /** Grows with every change that may take something away; what was concluded under another one must be concluded again. */
  get version(): number {
    return this.#version;
  }

  key(id: string): KeyRecord | undefined {
    return this.#keys.get(id);
  }

  user(name: string): UserRecord | undefined {
    return this.#users.get(name);
  }

  /** By time of creation. */
  keys(): readonly KeyRecord[] {
    return [...this.#keys.values()].sort((a, b) => a.createdAtMs - b.createdAtMs);
  }

  /** By name. */
  users(): readonly UserRecord[] {
    return [...this.#users.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Calls back after every change that may take something away; the returned function ends that. */
  onTakenAway(listener: () => void): () => void {
    this.#onTakenAway.add(listener);
    return () => this.#onTakenAway.delete(listener);
  }

  /** Who the bearer of a key is. */
  principalOf(key: KeyRecord): Principal {
    return {
      name: key.user as UserId,
      roles: key.roles,
      team: this.#users.get(key.user)?.team ?? "",
      nodeIds: key.nodeIds,
      via: "key",
      credential: keyPrefix(key.id),
    };
  }

  /** Makes a key. The first one must be an admin's, or nobody could make another. */
  async createKey(wish: KeyWish, by: Actor): Promise<CreatedKey | BookRefusal> {
    if (!this.#on && !wish.roles.includes("admin")) return { kind: "first_not_admin" };
    if (this.#keys.size >= MAX_KEYS) return { kind: "book_full", what: "keys", limit: MAX_KEYS };
    const { id, text, digest } = makeKey();
    const key: KeyRecord = {
      id,
      label: wish.label,
      user: wish.user,
      roles: wish.roles,
      nodeIds: wish.nodeIds,
      digest,
      createdAtMs: this.#now(),
      createdBy: by.principal.name,
      expiresAtMs: wish.expiresAtMs,
      revokedAtMs: 0,
      revokedBy: "",
      lastUsedAtMs: 0,
      addresses: [],
    };
    const entry = this.#audit.entry(by, { act: "key_created", subject: keyPrefix(id), why: `for ${wish.user}, ${wish.roles.join(" and ")}` });
    await this.#store.write({ keys: [key], audit: [entry], on: true });
    this.#keys.set(id, key);
    this.#turnOn();
    return { kind: "created", key, text };
  }

  /** Ends a key for good, at once: also for streams that are open. null when there is none with this id. Twice is as once. */
  async revokeKey(id: string, why: string, by: Actor): Promise<KeyRecord | null> {
    const key = this.#keys.get(id);
    if (!key || key.revokedAtMs > 0) return key ?? null;
    const revoked = { ...key, revokedAtMs: this.#now(), revokedBy: by.principal.name };
    // Before it is on the disk: should that fail, refusing too much is the safe side.
    this.#keys.set(id, revoked);
    this.#takeAway();
    await this.#store.write({ keys: [revoked], audit: [this.#audit.entry(by, { act: "key_revoked", subject: keyPrefix(id), why })] });
    return revoked;
  }

  /** Makes or changes a user. What it was allowed before is concluded anew, at once. */
  async putUser(wish: UserWish, by: Actor): Promise<{ readonly kind: "put"; readonly user: UserRecord } | BookRefusal> {
    const before = this.#users.get(wish.name);
    const password = wish.password === null ? (before?.passwordHash ?? "") : wish.password;
    if (!this.#on && !(wish.roles.includes("admin") && password !== "")) return { kind: "first_not_admin" };
    if (!before && this.#users.size >= MAX_USERS) return { kind: "book_full", what: "users", limit: MAX_USERS };
    const passwordHash = wish.password === null || wish.password === "" ? password : await hashPassword(wish.password, this.#cost);
    const nowMs = this.#now();
    const user: UserRecord = { name: wish.name, roles: wish.roles, team: wish.team, passwordHash, createdAtMs: before?.createdAtMs ?? nowMs, changedAtMs: nowMs };
    const changes = [wish.roles.join(" and "), ...(wish.team === "" ? [] : [`team ${wish.team}`]), ...(wish.password === null ? [] : [wish.password === "" ? "no password" : "new password"])];
    const entry = this.#audit.entry(by, { act: before ? "user_changed" : "user_created", subject: wish.name, why: changes.join(", ") });
    await this.#store.write({ users: [user], audit: [entry], on: true });
    this.#users.set(user.name, user);
    this.#turnOn();
    this.#takeAway();
    return { kind: "put", user };
  }

  /** Forgets a user and revokes all its keys. false when there is neither. */
  async deleteUser(name: string, why: string, by: Actor): Promise<boolean> {
    const known = this.#users.delete(name);
    const nowMs = this.#now();
    const revoked = [...this.#keys.values()].filter((key) => key.user === name && key.revokedAtMs === 0).map((key) => ({ ...key, revokedAtMs: nowMs, revokedBy: by.principal.name }));
    if (!known && revoked.length === 0) return false;
    for (const key of revoked) this.#keys.set(key.id, key);
    this.#takeAway();
    const keys = revoked.length === 0 ? [] : [`with ${revoked.map(({ id }) => keyPrefix(id)).join(", ")}`];
    const entry = this.#audit.entry(by, { act: "user_deleted", subject: name, why: [...(why === "" ? [] : [why]), ...keys].join("; ") });
    await this.#store.write({ keys: revoked, removedUsers: [name], audit: [entry] });
    return true;
  }

  /** A key was used. Notes an address that it was not used from before. Written within a minute. */
  used(id: string, address: string, atMs: number): void {
    const key = this.#keys.get(id);
    if (!key) return;
    const isNew = !key.addresses.includes(address);
    const addresses = isNew ? [...key.addresses.slice(1 - MAX_ADDRESSES), address] : key.addresses;
    this.#keys.set(id, { ...key, lastUsedAtMs: Math.max(atMs, key.lastUsedAtMs), addresses });
    this.#used.add(id);
    if (isNew) this.#audit.note({ principal: this.principalOf(key), address }, { act: "key_new_address", subject: keyPrefix(id), outcome: "noted" });
  }

  async writeUses(): Promise<void> {
    if (this.#used.size === 0) return;
    const keys = [...this.#used].flatMap((id) => this.#keys.get(id) ?? []);
    this.#used.clear();
    await this.#store.write({ keys });
  }

  /** Writes what is left to write. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.writeUses();
  }

  #turnOn(): void {
    if (this.#on) return;
    this.#on = true;
    // Those who were let in as nobody in particular must say who they are.
    this.#takeAway();
  }

  #takeAway(): void {
    this.#version += 1;
    for (const listener of this.#onTakenAway) listener();
  }
}
