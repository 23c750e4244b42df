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
/** Checks that run or wait for one; callers beyond that are told to come back. */
const MAX_UNDER_WAY = 256;

export type PasswordVerdict = "right" | "wrong" | "busy";

export class PasswordCheck {
  readonly #now: () => number;
  readonly #nobodysHash: string;
  readonly #secret = randomBytes(32);
  /** Keyed hash of name, password and stored hash -> until when it counts. */
  readonly #right = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(now: () => number, cost?: ScryptCost) {
    this.#now = now;
    this.#nobodysHash = nobodysHash(cost);
  }

  /** Takes as long for a name that nobody has. */
  check(user: UserRecord | undefined, name: string, password: string): PasswordVerdict | Promise<PasswordVerdict> {
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return "wrong";
    const stored = user?.passwordHash || this.#nobodysHash;
    // The stored hash is part of it: a new password ends what was remembered of the old one.
    const memory = createHmac("sha256", this.#secret).update(JSON.stringify([name, password, stored])).digest("base64");
    const untilMs = this.#right.get(memory);
    if (untilMs !== undefined && untilMs > this.#now()) return "right";
    if (this.#running + this.#waiting.length >= MAX_UNDER_WAY) return "busy";
    return this.#verify(password, stored).then((fits) => {
      if (!fits || !user) return "wrong";
      putLast(this.#right, memory, this.#now() + REMEMBER_MS, MAX_REMEMBERED);
      return "right";
    });
  }

  async #verify(password: string, stored: string): Promise<boolean> {
    if (this.#running < AT_ONCE) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await isPassword(password, stored);
    } finally {
      // Who waits longest takes the place over.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
