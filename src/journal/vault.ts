// What stands between the tables of a data directory and the disk: nothing, or AES-256-GCM under the operator's key. Used by
// `sealed-table.ts` and the two stores; knows nothing of what is stored.
//
// LMDB's own encryption (lmdb 3.5.6, `encryptionKey`) is not used: its key stream depends on the number of a page alone, so that two
// versions of a page, or a file and its backup, give away the XOR of what was in them; and it notices no change.
import { createCipheriv, createDecipheriv, createSecretKey, hash, hkdfSync, randomBytes, type KeyObject } from "node:crypto";
import { CorruptJournalError } from "./codec.js";
import type { VaultKey } from "./vault-key.js";

/** Turns what is stored into what lies on the disk, and back. A value is bound to its place: it cannot be moved to another unnoticed. */
export interface Vault {
  /** Of the key; "" where nothing is encrypted. */
  readonly keyId: string;
  seal(place: string, value: Buffer): Buffer;
  /** Throws CorruptJournalError when it is not what was sealed for this place under this key. */
  open(place: string, stored: Buffer): Buffer;
  /** What stands for a name that must not be read on the disk: the same for the same name. */
  blind(name: string): string;
}

/** Stores everything as it is. */
export const PLAIN: Vault = { keyId: "", seal: (_, value) => value, open: (_, stored) => stored, blind: (name) => name };

const CIPHER = "aes-256-gcm";
const LIFE_BYTES = 16;
const COUNTER_BYTES = 8;
const HEADER_BYTES = LIFE_BYTES + COUNTER_BYTES;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** Of base64url: 132 bits. */
const BLIND_CHARACTERS = 22;
/** UUIDs of version 7, as the router makes them, keep their time: entries of one commit then lie together, which saves two thirds of its time. */
const TIME_ORDERED = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME_CHARACTERS = 13;
/** Keys of earlier lives that are remembered. */
const MAX_LIVES = 256;

/**
 * Stored is: life, counter, ciphertext, tag. Each life of the process has a key of its own, derived from the operator's and a random
 * salt, and counts its values, which makes the nonce: none comes twice under a key, however many values and restarts there are.
 */
export class KeyVault implements Vault {
  readonly keyId: string;
  readonly #secret: KeyObject;
  readonly #life = randomBytes(LIFE_BYTES);
  readonly #lifeKey: KeyObject;
  readonly #lives = new Map<string, KeyObject>();
  /** 64 characters, a whole block of the hash. */
  readonly #nameKey: string;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  #count = 0;

  constructor({ secret, id }: VaultKey) {
    this.keyId = id;
    this.#secret = secret;
    this.#lifeKey = this.#keyOf(this.#life);
    this.#nameKey = this.#derive(Buffer.alloc(0), "names").toString("hex");
  }

  /** About 3 µs, and 1 ms a MiB. */
  seal(place: string, value: Buffer): Buffer {
    const nonce = this.#nonce;
    this.#count += 1;
    nonce.writeUInt32BE(Math.floor(this.#count / 2 ** 32), NONCE_BYTES - COUNTER_BYTES);
    nonce.writeUInt32BE(this.#count >>> 0, NONCE_BYTES - 4);
    const cipher = createCipheriv(CIPHER, this.#lifeKey, nonce).setAAD(Buffer.from(place));
    const body = cipher.update(value);
    cipher.final();
    const out = Buffer.allocUnsafe(HEADER_BYTES + value.byteLength + TAG_BYTES);
    out.set(this.#life);
    out.set(nonce.subarray(NONCE_BYTES - COUNTER_BYTES), LIFE_BYTES);
    out.set(body, HEADER_BYTES);
    out.set(cipher.getAuthTag(), HEADER_BYTES + body.byteLength);
    return out;
  }

  open(place: string, stored: Buffer): Buffer {
    try {
      const end = stored.byteLength - TAG_BYTES;
      const key = this.#keyOf(stored.subarray(0, LIFE_BYTES));
      const nonce = Buffer.alloc(NONCE_BYTES);
      stored.copy(nonce, NONCE_BYTES - COUNTER_BYTES, LIFE_BYTES, HEADER_BYTES);
      const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(place)).setAuthTag(stored.subarray(end));
      const value = decipher.update(stored.subarray(HEADER_BYTES, end));
      decipher.final();
      return value;
    } catch (error) {
      throw new CorruptJournalError(`What is stored as ${place} was changed, or was sealed with another key.`, { cause: error });
    }
  }

  /** Half of a SHA-256 that begins with a key: what is cut off is what it would take to continue it. 0.3 µs, where HMAC takes 2. */
  blind(name: string): string {
    const blinded = hash("sha256", this.#nameKey + name, "base64url").slice(0, BLIND_CHARACTERS);
    return TIME_ORDERED.test(name) ? name.slice(0, TIME_CHARACTERS) + blinded : blinded;
  }

  #keyOf(life: Buffer): KeyObject {
    const name = life.toString("latin1");
    const known = this.#lives.get(name);
    if (known) return known;
    if (this.#lives.size >= MAX_LIVES) this.#lives.clear();
    const key = createSecretKey(this.#derive(life, "values"));
    this.#lives.set(name, key);
    return key;
  }

  #derive(salt: Buffer, purpose: string): Buffer {
    return Buffer.from(hkdfSync("sha256", this.#secret, salt, `gpu-router ${purpose}`, 32));
  }
}

/**
 * The vault for a file of ours. `sealedBy`: the id of the key that it says it is encrypted with, "" when it is not, null for a new
 * file. Throws with what to do when that is not the key at hand.
 */
export function vaultFor(file: string, key: VaultKey | null, sealedBy: string | null): Vault {
  const found = sealedBy ?? key?.id ?? "";
  if (found === (key?.id ?? "")) return key ? new KeyVault(key) : PLAIN;
  if (!key) throw new Error(`${file} is encrypted, with key ${found}: name the file that holds it in journal.encryption_key_file. Commands with --data take it from --config, rekey from --key-file.`);
  if (found === "") throw new Error(`${file} is not encrypted, and journal.encryption_key_file asks for that. Make an encrypted copy of the directory (gpu-router rekey --help), or leave the key out.`);
  throw new Error(`${file} is encrypted with key ${found}, and ${key.file} holds key ${key.id}: name the right file in journal.encryption_key_file, or choose another directory with --data.`);
}
