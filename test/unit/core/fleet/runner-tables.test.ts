import { describe, expect, test } from "@jest/globals";
import { RunnerTables, type RunnerSource } from "../../../../src/core/fleet/runner-tables.js";
import type { RunnerInfo } from "../../../../src/core/model/gpu.js";
import { gpuId, modelId, runner } from "../build.js";

function source(...runnersOfGpu: (readonly RunnerInfo[])[]): RunnerSource {
  return {
    size: runnersOfGpu.length,
    inventory: runnersOfGpu.map((_, index) => ({ gpuId: gpuId(`g${index}`), name: "A100" })),
    nodeOf: runnersOfGpu.map((runners) => ({ runners })),
  };
}

describe("RunnerTables", () => {
  const llama = runner({ models: [modelId("llama")], types: ["inference"] });
  const any = runner({ models: ["*"] });
  const onlyG1 = runner({ models: ["*"], gpuIds: [gpuId("g1")] });

  test.each([
    ["the first runner that serves the pair", [[llama, any], [any, llama]], "llama", "inference", [0, 0]],
    ["a later one when the first does not", [[llama, any], [llama]], "llama", "training", [1, -1]],
    ["a runner that is bound to GPUs on those only", [[onlyG1], [onlyG1]], "m", "inference", [-1, 0]],
    ["none of a node without runners", [[], [any]], "m", "inference", [-1, 0]],
  ] as const)("names %s", (_, runnersOfGpu, model, type, expected) => {
    const table = new RunnerTables().for(source(...runnersOfGpu), model, type);
    expect([...table.runnerOf]).toEqual(expected);
    expect([table.somewhere, table.everywhere]).toEqual([expected.some((at) => at >= 0), expected.every((at) => at >= 0)]);
  });

  test("puts GPUs of one node with the same runner together, and leaves out runners with fewer GPUs than the work needs", () => {
    const both = runner({ models: ["*"], gpuIds: [gpuId("g0"), gpuId("g1")] });
    const node = { runners: [onlyG1, both] };
    const other = { runners: [any] };
    const fleet = { size: 4, inventory: ["g0", "g1", "g2", "g3"].map((id) => ({ gpuId: gpuId(id), name: "A100" })), nodeOf: [node, node, node, other] };
    const tables = new RunnerTables();
    const alone = tables.for(fleet, "m", "training");
    const pair = tables.for(fleet, "m", "training", 2);
    const three = tables.for(fleet, "m", "training", 3);
    expect([alone.runnerOf, pair.runnerOf, three.runnerOf].map((column) => [...column])).toEqual([[1, 0, -1, 0], [1, 1, -1, 0], [-1, -1, -1, 0]]);
    const [a, b, none, far] = pair.teamOf;
    expect([a === b, a === far, none]).toEqual([true, false, -1]);
  });

  test("keeps a table until it is told of a change", () => {
    const tables = new RunnerTables();
    const first = tables.for(source([any]), "m", "inference");
    expect(tables.for(source([]), "m", "inference")).toBe(first);
    tables.invalidate();
    expect(tables.for(source([]), "m", "inference").somewhere).toBe(false);
  });

  test("keeps a bounded number of them and stays right", () => {
    const tables = new RunnerTables();
    const fleet = source([llama]);
    const first = tables.for(fleet, "llama", "inference");
    for (let index = 0; index < 3_000; index += 1) expect(tables.for(fleet, `m${index}`, "inference").somewhere).toBe(false);
    const again = tables.for(fleet, "llama", "inference");
    expect(again).not.toBe(first);
    expect(again).toEqual(first);
  });
});
