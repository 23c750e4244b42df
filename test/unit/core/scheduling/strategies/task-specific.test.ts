import { expect, test } from "@jest/globals";
import { ask, inventory } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

const MAPPINGS = { image_segmentation: ["gpu_0"], text_generation: ["GPU-b", "gpu_2"], old: ["gpu_9", "gpu_x"] };
const dispatcher = (): Dispatcher => new Dispatcher("task_specific", ["GPU-a", "GPU-b", "GPU-c", "GPU-d"], { taskMappings: MAPPINGS });

test("a mapped type goes to its GPUs only, named by id or by index, the least busy first", () => {
  expect(dispatcher().fill(4, { type: "image_segmentation" })).toEqual({ "GPU-a": 4 });
  expect(dispatcher().fill(8, { type: "text_generation" })).toEqual({ "GPU-b": 4, "GPU-c": 4 });
});

test("a type that is not mapped goes anywhere", () => {
  expect(dispatcher().fill(8, { type: "inference" })).toEqual({ "GPU-a": 2, "GPU-b": 2, "GPU-c": 2, "GPU-d": 2 });
});

test("a mapped type waits for its GPUs while others are idle, and Explain says so", () => {
  const full = dispatcher();
  full.fill(100, { type: "image_segmentation" });
  expect(full.choose({ type: "image_segmentation" })).toBeNull();
  expect(full.scheduler.hopeless(full.fleet, ask({ type: "image_segmentation" }))).toBe(false);
  expect(full.explain({ type: "image_segmentation" }).filters).toEqual([
    { filter: "slots", removed: 1, needed: expect.any(String) },
    { filter: "mapping", removed: 3, needed: "one of the GPUs that image_segmentation is mapped to: gpu_0" },
  ]);
});

test("a type mapped to GPUs that are not there is hopeless until one comes", () => {
  const waiting = dispatcher();
  const hopeless = (): boolean => waiting.scheduler.hopeless(waiting.fleet, ask({ type: "old" }));
  expect(hopeless()).toBe(true);
  for (let index = 4; index < 10; index += 1) waiting.fleet.register(index, waiting.fleet.nodeOf[0]!.nodeId, inventory(`GPU-${index}`));
  expect(hopeless()).toBe(false);
  expect(waiting.choose({ type: "old" })).toBe("GPU-9");
});

test("the mapping is the strategy's own: others do not heed it", () => {
  expect(new Dispatcher("least_loaded", ["GPU-a", "GPU-b"], { taskMappings: MAPPINGS }).fill(8, { type: "image_segmentation" })).toEqual({ "GPU-a": 4, "GPU-b": 4 });
});
