import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "@jest/globals";
import { BatchRouteRequestSchema, type RouteRequestSchema } from "../../../gen/gpurouter/v1/router_pb.js";
import { batchRefs } from "../../../src/api/batch-refs.js";
import { requestSpec } from "../../../src/api/to-model.js";

type Init = MessageInitShape<typeof RouteRequestSchema>;

const call = (requests: readonly Init[], over: { readonly batchSplit?: boolean; readonly minBatchSizePerGpu?: number } = {}) => create(BatchRouteRequestSchema, { requests: [...requests], ...over });

describe("the requests of a call belong together", () => {
  test("when they are of one model and type with the same needs of hardware; each kind knows how many it is", () => {
    const a: Init = { modelId: "a" };
    const refs = batchRefs(call([a, { modelId: "b" }, { ...a, type: "inference" }, { modelId: "b", type: "embedding" }, { modelId: "b" }, { ...a, priority: 5 }]));
    expect(refs.map((ref) => ref?.size)).toEqual([3, 2, 3, undefined, 2, 3]);
    expect(new Set([refs[0], refs[2], refs[5]].map((ref) => ref?.id)).size).toBe(1);
    expect(refs[1]?.id).not.toBe(refs[0]?.id);
    const needy = batchRefs(call([a, { ...a, resourceRequirements: { minComputeCapability: "9.0" } }, { ...a, resourceRequirements: { computeUnits: 80 } }]));
    expect(needy).toEqual([undefined, undefined, undefined]);
  });

  test("unless they have GPUs of their own", () => {
    expect(batchRefs(call([{ modelId: "a", specificGpuId: "g" }, { modelId: "a", gpus: 2 }, { modelId: "a" }]))).toEqual([undefined, undefined, undefined]);
  });

  test("in no other call", () => {
    const both = [1, 2].map(() => batchRefs(call([{ modelId: "a" }, { modelId: "a" }]))[0]?.id);
    expect(new Set(both).size).toBe(2);
  });

  test("with what the call asks, or leaves to the configuration", () => {
    const two: Init[] = [{ modelId: "a" }, { modelId: "a" }];
    expect(batchRefs(call(two))[0]).toMatchObject({ split: null, minPerGpu: 0 });
    expect(batchRefs(call(two, { batchSplit: false, minBatchSizePerGpu: 9 }))[1]).toMatchObject({ split: false, minPerGpu: 9 });
  });
});

test("a request in a batch is the same content as by itself: a repeat may come in another call", () => {
  const { requests } = call([{ modelId: "a", requestId: "r" }, { modelId: "a" }]);
  const [ref] = batchRefs(call([{ modelId: "a" }, { modelId: "a" }]));
  const [request] = requests;
  if (!request) throw new Error("The call has requests.");
  expect(requestSpec(request, ref)).toEqual({ ...requestSpec(request), batch: ref });
});
