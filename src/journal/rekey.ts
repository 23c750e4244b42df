// Copies a data directory under another key, or none: how a journal that is there becomes encrypted, and how a key is exchanged. In place
// it could not be done: LMDB leaves what was there before in pages that it has not used again. Called by the command `rekey`.
import { constants, copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { LmdbIdentityStore } from "./lmdb-identity-store.js";
import { LmdbJournal } from "./lmdb-journal.js";
import type { VaultKey } from "./vault-key.js";

/** A data directory, and what it is encrypted with; null for nothing. */
export interface KeyedDirectory {
  readonly directory: string;
  readonly key: VaultKey | null;
}

/** Where secrets of callbacks lie when the configuration does not say. Of another kind than the rest: a plain file. */
export const CALLBACK_SECRETS_FILE = "callback-secrets";

/**
 * All of `from`, of which no router may run, in `to`, which must not be there. `to` appears when it is whole. Throws with what to do;
 * `from` stays as it is in any case.
 */
export async function rekey(from: KeyedDirectory, to: KeyedDirectory): Promise<void> {
  if (!existsSync(path.join(from.directory, "journal.mdb"))) throw new Error(`There is no journal in ${from.directory}: name the data directory of a router.`);
  if (existsSync(to.directory)) throw new Error(`${to.directory} is there already: name a directory that is not.`);
  const partial = `${to.directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  const source = await LmdbJournal.open(from.directory, from.key);
  try {
    mkdirSync(partial, { recursive: true, mode: 0o700 });
    const target = await LmdbJournal.open(partial, to.key);
    await source.copyTo(target).finally(() => target.close());
    await copyIdentity(from, { ...to, directory: partial });
    const secrets = path.join(from.directory, CALLBACK_SECRETS_FILE);
    if (existsSync(secrets)) copyFileSync(secrets, path.join(partial, CALLBACK_SECRETS_FILE), constants.COPYFILE_EXCL);
    renameSync(partial, to.directory);
  } finally {
    await source.close();
  }
}

async function copyIdentity(from: KeyedDirectory, to: KeyedDirectory): Promise<void> {
  const source = new LmdbIdentityStore(from.directory, from.key);
  try {
    const target = new LmdbIdentityStore(to.directory, to.key);
    await source.copyTo(target).finally(() => target.close());
  } finally {
    await source.close();
  }
}
