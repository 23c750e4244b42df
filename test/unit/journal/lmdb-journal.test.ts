import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { open } from "lmdb";
import type { RequestId } from "../../../src/core/model/ids.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { recoverEngine, STARTED_AT_MS, Story, type Chapter } from "./story.js";
import { openJournal, temporaryFolder } from "./temporary-folder.js";

/** Writes `chapters` chapters; those in `snapshotAt` carry a snapshot. */
async function write(journal: LmdbJournal, story: Story, chapters: number, snapshotAt: readonly number[] = []): Promise<Chapter[]> {
  const written: Chapter[] = [];
  for (let index = 0; index < chapters; index += 1) {
    const chapter = story.chapter(snapshotAt.includes(index));
    await journal.append(chapter.batch);
    written.push(chapter);
  }
  return written;
}

/** Does something to the tables behind the journal's back. */
async function tamper(directory: string, change: (table: (name: string) => { put(key: unknown, value: Buffer): unknown; remove(key: unknown): unknown; get(key: unknown): Buffer | undefined; getKeys(): Iterable<unknown> }) => void): Promise<void> {
  const root = open({ path: path.join(directory, "journal.mdb"), encoding: "binary", maxDbs: 8 });
  change((name) => root.openDB({ name, encoding: "binary" }));
  await root.flushed;
  await root.close();
}

describe("Appending and recovering", () => {
  test("a new directory is created and recovers to nothing", async () => {
    const directory = path.join(await temporaryFolder(), "deep", "down");
    const journal = await openJournal(directory);
    const { snapshot, records } = journal.recover();
    expect(snapshot).toBeNull();
    expect([...records]).toEqual([]);
    expect(journal.nextSequence).toBe(1);
    expect(journal.listFinished(0, 10)).toEqual({ requests: [], nextOrder: 0 });
    expect(journal.finished("nobody" as RequestId)).toBeNull();
    expect(journal.result("nobody" as RequestId)).toBeNull();
  });

  test("a new directory, and its file wherever it lies, are closed to others on the machine", async () => {
    const mode = (file: string): number => statSync(file).mode & 0o777;
    const parent = await temporaryFolder();
    for (const directory of [path.join(parent, "new"), parent]) {
      chmodSync(parent, 0o755);
      await (await openJournal(directory)).close();
      expect([mode(directory), mode(path.join(directory, "journal.mdb"))]).toEqual([directory === parent ? 0o755 : 0o700, 0o600]);
    }
  });

  test("what was appended is folded to the same state, and appending goes on behind it", async () => {
    const directory = await temporaryFolder();
    const story = new Story(1);
    const first = await openJournal(directory);
    first.recover();
    const before = await write(first, story, 200);
    await first.close();

    const second = await openJournal(directory);
    expect(recoverEngine(second).state.digest()).toBe(before.at(-1)!.digest);
    const after = await write(second, story, 50);
    await second.close();

    const third = await openJournal(directory);
    expect(recoverEngine(third).state.digest()).toBe(after.at(-1)!.digest);
    expect(third.nextSequence).toBe(after.at(-1)!.batch.firstSequence + after.at(-1)!.batch.records.length);
  });

  test("records come back as they were written, payloads included", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const written = await write(journal, new Story(2), 60);
    await journal.close();
    const again = await openJournal(directory);
    const recovered = [...again.recover().records];
    const expected = plain(written.flatMap(({ batch }) => batch.records));
    expect(plain(recovered)).toEqual(expected);
    // Their payloads are their own, not windows into pages that are written again.
    const { ended } = written.at(-1)!;
    const rubbish = [...ended.values()].map(({ request }) => ({ request, result: new Uint8Array(50_000).fill(0xff) }));
    for (let round = 0; round < 20; round += 1) {
      await again.append({ firstSequence: again.nextSequence, records: [{ kind: "state_digest", digest: round }], ended: rubbish, snapshot: null });
      await again.purge(0, 0, 100_000);
    }
    expect(plain(recovered)).toEqual(expected);
  });

  test("finished requests and results are there with their records, newest first, in pages", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const { ended } = (await write(journal, new Story(3), 300)).at(-1)!;
    expect(ended.size).toBeGreaterThan(30);
    for (const [requestId, { request, result }] of ended) {
      const stored = journal.finished(requestId);
      expect(stored).toMatchObject({ phase: request.phase, endedAtMs: request.endedAtMs, error: request.error, statistics: request.statistics, decision: request.decision });
      expect(stored?.spec.payload.byteLength).toBe(0);
      expect(Buffer.from(journal.result(requestId) ?? [])).toEqual(Buffer.from(result));
    }
    const listed: string[] = [];
    for (let order = 0, first = true; first || order > 0; first = false) {
      const page = journal.listFinished(order, 7);
      listed.push(...page.requests.map(({ spec }) => spec.requestId));
      order = page.nextOrder;
    }
    expect(listed).toEqual([...ended.keys()].toReversed());
  });

  test("what was read stays as it was while the journal is read and written further", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const story = new Story(4);
    const { ended } = (await write(journal, story, 200)).at(-1)!;
    const results = [...ended].filter(([, { result }]) => result.byteLength > 0).map(([requestId, { result }]) => ({ read: journal.result(requestId), result }));
    expect(results.length).toBeGreaterThan(5);
    await write(journal, story, 100);
    await journal.purge(Number.POSITIVE_INFINITY, 0, 100_000);
    await write(journal, story, 100, [10, 50]);
    for (const { read, result } of results) expect(Buffer.from(read ?? [])).toEqual(Buffer.from(result));
  });

  test("a result is there whatever its size, beside its request or in it, until it is dropped", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const { ended } = (await write(journal, new Story(6), 100)).at(-1)!;
    const sizes = [1, 4_096, 4_097, 100_000];
    const finished = [...ended.values()].slice(0, sizes.length).map(({ request }, index) => ({ request, result: new Uint8Array(sizes[index]!).fill(index + 1) }));
    await journal.append({ firstSequence: journal.nextSequence, records: [{ kind: "state_digest", digest: 0 }], ended: finished, snapshot: null });
    expect(finished.map(({ request }) => journal.result(request.spec.requestId)?.byteLength)).toEqual(sizes);
    await journal.purge(Number.POSITIVE_INFINITY, 0, 100_000);
    expect(finished.map(({ request }) => journal.result(request.spec.requestId))).toEqual(sizes.map(() => null));
  });

  test("a batch that does not follow the last one is refused", async () => {
    const journal = await openJournal(await temporaryFolder());
    journal.recover();
    const story = new Story(5);
    const { batch } = story.chapter();
    await journal.append(batch);
    await expect(journal.append(batch)).rejects.toThrow(/Appended 1, expected/);
    const next = story.chapter().batch;
    await expect(journal.append({ ...next, firstSequence: next.firstSequence + 1 })).rejects.toThrow(/expected/);
    await journal.append(next);
  });
});

