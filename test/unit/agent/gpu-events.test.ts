import { expect, test } from "@jest/globals";
import { GpuEvents } from "../../../src/agent/gpu-events.js";

const xid = (number: number) => ({ kind: "xid", gpuId: "g0", xid: number }) as const;
const told = (events: GpuEvents, nowMs = 0): string[] => events.take(nowMs).map(({ gpuId, event }) => `${gpuId} ${event.case} ${event.value}`);

test("each event is sent once, in its order", () => {
  const events = new GpuEvents();
  events.push(xid(13));
  events.push({ kind: "lost", gpuId: "g1", reason: "gone" });
  events.push({ kind: "hangs", gpuId: "g2", reason: "no answer" });
  events.push({ kind: "restored", gpuId: "g1", reason: "it answers again" });
  expect(events.length).toBe(4);
  expect(told(events)).toEqual(["g0 xid 13", "g1 lost gone", "g2 hangs no answer", "g1 restored it answers again"]);
  expect(told(events)).toEqual([]);
});

test("the text of the kernel's log goes with an Xid, as far as the contract takes it", () => {
  const events = new GpuEvents();
  events.push({ ...xid(149), detail: "x".repeat(5_000) });
  expect(events.take(0)[0]?.xidDetail).toHaveLength(1_024);
});

test("a router that takes over is told again what happened in the last ten minutes; the same router is not", () => {
  const events = new GpuEvents();
  events.welcomed(3n, 0);
  events.push(xid(48));
  expect(told(events, 0)).toEqual(["g0 xid 48"]);
  events.push(xid(79));
  expect(told(events, 500_000)).toEqual(["g0 xid 79"]);
  events.welcomed(3n, 510_000);
  expect(told(events, 510_000)).toEqual([]);
  events.push(xid(94));
  events.welcomed(4n, 700_000);
  expect(told(events, 700_000)).toEqual(["g0 xid 79", "g0 xid 94"]);
});

test("what waits is bounded: the oldest go first", () => {
  const events = new GpuEvents();
  for (let number = 0; number < 5_000; number += 1) events.push(xid(number));
  const all: string[] = [];
  while (events.length > 0) all.push(...told(events));
  expect([all.length, all[0]]).toEqual([4_096, "g0 xid 904"]);
});
