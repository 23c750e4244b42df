import { describe, expect, test } from "@jest/globals";
import type { RequestView, WatchEvent } from "../../../src/api/router-port.js";
import type { RequestId } from "../../../src/core/model/ids.js";
import type { Phase, Request } from "../../../src/core/model/request.js";
import { RequestWatchers } from "../../../src/router/request-watchers.js";
import { turn } from "./fakes.js";

const ID = "r" as RequestId;
const view = (phase: Phase, attempt = 1): RequestView => ({ request: { phase, attempt } as Request, queuePosition: 0, result: null, resultUrl: "" });
const now = (phase: Phase) => () => Promise.resolve(view(phase));
const never = new AbortController().signal;

function said(event: WatchEvent): string {
  if (event.kind === "request") return `${event.view.request.phase} ${event.view.request.attempt}`;
  if (event.kind === "output_void") return `void ${event.attempt}`;
  return event.kind === "progress" ? `progress ${event.fraction}` : `output ${event.offset}+${event.data.byteLength}`;
}

/** Reads on in the background. */
function read(events: AsyncIterable<WatchEvent>): { readonly seen: string[]; readonly ended: Promise<void> } {
  const seen: string[] = [];
  const ended = (async () => {
    for await (const event of events) seen.push(said(event));
  })();
  return { seen, ended };
}

const tell = (watchers: RequestWatchers, phase: Phase, attempt = 1): void => watchers.telling(ID, view(phase, attempt))();

test("the present state comes first, then every transition, and the final one is the last", async () => {
  const watchers = new RequestWatchers();
  const { seen, ended } = read(watchers.watch(ID, now("queued"), never));
  await turn();
  tell(watchers, "placed");
  tell(watchers, "running");
  watchers.output({ requestId: ID, attempt: 1 }, 0, new Uint8Array(4));
  watchers.progress({ requestId: ID, attempt: 1 }, 0.5, "");
  tell(watchers, "queued");
  tell(watchers, "placed", 2);
  tell(watchers, "completed", 2);
  tell(watchers, "failed", 9);
  await ended;
  expect(seen).toEqual(["queued 1", "placed 1", "running 1", "output 0+4", "progress 0.5", "queued 1", "placed 2", "completed 2"]);
  expect(watchers.watched(ID)).toBe(false);
});

test("a request that has ended gives its final state and no more", async () => {
  const watchers = new RequestWatchers();
  const { seen, ended } = read(watchers.watch(ID, now("cancelled"), never));
  tell(watchers, "completed");
  await ended;
  expect(seen).toEqual(["cancelled 1"]);
});

test("one that is gone by the time it is asked gives nothing", async () => {
  const watchers = new RequestWatchers();
  const { seen, ended } = read(watchers.watch(ID, () => Promise.resolve(null), never));
  await ended;
  expect(seen).toEqual([]);
  expect(watchers.watched(ID)).toBe(false);
});

test("no transition is missed between the question and its durable answer", async () => {
  const watchers = new RequestWatchers();
  let answer: (present: RequestView) => void = () => {};
  const { seen, ended } = read(watchers.watch(ID, () => new Promise((resolve) => (answer = resolve)), never));
  const placed = watchers.telling(ID, view("placed"));
  const completed = watchers.telling(ID, view("completed"));
  answer(view("queued"));
  placed();
  completed();
  await ended;
  expect(seen).toEqual(["queued 1", "placed 1", "completed 1"]);
});

test("what was on its way before somebody began to watch is not told to them: they began with a newer state", async () => {
  const watchers = new RequestWatchers();
  const early = read(watchers.watch(ID, now("queued"), never));
  await turn();
  const placed = watchers.telling(ID, view("placed"));
  const running = watchers.telling(ID, view("running"));
  const late = read(watchers.watch(ID, now("running"), never));
  await turn();
  placed();
  running();
  tell(watchers, "completed");
  await Promise.all([early.ended, late.ended]);
  expect(early.seen).toEqual(["queued 1", "placed 1", "running 1", "completed 1"]);
  expect(late.seen).toEqual(["running 1", "completed 1"]);
});

test("when an attempt's output is void, those who watch are told in its place, and who comes later sees nothing of it", async () => {
  const watchers = new RequestWatchers();
  const ref = (attempt: number) => ({ requestId: ID, attempt });
  const early = read(watchers.watch(ID, now("running"), never));
  await turn();
  watchers.output(ref(1), 0, new Uint8Array(3));
  const voided = watchers.voiding(ID, 1, "node_lost");
  const late = read(watchers.watch(ID, now("running"), never));
  voided?.();
  watchers.output(ref(2), 0, new Uint8Array(5));
  tell(watchers, "completed", 2);
  await Promise.all([early.ended, late.ended]);
  expect(early.seen).toEqual(["running 1", "output 0+3", "void 1", "output 0+5", "completed 2"]);
  expect(late.seen).toEqual(["running 1", "output 0+5", "completed 2"]);
  expect(watchers.voiding("nobody watches it" as RequestId, 1, "node_lost")).toBeNull();
});

