import { beforeEach, describe, expect, test } from "@jest/globals";
import type { ListQuery } from "../../../src/api/router-port.js";
import type { NodeId, RequestId, UserId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { seededRandom } from "../../../src/lib/random.js";
import { EngineLoop } from "../../../src/router/engine-loop.js";
import { RequestList } from "../../../src/router/request-list.js";
import { specOf } from "../journal/story.js";
import { openJournal, temporaryFolder } from "../journal/temporary-folder.js";
import { HeldJournal, nodeConnected, TestClock } from "./fakes.js";

let journal: HeldJournal;
let loop: EngineLoop;
let list: RequestList;

beforeEach(async () => {
  journal = new HeldJournal();
  ({ loop, list } = loopOver(journal));
  await journal.commit();
});

function loopOver(held: { readonly journal: ConstructorParameters<typeof EngineLoop>[0]["journal"] }): { loop: EngineLoop; list: RequestList } {
  const made = new EngineLoop({ settings: DEFAULT_CORE_SETTINGS, journal: held.journal, clock: new TestClock(), prepare: () => null, onJournalFailure: () => {} });
  made.step(nodeConnected("node-a", 1));
  return { loop: made, list: new RequestList(made.engine.state, made.history) };
}

const submit = (id: string, userId = "eve"): void => void loop.step({ kind: "submit", spec: specOf(id, { userId: userId as UserId }) });
const end = (id: string, outcome: "succeeded" | "failed" = "succeeded"): void =>
  void loop.step({
    kind: "attempt_ended",
    nodeId: "node-a" as NodeId,
    ref: { requestId: id as RequestId, attempt: 1 },
    end: { outcome, error: null, result: new Uint8Array(), resultContentType: "", statistics: null },
  });
const query = (over: Partial<ListQuery> = {}): ListQuery => ({ phases: [], userId: "", pageSize: 100, pageToken: "", ...over });
const page = (over: Partial<ListQuery> = {}): { readonly ids: string[]; readonly next: string } => {
  const found = list.page(query(over));
  if (!found) throw new Error("The token was refused.");
  return { ids: found.requests.map(({ spec }) => spec.requestId), next: found.nextPageToken };
};

/** All pages, with `between` called before each but the first. */
async function pages(over: Partial<ListQuery> = {}, between: () => Promise<void> | void = () => {}): Promise<string[]> {
  const ids: string[] = [];
  let token = "";
  for (let turns = 0; turns < 1_000; turns += 1) {
    const { ids: more, next } = page({ ...over, pageToken: token });
    ids.push(...more);
    if (next === "") return ids;
    token = next;
    await between();
  }
  throw new Error("The pages do not end.");
}

test("live requests come first, then finished ones, each newest first", async () => {
  for (const id of ["a", "b", "c", "d"]) submit(id);
  await journal.commit();
  end("c");
  end("a");
  await journal.commit();
  expect(page()).toEqual({ ids: ["d", "b", "a", "c"], next: "" });
});

test("one that has ended and is not durable yet is listed, once", async () => {
  for (const id of ["a", "b", "c"]) submit(id);
  await journal.commit();
  end("b");
  expect(page()).toEqual({ ids: ["c", "b", "a"], next: "" });
  await journal.commit();
  expect(page()).toEqual({ ids: ["c", "a", "b"], next: "" });
});

test.each([1, 2, 3, 5, 7, 100])("pages of %i hold everything once", async (pageSize) => {
  for (let index = 0; index < 20; index += 1) submit(`r${index}`);
  await journal.commit();
  for (const id of ["r3", "r1", "r7", "r4", "r0"]) end(id);
  await journal.commit();
  for (const id of ["r2", "r5"]) end(id);
  const ids = await pages({ pageSize });
  expect(ids.toSorted()).toEqual(Array.from({ length: 20 }, (_, index) => `r${index}`).toSorted());
  expect(ids.slice(-5)).toEqual(["r0", "r4", "r7", "r1", "r3"]);
});

test("none is missed while requests come and end between the pages", async () => {
  const random = seededRandom(5);
  for (let index = 0; index < 60; index += 1) submit(`old${index}`);
  await journal.commit();
  for (let index = 0; index < 10; index += 1) end(`old${index}`);
  await journal.commit();
  const ids = await pages({ pageSize: 4 }, async () => {
    end(`old${10 + Math.floor(random() * 50)}`);
    submit(`new${random()}`);
    if (random() < 0.5) await journal.commit();
  });
  const found = new Set(ids);
  for (let index = 0; index < 60; index += 1) expect(found.has(`old${index}`)).toBe(true);
});

describe("A filter", () => {
  test("by phase and user holds for live, ended and finished ones alike", async () => {
    submit("a", "eve");
    submit("b", "bob");
    submit("c", "eve");
    submit("d", "bob");
    await journal.commit();
    end("a", "failed");
    await journal.commit();
    end("b", "failed");
    expect(page({ userId: "bob" as UserId }).ids).toEqual(["d", "b"]);
    expect(page({ phases: ["failed"] }).ids).toEqual(["b", "a"]);
    expect(page({ phases: ["failed"], userId: "eve" as UserId }).ids).toEqual(["a"]);
    expect(page({ phases: ["placed"] }).ids).toEqual(["d", "c"]);
    expect(page({ phases: ["cancelled"] })).toEqual({ ids: [], next: "" });
  });
});

test("a token that is not ours is refused", () => {
  for (const pageToken of ["x", "l", "f-1", "l5x", "0", "l1.5"]) expect(list.page(query({ pageToken }))).toBeNull();
});

test("a filter that matches nothing among very many reads them in bounded pages and comes to an end", async () => {
  const real = await openJournal(await temporaryFolder());
  ({ loop, list } = loopOver({ journal: real }));
  await loop.durable();
  for (let index = 0; index < 12_000; index += 1) {
    submit(`r${index}`);
    end(`r${index}`);
    if (index % 1_000 === 999) await loop.durable();
  }
  const sizes: number[] = [];
  let token = "";
  do {
    const found = page({ phases: ["cancelled"], pageToken: token, pageSize: 100 });
    sizes.push(found.ids.length);
    token = found.next;
  } while (token !== "");
  expect(sizes).toEqual([0, 0, 0]);
  expect(await pages({ pageSize: 1_000 })).toHaveLength(12_000);
  await loop.stop();
});
