import { expect, test } from "@jest/globals";
import { inventory, nodeId, OUT, WELL } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `g${index}`);
const ROOM = { maxConcurrentTasksPerGpu: 64 };

test("every GPU gets one before any gets two, and the order repeats", () => {
  const dispatcher = new Dispatcher("round_robin", ids(5), ROOM);
  const round = (): (string | null)[] => ids(5).map(() => dispatcher.place());
  const first = round();
  expect(first.toSorted()).toEqual(ids(5));
  expect(round()).toEqual(first);
  expect(round()).toEqual(first);
});

test("how busy a GPU is does not matter while it can take the request", () => {
  const dispatcher = new Dispatcher("round_robin", ids(2), ROOM);
  for (let turn = 0; turn < 30; turn += 1) dispatcher.fleet.place(0, 0);
  expect(dispatcher.fill(10)).toEqual({ g0: 5, g1: 5 });
});

test("one that could not take its turn takes the next", () => {
  const dispatcher = new Dispatcher("round_robin", ids(4), ROOM);
  dispatcher.fill(4);
  dispatcher.fleet.judged(2, OUT);
  expect(dispatcher.fill(6)).toEqual({ g0: 2, g1: 2, g3: 2 });
  dispatcher.fleet.judged(2, WELL);
  expect(dispatcher.place()).toBe("g2");
});

test("a new GPU has the next turn, and only one", () => {
  const dispatcher = new Dispatcher("round_robin", ids(3), ROOM);
  dispatcher.fill(6);
  dispatcher.fleet.register(3, nodeId("node"), inventory("g3"));
  expect(dispatcher.place()).toBe("g3");
  expect(dispatcher.fill(4)).toEqual({ g0: 1, g1: 1, g2: 1, g3: 1 });
});

test("the order is exact after many placements and over many GPUs, where neighbours in line differ by less than a tie elsewhere", () => {
  const dispatcher = new Dispatcher("round_robin", ids(1_500), ROOM);
  dispatcher.fleet.outcomes.placements = 3_000_000;
  const first = ids(1_500).map(() => dispatcher.place());
  expect(new Set(first).size).toBe(1_500);
  expect(ids(1_500).map(() => dispatcher.place())).toEqual(first);
});