describe("A reader that does not keep up", () => {
  /** Asked for the present state only; what follows piles up until the next call. */
  async function slow(watchers: RequestWatchers): Promise<AsyncIterator<WatchEvent>> {
    const events = watchers.watch(ID, now("running"), never)[Symbol.asyncIterator]();
    await events.next();
    return events;
  }
  async function rest(events: AsyncIterator<WatchEvent>): Promise<WatchEvent[]> {
    const all: WatchEvent[] = [];
    for (let next = await events.next(); next.done !== true; next = await events.next()) all.push(next.value);
    return all;
  }

  test("loses output beyond a bound, sees it by the offsets, and gets every transition", async () => {
    const watchers = new RequestWatchers();
    const events = await slow(watchers);
    const piece = new Uint8Array(100 * 1024);
    for (let index = 0; index < 1_000; index += 1) {
      watchers.output({ requestId: ID, attempt: 1 }, index * piece.byteLength, piece);
      if (index % 100 === 99) tell(watchers, "placed", index);
    }
    tell(watchers, "completed");
    const seen = await rest(events);
    const bytes = seen.reduce((sum, event) => sum + (event.kind === "output" ? event.data.byteLength : 0), 0);
    expect(bytes).toBeGreaterThan(900 * 1024);
    expect(bytes).toBeLessThanOrEqual(1024 * 1024);
    expect(seen.filter(({ kind }) => kind === "request")).toHaveLength(11);
    expect(said(seen.at(-1)!)).toBe("completed 1");
  });

  test("is bounded for the smallest pieces too, and for progress", async () => {
    const watchers = new RequestWatchers();
    const events = await slow(watchers);
    for (let index = 0; index < 100_000; index += 1) {
      watchers.output({ requestId: ID, attempt: 1 }, index, new Uint8Array(index % 2));
      watchers.progress({ requestId: ID, attempt: 1 }, index / 100_000, "");
    }
    tell(watchers, "completed");
    const seen = await rest(events);
    expect(seen.length).toBeLessThan(50_000);
    // The newest progress, not the oldest.
    expect(seen.findLast(({ kind }) => kind === "progress")).toMatchObject({ fraction: 0.99999 });
  });

  test("has room again for what it has read", async () => {
    const watchers = new RequestWatchers();
    const events = await slow(watchers);
    const piece = new Uint8Array(1000 * 1024);
    for (let index = 0; index < 5; index += 1) {
      watchers.output({ requestId: ID, attempt: 1 }, index, piece);
      watchers.output({ requestId: ID, attempt: 1 }, 1_000_000, piece);
      expect(said((await events.next()).value as WatchEvent)).toBe(`output ${index}+${piece.byteLength}`);
    }
    await events.return?.();
  });

  test("does not slow down another", async () => {
    const watchers = new RequestWatchers();
    const events = await slow(watchers);
    const quick = read(watchers.watch(ID, now("running"), never));
    await turn();
    for (let index = 0; index < 30; index += 1) {
      watchers.output({ requestId: ID, attempt: 1 }, index, new Uint8Array(100 * 1024));
      await turn();
    }
    expect(quick.seen).toHaveLength(31);
    await events.return?.();
    tell(watchers, "completed");
    await quick.ended;
  });
});

describe("Leaving", () => {
  test("by the signal, by breaking off and by the end is noticed, and so is the last one", async () => {
    const watchers = new RequestWatchers();
    const abort = new AbortController();
    const aborted = read(watchers.watch(ID, now("running"), abort.signal));
    const broken = watchers.watch(ID, now("running"), never)[Symbol.asyncIterator]();
    const toTheEnd = read(watchers.watch(ID, now("running"), never));
    await broken.next();
    await turn();
    let none = false;
    const gone = watchers.none().then(() => (none = true));
    abort.abort();
    await aborted.ended;
    await broken.return?.();
    await turn();
    expect([watchers.watched(ID), none]).toEqual([true, false]);
    tell(watchers, "completed");
    await toTheEnd.ended;
    await gone;
    expect(watchers.watched(ID)).toBe(false);
    await watchers.none();
  });

  test("before the first message is noticed too", async () => {
    const watchers = new RequestWatchers();
    const abort = new AbortController();
    const { seen, ended } = read(watchers.watch(ID, now("running"), abort.signal));
    abort.abort();
    await ended;
    expect(watchers.watched(ID)).toBe(false);
    expect(seen.length).toBeLessThanOrEqual(1);
  });
});
