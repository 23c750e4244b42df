// Quotas through the router as a whole, on a real journal: what is set over what was set, pages, refusals, a restart.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { QuotaChange } from "../../../src/api/quota-port.js";
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

async function start(): Promise<void> {
  router = new Router({
    settings: { ...DEFAULT_CORE_SETTINGS, quota: { ...DEFAULT_CORE_SETTINGS.quota, mode: "enforce" } },
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

const set = (subject: QuotaChange["subject"], subjectId: string, override: QuotaChange["override"], reset = false) =>
  router.quotas.setQuota({ subject, subjectId, override, reset, by: "ada", reason: "because" });
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
