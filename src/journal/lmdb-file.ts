// Looks at a database file before LMDB does, which (lmdb 3.5.6) ends the process with a segmentation fault when the file is
// something else. Called by sealed-file.ts. Damage further inside is found by checksums, not here.
import { closeSync, openSync, readSync } from "node:fs";

/** The first meta page: a page header of 24 bytes, then LMDB's stamp. */
const HEADER_BYTES = 28;
const STAMP_OFFSET = 24;
const STAMP = 0xbeefc0de;

/** Throws with what to do when `file` is there, is not empty, and is not a database of LMDB. */
export function checkLmdbFile(file: string): void {
  const header = Buffer.alloc(HEADER_BYTES);
  let length = 0;
  try {
    const descriptor = openSync(file, "r");
    length = readSync(descriptor, header);
    closeSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if (length === 0 || (length === HEADER_BYTES && header.readUInt32LE(STAMP_OFFSET) === STAMP)) return;
  throw new Error(`${file} cannot be opened: it is not a journal, or its beginning is damaged. Restore it from a backup, or choose another directory with --data.`);
}
