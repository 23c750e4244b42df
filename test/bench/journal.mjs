// Journal commits: groups of whole request lives through LmdbJournal, plain and encrypted, against bare LMDB puts of as many bytes, in
// turn, on the same disk. Every commit is waited for until it is flushed.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { open } from "lmdb";
import { Engine } from "../../dist/src/core/engine.js";
import { DEFAULT_CORE_SETTINGS } from "../../dist/src/core/settings.js";
import { LmdbJournal } from "../../dist/src/journal/lmdb-journal.js";
import { vaultKey } from "../../dist/src/journal/vault-key.js";
import { benchSpec, connectNodes } from "./engine-fixture.mjs";

/** As the router makes them. */
function timeOrderedId(atMs) {
  const time = atMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

/** Records and ends of `count` whole lives, as the engine makes them. */
function livesOf(engine, count, first) {
  const records = [];
  const ended = [];
  const take = (step) => {
    records.push(...step.records);
    ended.push(...step.ended);
  };
  for (let index = 0; index < count; index += 1) {
    const spec = benchSpec(timeOrderedId(first + index));
    take(engine.step({ kind: "submit", spec }, 10));
    const { nodeId } = engine.state.requests.get(spec.requestId);
    const ref = { requestId: spec.requestId, attempt: 1 };
    take(engine.step({ kind: "attempt_started", nodeId, ref }, 20));
    take(engine.step({ kind: "attempt_ended", nodeId, ref, end: { outcome: "succeeded", error: null, result: new Uint8Array(64), resultContentType: "text/plain", statistics: null } }, 30));
  }
  return { records, ended };
}

/** How long `work` took, and what it took of the process's time, ms. */
async function timed(work) {
  const { user, system } = process.cpuUsage();
  const startedAt = performance.now();
  await work();
  const ms = performance.now() - startedAt;
  const cpu = process.cpuUsage({ user, system });
  return { ms, cpuMs: (cpu.user + cpu.system) / 1_000 };
}

/** Milliseconds per commit, journal plain and encrypted and bare LMDB, for groups of each size; the two journals' CPU time too. */
export async function benchJournal({ groups, commits }) {
  const folder = mkdtempSync(path.join(process.cwd(), ".cache", "bench-journal-"));
  try {
    const engine = new Engine({ ...DEFAULT_CORE_SETTINGS, maxConcurrentTasksPerGpu: 100 });
    engine.step({ kind: "take_over", epoch: 1 }, 0);
    connectNodes(engine, 1_000);
    const journal = await LmdbJournal.open(path.join(folder, "journal"));
    const encrypted = await LmdbJournal.open(path.join(folder, "encrypted"), vaultKey(randomBytes(32), ""));
    for (const each of [journal, encrypted]) each.recover();
    const bare = open({ path: path.join(folder, "bare.mdb"), encoding: "binary" });
    let sequence = 1;
    let lives = 0;
    const results = [];
    for (const group of groups) {
      const samples = { journalMs: [], journalCpuMs: [], encryptedMs: [], encryptedCpuMs: [], bareMs: [] };
      for (let commit = 0; commit < commits; commit += 1) {
        const { records, ended } = livesOf(engine, group, lives);
        lives += group;
        const before = journal.bytesSinceSnapshot;
        const batch = { firstSequence: sequence, records, ended, snapshot: null };
        const plain = await timed(() => journal.append(batch));
        const sealed = await timed(() => encrypted.append(batch));
        samples.journalMs.push(plain.ms);
        samples.journalCpuMs.push(plain.cpuMs);
        samples.encryptedMs.push(sealed.ms);
        samples.encryptedCpuMs.push(sealed.cpuMs);
        sequence += records.length;
        const bytes = Buffer.alloc(journal.bytesSinceSnapshot - before, 120);
        const bareAt = performance.now();
        void bare.put(sequence, bytes);
        await bare.flushed;
        samples.bareMs.push(performance.now() - bareAt);
      }
      results.push({ group, ...samples });
    }
    await journal.close();
    await encrypted.close();
    await bare.close();
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
