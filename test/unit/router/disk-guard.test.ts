import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { DiskGuard, type GuardedJournal } from "../../../src/router/disk-guard.js";
import { keptLog, turn } from "./fakes.js";

const MIB = 1 << 20;
let free: { bytes: number; totalBytes: number } | Error;
let journal: { -readonly [K in keyof GuardedJournal]: GuardedJournal[K] };
let guard: DiskGuard | null;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ["setImmediate", "queueMicrotask", "nextTick"] });
  free = { bytes: 500_000 * MIB, totalBytes: 1_000_000 * MIB };
  guard = null;
  journal = {
    directory: "/data",
    bytesWritten: 0,
    freeSpace: () => (free instanceof Error ? Promise.reject(free) : Promise.resolve(free)),
  };
});
afterEach(() => {
  guard?.stop();
  jest.useRealTimers();
});

/** The guard looks again. */
async function look(): Promise<void> {
  jest.advanceTimersByTime(250);
  await turn();
}

async function guarded(): Promise<ReturnType<typeof keptLog>["lines"]> {
  const { log, lines } = keptLog();
  guard = new DiskGuard(journal, log);
  await turn();
  return lines;
}

test("work is taken while there is room, and before the first look", async () => {
  const { log } = keptLog();
  guard = new DiskGuard(journal, log);
  expect(guard.full).toBe("");
  await turn();
  expect(guard.full).toBe("");
});

test("a large disk keeps 256 MiB free, a small one a tenth of itself", async () => {
  await guarded();
  free = { bytes: 257 * MIB, totalBytes: 1_000_000 * MIB };
  await look();
  expect(guard!.full).toBe("");
  free = { bytes: 255 * MIB, totalBytes: 1_000_000 * MIB };
  await look();
  expect(guard!.full).toBe("261120 KiB free in /data");
  free = { bytes: 0.41 * MIB, totalBytes: 4 * MIB };
  await look();
  expect(guard!.full).toBe("");
  free = { bytes: 0.39 * MIB, totalBytes: 4 * MIB };
  await look();
  expect(guard!.full).toBe("399 KiB free in /data");
});

test("what was written since the last look counts, so that a burst cannot outrun it", async () => {
  journal.bytesWritten = 1_000 * MIB;
  free = { bytes: 2 * MIB, totalBytes: 4 * MIB };
  await guarded();
  journal.bytesWritten += 1.5 * MIB;
  expect(guard!.full).toBe("");
  journal.bytesWritten += 0.2 * MIB;
  expect(guard!.full).toMatch(/^307 KiB free/);
  journal.bytesWritten += 10 * MIB;
  expect(guard!.full).toMatch(/^0 KiB free/);
  // LMDB writes into pages that it has freed: the disk itself has the last word.
  await look();
  expect(guard!.full).toBe("");
});

test("each change is said once", async () => {
  const lines = await guarded();
  free = { bytes: 1, totalBytes: 4 * MIB };
  for (let looks = 0; looks < 3; looks += 1) await look();
  free = { bytes: 3 * MIB, totalBytes: 4 * MIB };
  for (let looks = 0; looks < 3; looks += 1) await look();
  expect(lines.map(({ msg }) => msg)).toEqual(["disk nearly full: refusing new requests until there is room", "disk has room again: accepting requests"]);
});

test("a disk that cannot be asked changes nothing and is said", async () => {
  free = { bytes: 1, totalBytes: 4 * MIB };
  const lines = await guarded();
  free = new Error("stale file handle");
  await look();
  expect(guard!.full).not.toBe("");
  expect(lines.at(-1)).toMatchObject({ msg: "cannot read the free disk space", error: "Error: stale file handle" });
});
