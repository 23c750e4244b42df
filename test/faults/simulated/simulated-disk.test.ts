import { beforeEach, describe, expect, test } from "@jest/globals";
import type { Record } from "../../../src/core/records.js";
import { SimulatedDisk, SimulatedJournal } from "./simulated-disk.js";
import { SimulatedProcess, VirtualTime } from "./virtual-time.js";

let time: VirtualTime;
let disk: SimulatedDisk;
let conduct: { kept: boolean; failing: boolean };
const epoch = (number: number): Record => ({ kind: "epoch_started", epoch: number, atMs: 0 });
const start = (): { readonly journal: SimulatedJournal; readonly process: SimulatedProcess } => {
  const process = new SimulatedProcess("router");
  const journal = new SimulatedJournal(disk, time, process, () => {});
  return { journal, process };
};
const recovered = (): readonly Record[] => [...start().journal.recover().records];
const run = (ms: number): Promise<void> => time.run(time.nowMs + ms, () => {}, () => false);

beforeEach(() => {
  time = new VirtualTime();
  conduct = { kept: true, failing: false };
  disk = new SimulatedDisk({ commitMs: () => 10, fails: () => conduct.failing, keptByChance: () => conduct.kept, logScale: 1 });
});

describe("The simulated disk", () => {
  test("has what was committed, for every process after it", async () => {
    const { journal } = start();
    journal.recover();
    let durable = false;
    void journal.append({ firstSequence: 1, records: [epoch(1), epoch(2)], ended: [], snapshot: null }).then(() => (durable = true));
    await run(5);
    expect([durable, recovered()]).toEqual([false, []]);
    await run(10);
    expect([durable, recovered()]).toEqual([true, [epoch(1), epoch(2)]]);
  });

  test.each([true, false])("has all of what was being written when the process died, or nothing (kept: %s)", async (kept) => {
    conduct.kept = kept;
    const { journal, process } = start();
    journal.recover();
    void journal.append({ firstSequence: 1, records: [epoch(1), epoch(2)], ended: [], snapshot: null });
    process.alive = false;
    disk.interrupted();
    await run(100);
    expect(recovered()).toEqual(kept ? [epoch(1), epoch(2)] : []);
  });

  test.each([true, false])("a failed commit rejects, whether it is on the disk or not (kept: %s)", async (kept) => {
    Object.assign(conduct, { kept, failing: true });
    const { journal } = start();
    journal.recover();
    let trouble = "";
    void journal.append({ firstSequence: 1, records: [epoch(1)], ended: [], snapshot: null }).catch((error: Error) => (trouble = error.message));
    await run(100);
    expect([trouble, recovered().length]).toEqual(["input/output error", kept ? 1 : 0]);
  });
});
