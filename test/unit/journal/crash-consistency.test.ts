// A crash at any moment leaves a journal that recovers to the state after some batch, and never to less than was acknowledged.
// The copy stands for the crash: while it is made this thread issues nothing, so at most the commit under way writes on, and
// the file is read from its beginning, where the roots are, to whatever its end is by then.
import { closeSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import type { RequestId } from "../../../src/core/model/ids.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { seededRandom } from "../../../src/lib/random.js";
import { recoverEngine, Story, type Chapter } from "./story.js";
import { openJournal, temporaryFolder } from "./temporary-folder.js";

const SEED = Number(process.env["GPU_ROUTER_SEED"] ?? 20_261);
const CHAPTERS = 400;
const COPIES = 40;
/** More than LMDB's binding takes before it begins to write. */
const BULK = 2_000;

function copyAsCrashed(from: string, to: string): void {
  mkdirSync(to);
  for (const name of ["journal.mdb", "journal.mdb-lock"]) {
    const source = openSync(path.join(from, name), "r");
    const target = openSync(path.join(to, name), "w");
    const chunk = Buffer.alloc(1 << 20);
    for (let length = readSync(source, chunk); length > 0; length = readSync(source, chunk)) writeSync(target, chunk, 0, length);
    closeSync(source);
    closeSync(target);
  }
}

test(`copies taken while it is written recover to a prefix (GPU_ROUTER_SEED=${SEED})`, async () => {
  const folder = await temporaryFolder();
  const journal = await openJournal(path.join(folder, "data"));
  journal.recover();
  const random = seededRandom(SEED);
  const story = new Story(SEED);
  const chapters: Chapter[] = [];
  const crashes: { readonly directory: string; readonly acknowledged: number }[] = [];
  let acknowledged = 0;
  for (let index = 0; index < CHAPTERS; index += 1) {
    const chapter = story.chapter(random() < 0.05);
    chapters.push(chapter);
    const durable = journal.append(chapter.batch).then(() => (acknowledged = index + 1));
    if (crashes.length < COPIES && random() < COPIES / CHAPTERS + 0.05) {
      // Somewhere between the start of the commit and its end.
      for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      const directory = path.join(folder, `crash-${index}`);
      crashes.push({ directory, acknowledged });
      copyAsCrashed(journal.directory, directory);
    }
    await durable;
  }
  expect(crashes).toHaveLength(COPIES);
  const wasUnderWay = crashes.filter(({ acknowledged: before, directory }) => Number(path.basename(directory).slice("crash-".length)) + 1 > before);
  expect(wasUnderWay.length).toBeGreaterThan(5);

  for (const crash of crashes) {
    const recovered = await LmdbJournal.open(crash.directory);
    const engine = recoverEngine(recovered);
    const survived = chapters.findIndex(({ batch }) => batch.firstSequence + batch.records.length === recovered.nextSequence);
    const chapter = chapters[survived];
    expect(survived + 1).toBeGreaterThanOrEqual(crash.acknowledged);
    if (survived === -1) {
      expect(recovered.nextSequence).toBe(1);
    } else {
      expect(engine.state.digest()).toBe(chapter!.digest);
      // Ends are stored with their records: neither without the other.
      expect(engine.state.endedCount).toBe(chapter!.ended.size);
      const listed = recovered.listFinished(0, 100_000).requests.map(({ spec }) => spec.requestId);
      expect(listed).toEqual([...chapter!.ended.keys()].toReversed());
      for (const [requestId, { result }] of chapter!.ended) expect(Buffer.from(recovered.result(requestId) ?? [])).toEqual(Buffer.from(result));
    }
    await recovered.close();
  }
}, 60_000);

test("a batch of thousands is there as a whole or not at all", async () => {
  const folder = await temporaryFolder();
  const journal = await openJournal(path.join(folder, "data"));
  journal.recover();
  const story = new Story(SEED);
  for (let index = 0; index < 50; index += 1) await journal.append(story.chapter().batch);
  const count = (of: LmdbJournal): number => of.listFinished(0, 100_000).requests.length;
  const model = journal.listFinished(0, 1).requests[0]!;
  const copies: { readonly directory: string; readonly before: number; readonly firstSequence: number }[] = [];
  for (let round = 0; round < 8; round += 1) {
    const before = count(journal);
    const firstSequence = journal.nextSequence;
    const many = Array.from({ length: BULK }, (_, index) => ({ request: { ...model, spec: { ...model.spec, requestId: `bulk-${round}-${index}` as RequestId } }, result: new Uint8Array(100) }));
    const durable = journal.append({ firstSequence, records: [{ kind: "state_digest", digest: story.engine.state.digest() }], ended: many, snapshot: null });
    for (let turn = 0; turn < 3; turn += 1) {
      const directory = path.join(folder, `copy-${round}-${turn}`);
      copies.push({ directory, before, firstSequence });
      copyAsCrashed(journal.directory, directory);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await durable;
  }
  let without = 0;
  for (const { directory, before, firstSequence } of copies) {
    const copy = await LmdbJournal.open(directory);
    recoverEngine(copy);
    const written = copy.nextSequence > firstSequence;
    expect(count(copy)).toBe(written ? before + BULK : before);
    if (!written) without += 1;
    await copy.close();
  }
  // Or it would have shown nothing.
  expect(without).toBeGreaterThan(0);
}, 60_000);
