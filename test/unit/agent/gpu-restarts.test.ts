// The agent's side of a restart: one command, one GPU, once per order.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { RestartOrderSchema, RestartOutcome, type RestartReport } from "../../../gen/gpurouter/v1/agent_pb.js";
import { GpuRestarts } from "../../../src/agent/gpu-restarts.js";
import type { ProbedGpu } from "../../../src/agent/probes/probe.js";
import { restartByCommand, type RestartCommand } from "../../../src/agent/restart-command.js";
import { silentLog } from "../router/fakes.js";

const gpu = (gpuId: string, parentGpuId = ""): ProbedGpu => ({ gpuId, name: "", computeCapability: "", memoryTotalMib: 1, multiprocessorCount: 0, powerLimitWatts: 0, driverVersion: "", parentGpuId, simulated: true });
const GPUS = [gpu("g0"), gpu("g1"), gpu("m0", "whole")];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gpu-router-restarts-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

class Node {
  readonly reports: RestartReport[] = [];
  readonly restarts: GpuRestarts;
  #wake: (() => void) | null = null;

  constructor(command: RestartCommand | null) {
    this.restarts = new GpuRestarts(command && restartByCommand(command), GPUS, silentLog, () => {
      this.reports.push(...this.restarts.take());
      this.#wake?.();
    });
  }

  order(restartId: string, gpuId: string, isLate = false): void {
    this.restarts.order(create(RestartOrderSchema, { restartId, gpuId }), isLate);
  }

  async reported(count: number): Promise<RestartReport> {
    while (this.reports.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.reports[count - 1]!;
  }
}

const script = (text: string, timeoutMs = 20_000): RestartCommand => ({ argv: ["/bin/sh", "-c", text, "restart", "{gpu_id}", "index={index}"], timeoutMs });
const written = (): string => readFileSync(path.join(folder, "out"), "utf8");

test("the command gets the GPU's id and place, a small environment, and nothing from a shell", async () => {
  process.env["OF_THE_AGENT_ALONE"] = "secret";
  const node = new Node(script(`echo "$1 $2 $GPU_ROUTER_GPU_ID $GPU_ROUTER_RESTART_ID [$OF_THE_AGENT_ALONE]" > ${folder}/out`));
  node.order("r1", "g1");
  expect(await node.reported(1)).toMatchObject({ restartId: "r1", gpuId: "g1", outcome: RestartOutcome.SUCCEEDED, message: "" });
  expect(written()).toBe("g1 index=1 g1 r1 []\n");
  delete process.env["OF_THE_AGENT_ALONE"];
});

test("an order that comes again is not run again: while it runs it is ignored, afterwards its outcome is told again", async () => {
  const node = new Node(script(`echo x >> ${folder}/out; while [ ! -e ${folder}/go ]; do sleep 0.01; done`));
  node.order("r1", "g0");
  node.order("r1", "g0");
  writeFileSync(path.join(folder, "go"), "");
  await node.reported(1);
  node.order("r1", "g0");
  expect(await node.reported(2)).toEqual(node.reports[0]);
  node.restarts.tellAgain();
  expect(node.restarts.take()).toEqual([node.reports[0]]);
  expect(written()).toBe("x\n");
});

test("a command that fails tells how, with the end of what it said", async () => {
  const node = new Node(script("echo In use by another client >&2; exit 3"));
  node.order("r1", "g0");
  expect(await node.reported(1)).toMatchObject({ outcome: RestartOutcome.FAILED, message: "The command ended with exit code 3. It said last: In use by another client" });
});

test("one that does not end in time, or cannot be started, has failed", async () => {
  const slow = new Node(script("sleep 60", 50));
  slow.order("r1", "g0");
  expect(await slow.reported(1)).toMatchObject({ outcome: RestartOutcome.FAILED, message: expect.stringContaining("had not ended within 0.05 s") as unknown });
  const absent = new Node({ argv: [path.join(folder, "nothing-here")], timeoutMs: 1_000 });
  absent.order("r1", "g0");
  expect(await absent.reported(1)).toMatchObject({ outcome: RestartOutcome.FAILED, message: expect.stringContaining("could not be started") as unknown });
});

test("without a command, or for a GPU of another node, it refuses; a whole GPU of MIG instances is of this node", async () => {
  const bare = new Node(null);
  bare.order("r1", "g0");
  expect(await bare.reported(1)).toMatchObject({ outcome: RestartOutcome.REFUSED, message: expect.stringContaining("gpu_restart_command") as unknown });
  const node = new Node(script(`echo "$1" > ${folder}/out`));
  node.order("r1", "g0; rm -rf /");
  expect(await node.reported(1)).toMatchObject({ outcome: RestartOutcome.REFUSED });
  node.order("r2", "whole");
  expect(await node.reported(2)).toMatchObject({ outcome: RestartOutcome.SUCCEEDED });
  expect(written()).toBe("whole\n");
});

test("an order that came late is not begun; one that was begun in time is answered as ever", async () => {
  const node = new Node(script(`echo x >> ${folder}/out`));
  node.order("r1", "g0", true);
  expect(await node.reported(1)).toMatchObject({ outcome: RestartOutcome.REFUSED, message: expect.stringContaining("lease") as unknown });
  node.order("r2", "g0");
  await node.reported(2);
  node.order("r2", "g0", true);
  expect(await node.reported(3)).toMatchObject({ restartId: "r2", outcome: RestartOutcome.SUCCEEDED });
  expect(written()).toBe("x\n");
});

test("an agent that stops waits for the command for a while, then ends it", async () => {
  const node = new Node(script("exec sleep 60"));
  node.order("r1", "g0");
  await node.restarts.close(20);
  expect(await node.reported(1)).toMatchObject({ outcome: RestartOutcome.FAILED });
});
