// The key of encryption at rest, from its file. Called by whoever opens a data directory; what the key does is in `vault.ts`.
import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

const VAULT_KEY_BYTES = 32;
const HOW = `Make one: (umask 077; openssl rand -base64 ${VAULT_KEY_BYTES} > FILE)`;

export interface VaultKey {
  readonly secret: KeyObject;
  /** 16 hexadecimal digits that tell keys apart and say nothing of the secret. */
  readonly id: string;
  /** Where it came from, for people. */
  readonly file: string;
}

/** null for "". Throws with what to do when there is no key there, or when others may read it. Never quotes the file. */
export function readVaultKey(file: string): VaultKey | null {
  if (file === "") return null;
  const fail = (trouble: string): never => {
    throw new Error(`The encryption key ${file} (journal.encryption_key_file) cannot be used: ${trouble}`);
  };
  let text: string;
  let mode: number;
  try {
    ({ mode } = statSync(file));
    text = readFileSync(file, "latin1").trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return fail(code === "ENOENT" ? `it is not there. ${HOW}` : message);
  }
  if (process.platform !== "win32" && (mode & 0o077) !== 0) return fail(`others may read or write it (mode ${(mode & 0o777).toString(8).padStart(4, "0")}). Do: chmod 600 ${file}`);
  const hex = /^[0-9a-f]{64}$/i.test(text);
  if (!hex && !/^[A-Za-z0-9+/]{43}=$/.test(text)) return fail(`it must hold ${VAULT_KEY_BYTES} random bytes in base64 or hexadecimal digits, and nothing else. ${HOW}`);
  return vaultKey(Buffer.from(text, hex ? "hex" : "base64"), file);
}

/** From its 32 bytes. */
export function vaultKey(bytes: Buffer, file: string): VaultKey {
  const secret = createSecretKey(bytes);
  return { secret, id: Buffer.from(hkdfSync("sha256", secret, "", "gpu-router key id", 8)).toString("hex"), file };
}
