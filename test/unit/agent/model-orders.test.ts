import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "@jest/globals";
import { ModelAction, ModelOrderSchema } from "../../../gen/gpurouter/v1/agent_pb.js";
import { giveModelOrder } from "../../../src/agent/model-orders.js";
import type { ModelOrder } from "../../../src/agent/runners/runner.js";
import { fakeRunner } from "./fake-runner.js";

const given: ModelOrder[] = [];
const loading = fakeRunner("loading", {
  describe: () => ({ models: ["resident"], types: [], gpuIds: [], loadable: [{ modelId: "loadable", memoryMib: 1, loadMs: 1 }] }),
  order: (order) => given.push(order),
});
const fixed = fakeRunner("fixed", { describe: () => ({ models: ["resident"], types: [], gpuIds: [] }) });
const runners = new Map([loading, fixed].map((runner) => [runner.name, runner]));

function give(runner: string, modelId: string, action: ModelAction): { ignored: string; given: ModelOrder[] } {
  given.length = 0;
  return { ignored: giveModelOrder(create(ModelOrderSchema, { runner, modelId, action }), runners), given: [...given] };
}

describe("An order about a model", () => {
  test.each([
    ["loadable", ModelAction.LOAD, "load"],
    ["loadable", ModelAction.UNLOAD, "unload"],
    ["resident", ModelAction.UNLOAD, "unload"],
  ] as const)("that the runner has, %s, is given to it", (modelId, message, action) => {
    expect(give("loading", modelId, message)).toEqual({ ignored: "", given: [{ modelId, action }] });
  });

  test.each([
    ["nobody", "loadable", ModelAction.LOAD, /no runner of that name/],
    ["fixed", "resident", ModelAction.UNLOAD, /not the router's to change/],
    ["loading", "other", ModelAction.LOAD, /does not have this model/],
    ["loading", "loadable", ModelAction.UNSPECIFIED, /does not know the action/],
    ["loading", "loadable", 9 as ModelAction, /does not know the action/],
  ] as const)("for runner %s and model %s, action %d, is ignored and says why", (runner, modelId, action, why) => {
    expect(give(runner, modelId, action)).toEqual({ ignored: expect.stringMatching(why), given: [] });
  });
});
