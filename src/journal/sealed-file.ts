// A file of LMDB in a data directory, as the stores of this folder open it: one of ours, for its owner alone, of a format that this version
// reads, under the key at hand.
import { chmodSync, mkdirSync } from "node:fs";
import path from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";
import { checkLmdbFile } from "./lmdb-file.js";
import { vaultFor, type Vault } from "./vault.js";
import type { VaultKey } from "./vault-key.js";

export interface SealedFile {
  readonly root: RootDatabase<Buffer, string>;
  /** Numbers and names that say nothing about anybody, in plain text. */
  readonly meta: Database<Buffer, string>;
  readonly vault: Vault;
}

/** The format of what is stored; another one is refused rather than guessed at. The second is the first, encrypted. */
const FORMAT = 1;
const SEALED_FORMAT = 2;

/** Creates what is missing. Throws when the file is not one of ours, of another format, or not under `key` (null: not encrypted). */
export function openSealedFile(file: string, maxTables: number, key: VaultKey | null): SealedFile {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  checkLmdbFile(file);
  // Every commit here is a batch already. The batches of an event turn would add promises that nobody can catch when they fail.
  const root: RootDatabase<Buffer, string> = open({ path: file, encoding: "binary", maxDbs: maxTables, eventTurnBatching: false });
  // What callers sent, and hashes of passwords: nobody else on the machine reads it.
  chmodSync(file, 0o600);
  const meta: Database<Buffer, string> = root.openDB({ name: "meta", encoding: "binary" });
  try {
    const format = storedNumber(meta, "format");
    if (format !== 0 && format !== FORMAT && format !== SEALED_FORMAT) throw new Error(`${file} has format ${format}; this version reads format ${FORMAT}, and ${SEALED_FORMAT} with a key.`);
    return { root, meta, vault: vaultFor(file, key, format === 0 ? null : (meta.get("key")?.toString() ?? "")) };
  } catch (error) {
    void root.close();
    throw error;
  }
}

/** To be called in the transaction that first puts something in. */
export function putFormat({ meta, vault: { keyId } }: SealedFile): void {
  void meta.put("format", Buffer.from(`${keyId === "" ? FORMAT : SEALED_FORMAT}`));
  if (keyId !== "") void meta.put("key", Buffer.from(keyId));
}

/** A number of the meta table; 0 when it is not there. */
export function storedNumber(meta: SealedFile["meta"], key: string): number {
  return Number(meta.get(key)?.toString() ?? 0);
}
