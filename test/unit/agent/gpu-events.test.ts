import { expect, test } from "@jest/globals";
import { GpuEvents } from "../../../src/agent/gpu-events.js";

const xid = (number: number) => ({ kind: "xid", gpuId: "g0", xid: number }) as const;
const told = (events: GpuEvents, nowMs = 0): string[] => events.take(nowMs).map(({ gpuId, event }) => `${gpuId} ${event.case} ${event.value}`);

test("each event is sent once, in its order", () => {
  const events = new GpuEvents();
  events.push(xid(13), 0);
  events.push({ kind: "lost", gpuId: "g1", reason: "gone" }, 0);
  events.push({ kind: "hangs", gpuId: "g2", reason: "no answer" }, 0);
  events.push({ kind: "restored", gpuId: "g1", reason: "it answers again" }, 0);
  expect(events.length).toBe(4);
  expect(told(events)).toEqual(["g0 xid 13", "g1 lost gone", "g2 hangs no answer", "g1 restored it answers again"]);
  expect(told(events)).toEqual([]);
});

test("the text of the kernel's log goes with an Xid, as far as the contract takes it", () => {
  const events = new GpuEvents();
  events.push({ ...xid(149), detail: "x".repeat(5_000) }, 0);
  expect(events.take(0)[0]?.xidDetail).toHaveLength(1_024);
});

test("on each new stream what happened in the last ten minutes is told again, with the same numbers and its age", () => {
  const events = new GpuEvents();
  const numbered = (nowMs: number): string[] => events.take(nowMs).map(({ sequence, event, ageMs }) => `${sequence}: xid ${event.value}, ${ageMs} ms ago`);
  events.welcomed(0);
  events.push(xid(48), 0);
  expect(numbered(20)).toEqual(["1: xid 48, 20 ms ago"]);
  events.push(xid(79), 500_000);
  expect(numbered(500_000)).toEqual(["2: xid 79, 0 ms ago"]);
  expect(numbered(510_000)).toEqual([]);
  events.welcomed(520_000);
  expect(numbered(520_000)).toEqual(["1: xid 48, 520000 ms ago", "2: xid 79, 20000 ms ago"]);
  events.push(xid(94), 650_000);
  events.welcomed(700_000);
  expect(numbered(700_000)).toEqual(["2: xid 79, 200000 ms ago", "3: xid 94, 50000 ms ago"]);
});

test("what waits is bounded: the oldest go first", () => {
  const events = new GpuEvents();
  for (let number = 0; number < 5_000; number += 1) events.push(xid(number), 0);
  const all: string[] = [];
  while (events.length > 0) all.push(...told(events));
  expect([all.length, all[0]]).toEqual([4_096, "g0 xid 904"]);
});
