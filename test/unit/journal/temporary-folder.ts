// Folders and open journals that go with the test that made them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach } from "@jest/globals";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "gpu-router-journal-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Closed with the test unless the test closes it. */
export async function openJournal(directory: string): Promise<LmdbJournal> {
  const journal = await LmdbJournal.open(directory);
  cleanUps.push(() => journal.close().catch(() => {}));
  return journal;
}
