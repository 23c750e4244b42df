// Passwords of people: scrypt, which needs memory, so that guessing a stolen hash is dear. Off the event loop, few at a time: it runs in
// the pool of threads that the journal's commits need too.
import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from "node:crypto";

/** Work of one hash: memory is 128 · blockSize · 2^logN bytes, 32 MiB by default; time about a quarter of a second. */
export interface ScryptCost {
  readonly logN: number;
  readonly blockSize: number;
  readonly parallel: number;
}

/** What OWASP advises for 32 MiB. */
const DEFAULT_COST: ScryptCost = { logN: 15, blockSize: 8, parallel: 3 };

const SALT_BYTES = 16;
const HASH_BYTES = 32;
const STORED = /^scrypt\$(\d{1,2})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/;
export const MIN_PASSWORD_LENGTH = 12;
export const MAX_PASSWORD_BYTES = 1_024;

/** "scrypt$15$8$3$<salt>$<hash>": says itself how it was made. */
export async function hashPassword(password: string, cost: ScryptCost = DEFAULT_COST): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const derived = await derive(password, salt, cost);
  return ["scrypt", cost.logN, cost.blockSize, cost.parallel, salt.toString("base64url"), derived.toString("base64url")].join("$");
}

/** Compares in constant time. Throws when `stored` is not of `hashPassword`. */
export async function isPassword(password: string, stored: string): Promise<boolean> {
  const [, logN, blockSize, parallel, salt = "", wanted = ""] = STORED.exec(stored) ?? [];
  if (wanted === "") throw new Error("Invariant broken: a stored password hash has another form");
  const cost = { logN: Number(logN), blockSize: Number(blockSize), parallel: Number(parallel) };
  return timingSafeEqual(await derive(password, Buffer.from(salt, "base64url"), cost), Buffer.from(wanted, "base64url"));
}

/** A hash that no password has, of the same cost: checking against it takes as long as checking a real one. */
export function nobodysHash(cost: ScryptCost = DEFAULT_COST): string {
  return ["scrypt", cost.logN, cost.blockSize, cost.parallel, randomBytes(SALT_BYTES).toString("base64url"), randomBytes(HASH_BYTES).toString("base64url")].join("$");
}

function derive(password: string, salt: Buffer, { logN, blockSize, parallel }: ScryptCost): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** logN, r: blockSize, p: parallel, maxmem: 256 * blockSize * 2 ** logN };
  return new Promise((resolve, reject) => {
    // The same letters may be typed composed or not.
    scrypt(password.normalize("NFKC"), salt, HASH_BYTES, options, (error, derived) => (error ? reject(error) : resolve(derived)));
  });
}
