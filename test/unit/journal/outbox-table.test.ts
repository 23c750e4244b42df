// The outbox: in one transaction with its records, in order, over reopening; what was given up is bounded and comes back.
import { describe, expect, test } from "@jest/globals";
import type { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import type { OutboxEntry } from "../../../src/journal/outbox-table.js";
import { eventOf } from "../callbacks/events.js";
import { openJournal, temporaryFolder } from "./temporary-folder.js";

const URL = "https://example.com/";

async function append(journal: LmdbJournal, ids: readonly string[]): Promise<OutboxEntry[]> {
  const callbacks = ids.map((id, index) => journal.outbox.stamp(eventOf(id, index + 1, URL, 1_000)));
  await journal.append({ firstSequence: journal.nextSequence, records: [{ kind: "epoch_started", epoch: journal.nextSequence, atMs: 1 }], ended: [], callbacks, snapshot: null });
  return callbacks;
}

const pending = (journal: LmdbJournal): string[] => [...journal.outbox.pending()].map(({ event }) => event.eventId);
const letter = (entry: OutboxEntry) => ({ ...entry, givenUpAtMs: 5_000, tries: 3, error: "no answer" });

describe("the outbox", () => {
  test("holds events in their order, whole, over a reopening of the journal", async () => {
    const folder = await temporaryFolder();
    const journal = await openJournal(folder);
    const [first] = await append(journal, ["a", "b"]);
    await append(journal, ["c"]);
    await journal.close();
    const again = await openJournal(folder);
    expect(pending(again)).toEqual(["a_1", "b_2", "c_1"]);
    expect(again.outbox.read(first?.order ?? 0)).toEqual(first?.event);
    for (const _ of again.recover().records);
    const [next] = await append(again, ["d"]);
    expect(next?.order).toBe(4);
  });

  test("an append that is refused leaves nothing in it", async () => {
    const journal = await openJournal(await temporaryFolder());
    const callbacks = [journal.outbox.stamp(eventOf("a", 1, URL))];
    await expect(journal.append({ firstSequence: 7, records: [], ended: [], callbacks, snapshot: null })).rejects.toThrow("expected 1");
    expect(pending(journal)).toEqual([]);
  });

  test("a snapshot keeps what was not delivered", async () => {
    const folder = await temporaryFolder();
    const journal = await openJournal(folder);
    await append(journal, ["a"]);
    const snapshot = { epoch: 1, nextSequence: 1, endedCount: 0, gpus: [], requests: [], digest: 0 };
    await journal.append({ firstSequence: journal.nextSequence, records: [], ended: [], snapshot });
    expect(pending(journal)).toEqual(["a_1"]);
  });

  test("what was delivered goes, what was given up is kept, the newest first, no more than may be", async () => {
    const folder = await temporaryFolder();
    const journal = await openJournal(folder);
    const [a, b, c, d] = (await append(journal, ["a", "b", "c", "d"])) as [OutboxEntry, OutboxEntry, OutboxEntry, OutboxEntry];
    await journal.outbox.settle([a.order], [letter(b)], 2);
    expect(pending(journal)).toEqual(["c_3", "d_4"]);
    await journal.outbox.settle([], [letter(c), letter(d)], 2);
    expect(journal.outbox.deadLetters(0, 10)).toEqual([letter(d), letter(c)]);
    expect(journal.outbox.deadLetters(d.order, 10)).toEqual([letter(c)]);
    await journal.close();
    expect((await openJournal(folder)).outbox.deadCount).toBe(2);
  });

  test("what is put back is the same event behind all that waits; twice the same, or what is not there, counts once or not", async () => {
    const journal = await openJournal(await temporaryFolder());
    const [a] = (await append(journal, ["a", "b"])) as [OutboxEntry];
    await journal.outbox.settle([], [letter(a)], 10);
    const back = await journal.outbox.retry([a.order, a.order, 99]);
    expect(back.map(({ event }) => event)).toEqual([a.event]);
    expect(pending(journal)).toEqual(["b_2", "a_1"]);
    expect(journal.outbox.deadCount).toBe(0);
    expect(await journal.outbox.retry([a.order])).toEqual([]);
  });
});