describe("Snapshots", () => {
  test("a recovery starts from the last one and folds what came after it", async () => {
    const directory = await temporaryFolder();
    const story = new Story(6);
    const journal = await openJournal(directory);
    journal.recover();
    const written = await write(journal, story, 120, [40, 80]);
    await journal.close();
    const again = await openJournal(directory);
    const { snapshot, records } = again.recover();
    expect(snapshot?.digest).toBe(written[80]!.digest);
    expect([...records]).toHaveLength(written.slice(81).reduce((sum, { batch }) => sum + batch.records.length, 0));
    expect(again.bytesSinceSnapshot).toBe(journal.bytesSinceSnapshot);
    expect(again.snapshotBytes).toBeGreaterThan(0);
    await again.close();
    expect(recoverEngine(await openJournal(directory)).state.digest()).toBe(written.at(-1)!.digest);
  });

  test("one without records, as a router writes it when it stops, leaves nothing to fold", async () => {
    const directory = await temporaryFolder();
    const story = new Story(7);
    const journal = await openJournal(directory);
    journal.recover();
    await write(journal, story, 50);
    const { takeSnapshot } = await import("../../../src/core/snapshot.js");
    await journal.append({ firstSequence: journal.nextSequence, records: [], ended: [], snapshot: takeSnapshot(story.engine.state) });
    expect(journal.bytesSinceSnapshot).toBe(0);
    await journal.close();
    const again = await openJournal(directory);
    const { records } = again.recover();
    expect([...records]).toEqual([]);
    const more = await write(again, story, 3);
    await again.close();
    expect(recoverEngine(await openJournal(directory)).state.digest()).toBe(more.at(-1)!.digest);
  });
});

