// From the death of an agent, a node or a GPU to the moment when another agent has the work in its hands: measured on real processes with
// the router's defaults and other load beside, by the clock that they share.
import { appendFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import { eventually, startAgent, startRouter, temporaryFolder, type RouterProcess, type TestProcess } from "../../e2e/harness.js";
import { Load } from "./load.js";
import { makeLink } from "./links.js";
import { percentiles } from "./percentiles.js";
import { Progress } from "./progress.js";
import { leaveFigures, randomOf, settings } from "./settings.js";

const REQUESTS = 16;
const GPUS = 64;
/** Long enough for none to end by itself. */
const WORK_MS = 600_000n;
/** Heartbeats come this often: the fault's moment must not always be the same between two. */
const HEARTBEAT_MS = 250;
const LIMIT_MS = 30_000;

/** What a run does to its victim. */
interface Fault {
  readonly name: string;
  /** How it is brought about, for the table. */
  readonly how: string;
  /** Starts the agent that will be the victim. */
  start(): Promise<TestProcess>;
  /** Work that the fault takes with it, of what runs on the victim; by GPU where that is what dies. */
  hits(gpuId: string): boolean;
  /** Brings it about; returns when it is done. */
  strike(victim: TestProcess): void | Promise<void>;
  /** Makes the fleet whole again; resolves to the victim's successor. */
  mend(victim: TestProcess): Promise<TestProcess>;
}

interface Placed {
  readonly requestId: string;
  readonly gpuId: string;
  readonly attempt: number;
}

/** When `agents` have received the attempt that follows `placed`, ms since the epoch; NaN when they have not yet. */
function receivedAt(agents: readonly TestProcess[], placed: Placed): number {
  const line = agents.flatMap(({ logged }) => logged).find(({ msg, request, attempt }) => msg === "attempt received" && request === placed.requestId && Number(attempt) > placed.attempt);
  return line ? Date.parse(String(line["time"])) : Number.NaN;
}

async function sendWork(router: RouterProcess, run: number, idempotent: boolean): Promise<string[]> {
  const ids = Array.from({ length: REQUESTS }, (_, index) => `${idempotent ? "twice" : "once"}-${run}-${index}`);
  await Promise.all(ids.map((requestId) => router.client.route({ requestId, modelId: "m", idempotent, timeoutMs: 3_600_000n, resourceRequirements: { expectedDurationMs: WORK_MS } })));
  return ids;
}

/** Where the requests run, once all do. */
async function placements(router: RouterProcess, ids: readonly string[]): Promise<Placed[]> {
  return Promise.all(
    ids.map((requestId) =>
      eventually(`${requestId} runs`, async () => {
        const { request } = await router.client.status({ requestId });
        return request?.startTime && { requestId, gpuId: request.assignedGpu, attempt: request.attempts };
      }),
    ),
  );
}

/** One run: ms from the fault to the last of its requests in another agent's hands, for those that may run twice at once. */
async function measure(router: RouterProcess, fault: Fault, victim: TestProcess, others: readonly TestProcess[], run: number, random: () => number): Promise<number> {
  const ids = await sendWork(router, run, true);
  const hit = await eventually("some run on the victim", async () => {
    const placed = (await placements(router, ids)).filter(({ gpuId }) => gpuId.startsWith("sim-victim-") && fault.hits(gpuId));
    return placed.length > 0 && placed;
  });
  await pause(random() * HEARTBEAT_MS);
  const struckAt = Date.now();
  await fault.strike(victim);
  const times = await eventually("another agent has all of it", () => {
    const all = hit.map((placed) => receivedAt([...others, victim], placed) - struckAt);
    return !all.some(Number.isNaN) && all;
  }, LIMIT_MS);
  for (const requestId of ids) await router.client.cancel({ requestId });
  return Math.max(...times);
}

async function measureAll(makeFault: (router: RouterProcess) => Promise<Fault>, figure: string): Promise<void> {
  const router = await startRouter();
  const fault = await makeFault(router);
  const random = randomOf(fault.name);
  let victim = await fault.start();
  const heir = await startAgent({ nodeId: "heir", router: router.grpcAddress, gpus: GPUS, logLevel: "debug" });
  const load = new Load({ router: router.grpcAddress, random, concurrency: 8 });
  const samples: number[] = [];
  const progress = new Progress(fault.name, settings.runs);
  for (let run = 0; run < settings.runs; run += 1) {
    samples.push(await measure(router, fault, victim, [heir], run, random));
    victim = await fault.mend(victim);
    progress.step(`${samples.at(-1)} ms`);
  }
  await load.finish(30_000);
  const measured = percentiles(samples);
  leaveFigures(`redispatch-${figure}`, { name: fault.name, how: fault.how, ...measured, samples });
  expect(load.ledger.verdict()).toMatchObject({ lost: [], changed: [], endless: [] });
  expect(measured.p99Ms).toBeLessThan(settings.goalMs);
}

const LIMIT = 120_000 + settings.runs * 40_000;

describe("The time from death to re-dispatch", () => {
  test(
    "of an agent that is killed",
    async () => {
      await measureAll(async (router) => {
        const start = (): Promise<TestProcess> => startAgent({ nodeId: "victim", router: router.grpcAddress, gpus: GPUS, logLevel: "debug" });
        return { name: "agent killed", how: "kill -9", start, hits: () => true, strike: (victim) => void victim.child.kill("SIGKILL"), mend: start };
      }, "agent");
    },
    LIMIT,
  );

  test(
    "of a node that is unreachable, without a word",
    async () => {
      await measureAll(async (router) => {
        const link = await makeLink(router.grpcAddress);
        let connections = 0;
        const connected = async (victim: TestProcess): Promise<TestProcess> => {
          connections += 1;
          await eventually("the victim is connected", () => victim.logged.filter(({ msg }) => msg === "connected to the router").length >= connections);
          return victim;
        };
        return {
          name: "node unreachable",
          how: link.kind,
          start: async () => connected(await startAgent({ nodeId: "victim", router: link.address, within: link.within, gpus: GPUS, logLevel: "debug" })),
          hits: () => true,
          strike: () => link.silence(),
          mend: (victim) => {
            link.heal();
            return connected(victim);
          },
        };
      }, "node");
    },
    LIMIT,
  );

  test(
    "of a GPU with a fatal Xid (simulated GPU, real agent)",
    async () => {
      await measureAll(async (router) => {
        const eventsFile = path.join(await temporaryFolder(), "gpu-events");
        const start = (): Promise<TestProcess> => startAgent({ nodeId: "victim", router: router.grpcAddress, gpus: GPUS, logLevel: "debug", eventsFile });
        let gpuId = "";
        return {
          name: "GPU fatal Xid (simulated)",
          how: "Xid 79",
          start,
          hits: (candidate) => {
            gpuId ||= candidate;
            return candidate === gpuId;
          },
          strike: () => appendFileSync(eventsFile, `${gpuId.slice(gpuId.lastIndexOf("-") + 1)} xid 79\n`),
          mend: async (victim) => {
            gpuId = "";
            return victim;
          },
        };
      }, "gpu");
    },
    LIMIT,
  );
});
