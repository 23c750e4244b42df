// API keys: 256 random bits in a form that people and scanners recognise, gr_<id>_<secret>. Only the SHA-256 of the whole text is
// kept: a fast hash is right here, because nobody guesses 256 bits.
import { hash, randomBytes, timingSafeEqual } from "node:crypto";

const FORM = /^gr_([a-z0-9]{12})_[A-Za-z0-9_-]{43}$/;
const ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ID_LENGTH = 12;
const SECRET_BYTES = 32;

/** A key that was just made. `text` is shown once and kept nowhere. */
export interface NewKey {
  readonly id: string;
  readonly text: string;
  /** SHA-256 of the text, base64url. */
  readonly digest: string;
}

export function makeKey(): NewKey {
  // 32 letters: five bits of each byte, none more likely than another.
  const id = Array.from(randomBytes(ID_LENGTH), (byte) => ID_ALPHABET[byte & 31]).join("");
  const text = `gr_${id}_${randomBytes(SECRET_BYTES).toString("base64url")}`;
  return { id, text, digest: keyDigest(text) };
}

/** The id in the text of a key; null when it does not have the form of one. */
export function keyIdOf(text: string): string | null {
  return FORM.exec(text)?.[1] ?? null;
}

/** How a key is shown: enough to find it, nothing to use it. */
export function keyPrefix(id: string): string {
  return `gr_${id}`;
}

/** SHA-256 of a key's text, base64url. */
export function keyDigest(text: string): string {
  return hash("sha256", text, "base64url");
}

/** Compares in constant time. `digest` is null for an id that nobody has: that takes as long. */
export function isKey(text: string, digest: string | null): boolean {
  const given = Buffer.from(keyDigest(text));
  const wanted = Buffer.from(digest ?? NOBODYS_DIGEST);
  return given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted) && digest !== null;
}

/** Of a text that has not the form of a key, so that none matches. */
const NOBODYS_DIGEST = keyDigest("nobody");