describe("Trouble", () => {
  test("a missing frame is a gap and is named", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const written = await write(journal, new Story(8), 10);
    await journal.close();
    const missing = written[4]!.batch.firstSequence;
    await tamper(directory, (table) => table("log").remove(missing));
    const again = await openJournal(directory);
    expect(() => recoverEngine(again)).toThrow(`The journal has a gap: record ${missing} is missing, ${written[5]!.batch.firstSequence} is next.`);
  });

  test("a frame with a flipped bit is refused and named", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    const written = await write(journal, new Story(9), 10);
    await journal.close();
    const { firstSequence } = written[6]!.batch;
    await tamper(directory, (table) => {
      const frame = Buffer.from(table("log").get(firstSequence)!);
      frame[Math.floor(frame.length / 2)]! ^= 0x10;
      table("log").put(firstSequence, frame);
    });
    const again = await openJournal(directory);
    expect(() => recoverEngine(again)).toThrow(`The checksum of frame ${firstSequence} does not match its bytes.`);
  });

  test("a snapshot that was damaged is refused", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    await write(journal, new Story(10), 10, [9]);
    await journal.close();
    await tamper(directory, (table) => {
      const snapshot = Buffer.from(table("meta").get("snapshot")!);
      table("meta").put("snapshot", snapshot.subarray(0, snapshot.length - 1));
    });
    const again = await openJournal(directory);
    expect(() => again.recover()).toThrow(/checksum of the snapshot/);
  });

  test("another format is refused, and the directory is free again", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    journal.recover();
    await write(journal, new Story(11), 1);
    await journal.close();
    await tamper(directory, (table) => table("meta").put("format", Buffer.from("99")));
    await expect(LmdbJournal.open(directory)).rejects.toThrow(/journal\.mdb has format 99; this version reads format 1/);
    await tamper(directory, (table) => table("meta").put("format", Buffer.from("1")));
    await openJournal(directory);
  });

  test("a file that is no journal is refused with the directory's name, and the directory is free again", async () => {
    const directory = path.join(await temporaryFolder(), "data");
    mkdirSync(directory);
    writeFileSync(path.join(directory, "journal.mdb"), Buffer.alloc(65_536, "not a journal "));
    await expect(LmdbJournal.open(directory)).rejects.toThrow(`${path.join(directory, "journal.mdb")} cannot be opened: it is not a journal`);
    writeFileSync(path.join(directory, "journal.mdb"), "cut");
    await expect(LmdbJournal.open(directory)).rejects.toThrow(/its beginning is damaged/);
    writeFileSync(path.join(directory, "journal.mdb"), "");
    expect((await openJournal(directory)).nextSequence).toBe(1);
  });

  test("a second opener is told what to do, and may come in when the first has closed", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    await expect(LmdbJournal.open(directory)).rejects.toThrow(/in use by another gpu-router process: stop that one, or choose another directory with --data/);
    await expect(LmdbJournal.open(`${directory}/../${path.basename(directory)}`)).rejects.toThrow(/in use/);
    await journal.close();
    await openJournal(directory);
  });
});

describe("Retention", () => {
  async function finished(journal: LmdbJournal): Promise<RequestId[]> {
    journal.recover();
    const { ended } = (await write(journal, new Story(12), 300)).at(-1)!;
    return [...ended.keys()];
  }
  const known = (journal: LmdbJournal): RequestId[] => journal.listFinished(0, 100_000).requests.map(({ spec }) => spec.requestId).toReversed();

  test("drops what ended too long ago, oldest first, with its result, and keeps the rest", async () => {
    const journal = await openJournal(await temporaryFolder());
    const ids = await finished(journal);
    const limit = journal.finished(ids[10]!)!.endedAtMs;
    const old = ids.filter((id) => journal.finished(id)!.endedAtMs < limit);
    expect(await journal.purge(limit, 1_000_000, 100_000)).toBe(old.length);
    expect(known(journal)).toEqual(ids.slice(old.length));
    for (const id of old) expect([journal.finished(id), journal.result(id)]).toEqual([null, null]);
    expect(await journal.purge(limit, 1_000_000, 100_000)).toBe(0);
  });

  test("keeps at most so many, however young, and drops no more than it may at a time", async () => {
    const journal = await openJournal(await temporaryFolder());
    const ids = await finished(journal);
    expect(await journal.purge(0, 5, 4)).toBe(4);
    expect(known(journal)).toEqual(ids.slice(4));
    expect(await journal.purge(0, 5, 100_000)).toBe(ids.length - 4 - 5);
    expect(known(journal)).toEqual(ids.slice(-5));
    expect(await journal.purge(STARTED_AT_MS, 5, 100_000)).toBe(0);
  });

  test("what was dropped stays dropped after a recovery, and new ends are listed before old ones", async () => {
    const directory = await temporaryFolder();
    const journal = await openJournal(directory);
    const ids = await finished(journal);
    await journal.purge(0, 3, 100_000);
    const kept = known(journal);
    // Whole commits at a time: the oldest that stays may have ended with others.
    expect(kept.length).toBeGreaterThanOrEqual(3);
    expect(kept).toEqual(ids.slice(-kept.length));
    expect(kept.length).toBeLessThan(ids.length);
    await journal.close();
    const again = await openJournal(directory);
    recoverEngine(again);
    expect(known(again)).toEqual(kept);
  });

  test("dropping all of them and ending more does not mix up the order", async () => {
    const directory = await temporaryFolder();
    const story = new Story(13);
    const journal = await openJournal(directory);
    journal.recover();
    await write(journal, story, 100);
    await journal.purge(0, 0, 100_000);
    expect(known(journal)).toEqual([]);
    await journal.close();
    const again = await openJournal(directory);
    recoverEngine(again);
    const more = await write(again, story, 100);
    const ends = more.flatMap(({ batch }) => batch.ended.map(({ request }) => request.spec.requestId));
    expect(known(again)).toEqual(ends);
  });
});

/** Without the difference between Buffer and Uint8Array. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}
