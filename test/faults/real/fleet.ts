// A fleet to be troubled: agents that run inference and the command that must not run twice; and what all tests look at afterwards.
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { jest } from "@jest/globals";
import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { eventually, startAgent, temporaryFolder, type RouterProcess, type TestProcess } from "../../e2e/harness.js";
import { onceCommand } from "./once-work.js";

// A dozen processes start in each test, beside load.
jest.setTimeout(180_000);

/** Defaults, but for the retries: with a kill every second a request may meet many, and each of them is to be survived. */
export const KILLS_CONFIG = { request_router: { max_retries: 100 } };

/** What the ledger's verdict must hold. */
export const IN_ORDER = { lost: [], changed: [], endless: [], unexpected: [], foreign: [] };

export interface Workers {
  /** One per node; `restart` replaces it. */
  readonly agents: TestProcess[];
  /** What the runs of the command have written. */
  readonly onceFolder: string;
  /** Starts the agent of a node again; resolves when it is connected. */
  restart(index: number): Promise<TestProcess>;
}

/** Starts `count` agents with four simulated GPUs each. */
export async function startWorkers(router: string, count: number, logLevel = "info"): Promise<Workers> {
  const onceFolder = path.join(await temporaryFolder(), "once");
  await mkdir(onceFolder);
  const start = (index: number): Promise<TestProcess> => startAgent({ nodeId: `node-${index}`, router, logLevel, runners: { simulated: true, exec: [onceCommand(onceFolder)] } });
  const agents = await Promise.all(Array.from({ length: count }, (_, index) => start(index)));
  return {
    agents,
    onceFolder,
    async restart(index) {
      const agent = await start(index);
      agents[index] = agent;
      return agent;
    },
  };
}

/** Attempts of each request, once all have completed. */
export async function attemptsWhenCompleted(router: RouterProcess, ids: readonly string[], withinMs = 30_000): Promise<number[]> {
  return Promise.all(
    ids.map((requestId) =>
      eventually(`${requestId} completes`, async () => {
        const { request } = await router.client.status({ requestId }, { deadlineMs: 2_000 });
        return request?.state === RequestState.COMPLETED && request.attempts;
      }, withinMs),
    ),
  );
}

/** What processes said on stderr, and their errors in the log: a killed one says nothing, any other has no reason to. */
export function unexpectedTrouble(processes: readonly TestProcess[]): string[] {
  return processes.flatMap(({ stderr, logged }) => [...(stderr === "" ? [] : [stderr]), ...logged.filter(({ level }) => Number(level) >= 50).map((line) => JSON.stringify(line))]);
}
