// Quotas through the router as a whole, on a real journal: what is set over what was set, pages, refusals, a restart.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { QuotaChange, QuotaView } from "../../../src/api/quota-port.js";
import type { UserId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { Router } from "../../../src/router/router.js";
import { specOf } from "../journal/story.js";
import { temporaryFolder } from "../journal/temporary-folder.js";
import { silentLog, TestClock } from "./fakes.js";

const TERMS = { leaseMs: 60_000, nodeLostAfterMs: 60_000, heartbeatIntervalMs: 60_000, telemetryIntervalMs: 60_000, maxResultBytes: 1 << 20 };

let folder: string;
let clock: TestClock;
let router: Router;

async function start(maxEntries = 100): Promise<void> {
  router = new Router({
    settings: { ...DEFAULT_CORE_SETTINGS, quota: { ...DEFAULT_CORE_SETTINGS.quota, mode: "enforce", maxEntries } },
    agentTerms: TERMS,
    retention: { finishedForMs: 3_600_000, finishedAtMost: 1_000 },
    journal: await LmdbJournal.open(folder),
    clock,
    log: silentLog,
    resultBaseUrl: () => "http://127.0.0.1:8000",
    onJournalFailure: (error) => {
      throw error;
    },
  });
  await router.durable();
}

beforeEach(async () => {
  folder = await temporaryFolder();
  clock = new TestClock();
  await start();
});
afterEach(() => router.stop());

const trySet = (subject: QuotaChange["subject"], subjectId: string, override: QuotaChange["override"], reset = false) =>
  router.quotas.setQuota({ subject, subjectId, override, reset, by: "ada", reason: "because" });
const set = async (...change: Parameters<typeof trySet>): Promise<QuotaView> => {
  const view = await trySet(...change);
  if ("kind" in view) throw new Error("it is full");
  return view;
};
const alice = { subject: "user", subjectId: "alice" } as const;
const route = (id: string) => router.route(specOf(id, { userId: "alice" as UserId }));

describe("what is set", () => {
  test("goes over what was set before, model by model; a reset takes its place", async () => {
    await set("user", "alice", { concurrentRequests: 7, modelRequests: { llama: 4, qwen: 2 } });
    const view = await set("user", "alice", { priorityRequests: 0, modelRequests: { qwen: 1 } });
    expect(view.limits).toMatchObject({ concurrentRequests: 7, priorityRequests: 0, gpus: 2, modelRequests: { llama: 4, qwen: 1 } });
    expect(view.entry).toEqual({ ...alice, override: { concurrentRequests: 7, priorityRequests: 0, modelRequests: { llama: 4, qwen: 1 } }, by: "ada", reason: "because", atMs: clock.atMs });
    expect((await set("user", "alice", { gpus: 3 }, true)).entry?.override).toEqual({ gpus: 3 });
    expect(await set("user", "alice", {}, true)).toMatchObject({ entry: null, limits: DEFAULT_CORE_SETTINGS.quota.defaults });
    expect(router.quotas.quotas("", 10).items).toEqual([]);
  });

  test("for a user is not shown of a team of the same name", async () => {
    await set("user", "alice", { weight: 4, team: "research" });
    expect(router.quotas.quota(alice)).toMatchObject({ weight: 4, team: "research" });
    expect(router.quotas.quota({ subject: "team", subjectId: "alice" })).toMatchObject({ weight: 1, team: "", entry: null });
  });

  test("is listed by name, teams first, page by page", async () => {
    for (const name of ["b", "a"]) await set("user", name, { gpus: 1 });
    await set("team", "z", { gpus: 1 });
    const first = router.quotas.quotas("", 2);
    const rest = router.quotas.quotas(first.lastName, 2);
    expect([...first.items, ...rest.items].map(({ subject, subjectId }) => `${subject} ${subjectId}`)).toEqual(["team z", "user a", "user b"]);
    expect(rest.lastName).toBe("");
  });
});

describe("how much may be set", () => {
  test("has a bound: whoever has something may change it, one more is refused until one is taken back", async () => {
    await router.stop();
    await start(2);
    await set("user", "alice", { gpus: 1 });
    await set("team", "red", { gpus: 1 });
    expect(await trySet("user", "bob", { gpus: 1 })).toEqual({ kind: "quotas_full", what: "quotas", limit: 2 });
    expect(router.quotas.quota({ subject: "user", subjectId: "bob" }).entry).toBeNull();
    expect((await set("user", "alice", { gpus: 3 })).limits.gpus).toBe(3);
    expect((await set("user", "bob", {}, true)).entry).toBeNull();
    await set("user", "alice", {}, true);
    await set("user", "bob", { gpus: 1 });
    // By a restart under a lower bound nothing is lost.
    await router.stop();
    await start(1);
    expect(router.quotas.quotas("", 10).items).toHaveLength(2);
    expect(await trySet("user", "carol", { gpus: 1 })).toMatchObject({ limit: 1 });
  });

  test("forgets teams that nobody is in and that nothing is set for, and no others", async () => {
    await router.stop();
    await start(3);
    await set("team", "kept", { gpus: 1 });
    for (let team = 0; team < 50; team += 1) await set("user", "alice", { team: `team-${team}` });
    const { quotas } = router.engine.state;
    expect([...quotas.teams()].length).toBeLessThanOrEqual(3);
    expect([quotas.team("kept")?.limits.gpus, quotas.user("alice")?.team === quotas.team("team-49")]).toEqual([1, true]);
  });

  test("names no more models in one quota than one call may, however many calls there are", async () => {
    const models = (from: number, count: number) => ({ modelRequests: Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${from + index}`, 1])) });
    await set("user", "alice", models(0, 1_000));
    expect(await trySet("user", "alice", models(1_000, 1))).toEqual({ kind: "quotas_full", what: "models", limit: 1_000 });
    expect(Object.keys((await set("user", "alice", models(5_000, 2), true)).limits.modelRequests)).toEqual(["m5000", "m5001"]);
  });
});

test("a rate refuses at once when it is set, says when there is room, and goes on counting after a restart", async () => {
  await route("r-1");
  await set("user", "alice", { requestsPerMinute: 2 });
  clock.atMs += 10_000;
  expect(await route("r-2")).toMatchObject({ kind: "accepted" });
  // The same again is no new request.
  expect(await route("r-2")).toMatchObject({ kind: "accepted" });
  await router.stop();
  await start();
  const over = { name: "requests_per_minute", ...alice, limit: 2, used: 2, asked: 1 };
  const refused = await route("r-3");
  expect(refused).toMatchObject({ kind: "rate_limited", over });
  expect(router.quotas.quota(alice)).toMatchObject({ used: { requests_per_minute: 2, requests_per_day: 2, queued_requests: 2 }, entry: { by: "ada" } });
  expect([...router.quotas.quota(alice).refused]).toEqual([["requests_per_minute", 1]]);
  expect(router.quotas.usage("", "", 10).items).toMatchObject([{ userId: "alice", accepted: 2, completed: 0 }]);
  // When it said, and not before.
  clock.atMs += (refused as { retryAfterMs: number }).retryAfterMs - 1;
  expect(await route("r-3")).toMatchObject({ kind: "rate_limited" });
  clock.atMs += 1;
  expect(await route("r-3")).toMatchObject({ kind: "accepted" });
});

test("of somebody who was never seen there are the defaults, and no account is made by asking", () => {
  expect(router.quotas.quota(alice)).toMatchObject({ limits: DEFAULT_CORE_SETTINGS.quota.defaults, used: { concurrent_requests: 0 }, entry: null });
  expect([router.quotas.usage("", "", 10).items, router.quotas.usage("alice", "", 10).items]).toEqual([[], []]);
});
