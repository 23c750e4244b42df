import { expect, test } from "@jest/globals";
import path from "node:path";

import { firstGpus, gpuCount, openbFleet, readOpenbNodes, simpleFleet, stratifiedGpus, type OpenbNode } from "../../../src/sim/fleets.js";
import { OPENB_GPU_KINDS } from "../../../src/simulated-gpu/gpu-kinds.js";
import { TRACES, testWithTraces } from "./workload/real-traces.js";
import { folderWith } from "./workload/temporary-file.js";

const HEADING = "sn,cpu_milli,memory_mib,gpu,model";
const NODES: readonly OpenbNode[] = Array.from({ length: 30 }, (_, index) => ({ name: `openb-node-${index}`, model: index < 20 ? "G2" : "T4", gpus: index < 20 ? 8 : 4 }));
const count = (nodes: readonly OpenbNode[], model?: string): number => nodes.reduce((sum, node) => sum + (model === undefined || node.model === model ? node.gpus : 0), 0);

test("a simple fleet has its nodes and GPUs by kind, all called simulated", () => {
  const groups = [{ kind: "H100-80GB", gpus: 2, nodes: 1 }, { kind: "A10G", gpus: 1, nodes: 2 }];
  expect(gpuCount(groups)).toBe(4);
  expect(simpleFleet(groups)).toEqual([
    { nodeId: "sim-node-1", gpus: [{ gpuId: "sim-node-1-gpu-0", kind: "H100-80GB" }, { gpuId: "sim-node-1-gpu-1", kind: "H100-80GB" }] },
    { nodeId: "sim-node-2", gpus: [{ gpuId: "sim-node-2-gpu-0", kind: "A10G" }] },
    { nodeId: "sim-node-3", gpus: [{ gpuId: "sim-node-3-gpu-0", kind: "A10G" }] },
  ]);
});

test("the first GPUs are those of the first nodes, the last one cut short", () => {
  expect(firstGpus(NODES, 20)).toEqual([NODES[0], NODES[1], { ...NODES[2], gpus: 4 }]);
  expect(firstGpus(NODES, 10_000)).toEqual(NODES);
});

test("a stratified cut keeps each model's share, has exactly as many GPUs, and goes by the seed", () => {
  for (const gpus of [1, 7, 33, 64, 199]) {
    const cut = stratifiedGpus(NODES, gpus, 1);
    expect(count(cut)).toBe(gpus);
    expect(Math.abs(count(cut, "G2") - gpus * 0.8)).toBeLessThan(1);
  }
  expect(stratifiedGpus(NODES, 64, 1)).toEqual(stratifiedGpus(NODES, 64, 1));
  expect(stratifiedGpus(NODES, 64, 1)).not.toEqual(stratifiedGpus(NODES, 64, 2));
  expect(count(stratifiedGpus(NODES, 10_000, 1))).toBe(200);
});

test("a node that cannot be read is named by its line, a model that is not known by its node", async () => {
  const folder = await folderWith({ "nodes.csv": `${HEADING}\nn1,1,1,2,T4\nn2,1,1,0,T4\n`, "none.csv": `${HEADING}\n` });
  await expect(readOpenbNodes(path.join(folder, "nodes.csv"))).rejects.toThrow(/nodes\.csv:3: not a node with GPUs: it has sn "n2", gpu "0", model "T4"/);
  await expect(readOpenbNodes(path.join(folder, "none.csv"))).rejects.toThrow(/none\.csv has no nodes/);
  await expect(readOpenbNodes(path.join(folder, "absent.csv"))).rejects.toThrow(/cannot read the trace .*absent\.csv/);
  expect(() => openbFleet([{ name: "n1", model: "X9", gpus: 1 }])).toThrow("node n1 has GPUs of model X9");
});

testWithTraces("openb has the published GPUs, all of known kinds, and a cut of them is a fleet", async () => {
  const nodes = await readOpenbNodes(path.join(TRACES, "alibaba-openb-gpu-v2023/openb_node_list_gpu_node.csv"));
  expect([count(nodes), nodes.length, new Set(nodes.map(({ model }) => model)).size]).toEqual([6212, 1213, 7]);
  expect(new Set(nodes.map(({ model }) => model))).toEqual(new Set(Object.keys(OPENB_GPU_KINDS)));
  const fleet = openbFleet(stratifiedGpus(nodes, 128, 1));
  expect(fleet.flatMap(({ gpus }) => gpus)).toHaveLength(128);
  expect(new Set(fleet.map(({ nodeId }) => nodeId)).size).toBe(fleet.length);
  expect(fleet.every(({ nodeId, gpus }) => nodeId.startsWith("sim-openb-node-") && gpus.every(({ gpuId }) => gpuId.startsWith(nodeId)))).toBe(true);
});
