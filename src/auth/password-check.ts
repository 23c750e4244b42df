// Checks name and password against the book, a few at a time, and remembers what was right under a keyed hash: a call with Basic costs
// a quarter of a second of one core once in a while, not every time.
import { createHmac, randomBytes } from "node:crypto";
import { putLast } from "../lib/put-last.js";
import type { UserRecord } from "./identity-store.js";
import { isPassword, MAX_PASSWORD_BYTES, nobodysHash, type ScryptCost } from "./password.js";

const MAX_REMEMBERED = 10_000;
const REMEMBER_MS = 5 * 60_000;
/** Hashes computed at a time: the pool has four threads, and commits wait for them too. */
const AT_ONCE = 2;
/** Callers that wait for one; more are told to come back. */
const MAX_WAITING = 256;

export type PasswordVerdict = "right" | "wrong" | "busy";

export class PasswordCheck {
  readonly #now: () => number;
  readonly #nobodysHash: string;
  readonly #secret = randomBytes(32);
  /** Keyed hash of name, password and stored hash -> until when it counts. */
  readonly #right = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<PasswordVerdict>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(now: () => number, cost?: ScryptCost) {
    this.#now = now;
    this.#nobodysHash = nobodysHash(cost);
  }

  /** Takes as long for a name that nobody has. Callers with the same name and password share one computation. */
  check(user: UserRecord | undefined, name: string, password: string): PasswordVerdict | Promise<PasswordVerdict> {
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return "wrong";
    const stored = user?.passwordHash || this.#nobodysHash;
    // The stored hash is part of it: a new password ends what was remembered of the old one.
    const memory = createHmac("sha256", this.#secret).update(JSON.stringify([name, password, stored])).digest("base64");
    const untilMs = this.#right.get(memory);
    if (untilMs !== undefined && untilMs > this.#now()) return "right";
    const underWay = this.#underWay.get(memory);
    if (underWay) return underWay;
    if (this.#underWay.size >= MAX_WAITING) return "busy";
    const verdict = this.#verify(password, stored, user !== undefined).then((right) => {
      if (right) putLast(this.#right, memory, this.#now() + REMEMBER_MS, MAX_REMEMBERED);
      return right ? "right" : "wrong";
    });
    const settled = verdict.finally(() => this.#underWay.delete(memory));
    this.#underWay.set(memory, settled);
    return settled;
  }

  async #verify(password: string, stored: string, known: boolean): Promise<boolean> {
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      return (await isPassword(password, stored)) && known;
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}
