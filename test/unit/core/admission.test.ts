// The bounds of the line, and who makes way for whom.
import { describe, expect, test } from "@jest/globals";
import type { SubmitOutcome } from "../../../src/core/events.js";
import type { Priority } from "../../../src/core/model/request.js";
import type { CoreSettings } from "../../../src/core/settings.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import { Engine } from "../../../src/core/engine.js";
import { spec, World } from "./build.js";

/** A line of at most four, without GPUs. */
class Line extends World {
  constructor(over: Partial<CoreSettings> = {}) {
    super({ maxQueuedRequests: 4, queueHeadroom: 0, requestTimeoutMs: 0, ...over });
  }

  send(id: string, priority: Priority, bytes = 10): SubmitOutcome["kind"] {
    return this.submit(id, { priority, payload: new Uint8Array(bytes) }).submitted!.kind;
  }

  get ids(): readonly string[] {
    return [...this.engine.state.requests.keys()];
  }
}

describe("a full line", () => {
  test("lets a more urgent one in, in the place of the youngest of the lowest priority", () => {
    const line = new Line();
    for (const [id, priority] of [["low-old", 1], ["low-young", 1], ["middle", 3], ["middle-2", 3]] as const) line.send(id, priority);
    expect(line.send("urgent", 5)).toBe("accepted");
    expect(line.ids).toEqual(["low-old", "middle", "middle-2", "urgent"]);
    expect(line.ended("low-young")).toMatchObject({ phase: "failed", error: { code: "shed" } });
    expect(line.ended("low-young").error?.message).toMatch(/made way.*Send it again in \d+ ms/);
    line.send("urgent-2", 2);
    expect(line.ids).toEqual(["middle", "middle-2", "urgent", "urgent-2"]);
  });

  test("sends away who is no more urgent than anybody there, and tells when to come back", () => {
    const line = new Line();
    for (let count = 0; count < 4; count += 1) line.send(`r${count}`, 3);
    expect(line.submit("same", { priority: 3 }).submitted).toMatchObject({ kind: "queue_full", what: "requests", limit: 4, retryAfterMs: 1_000 });
    expect(line.send("lower", 1)).toBe("queue_full");
    expect(line.ids).toHaveLength(4);
    expect(line.send("higher", 4)).toBe("accepted");
    expect(line.ids).toEqual(["r0", "r1", "r2", "higher"]);
  });

  test("takes nothing from what has been on a GPU", () => {
    const line = new Line({ maxRetries: 5, retryDelayMs: 10_000 });
    line.connect("n", ["g"]);
    for (let count = 0; count < 4; count += 1) line.send(`tried-${count}`, 1);
    for (let count = 0; count < 4; count += 1) line.end(`tried-${count}`, "unavailable");
    line.disconnect("n");
    expect(line.send("urgent", 5)).toBe("queue_full");
    expect(line.ids).toHaveLength(4);
  });

  test("makes room for bytes too: as many go as are needed, and none when it would not be enough", () => {
    const line = new Line({ maxQueuedRequests: 100, maxQueuedBytes: 100 });
    for (let count = 0; count < 8; count += 1) line.send(`low-${count}`, 1);
    line.send("middle", 3, 20);
    expect(line.send("too-large", 4, 101)).toBe("queue_full");
    expect(line.ids).toHaveLength(9);
    expect(line.send("urgent", 5, 25)).toBe("accepted");
    expect(line.ids).toEqual(["low-0", "low-1", "low-2", "low-3", "low-4", "middle", "urgent"]);
    expect(line.engine.state.queue.counts.bytes).toBeLessThanOrEqual(100);
  });

  test("keeps its last places for the urgent", () => {
    const line = new Line({ maxQueuedRequests: 10, queueHeadroom: 0.4 });
    const places = (priority: Priority): number => {
      let count = 0;
      while (line.send(`p${priority}-${count}`, priority) === "accepted") count += 1;
      return line.ids.length;
    };
    expect(places(1)).toBe(6);
    expect(line.engine.state.queue.counts.bandSize(1)).toBe(6);
    expect(places(2)).toBe(7);
    expect(line.engine.state.queue.counts.bandSize(1)).toBe(0);
  });

  test("knows after a restart who may make way", () => {
    const line = new Line();
    for (const id of ["a", "b", "c", "d"]) line.send(id, 1);
    const restored = new Engine(line.settings, takeSnapshot(line.engine.state));
    restored.step({ kind: "take_over", epoch: 2 }, line.nowMs);
    expect(restored.step({ kind: "submit", spec: spec("urgent", { priority: 5 }) }, line.nowMs).submitted?.kind).toBe("accepted");
    expect([...restored.state.requests.keys()]).toEqual(["a", "b", "c", "urgent"]);
  });

  test("an id that comes again does not make way twice", () => {
    const line = new Line();
    line.send("again", 1);
    line.cancel("again");
    for (const id of ["again", "b", "c", "d"]) line.send(id, 1);
    for (const id of ["u1", "u2", "u3", "u4"]) expect(line.send(id, 5)).toBe("accepted");
    expect(line.ids).toEqual(["u1", "u2", "u3", "u4"]);
  });
});

describe("short of memory", () => {
  test("only more urgent ones come in, in the place of others, until there is memory again", () => {
    const line = new Line({ maxQueuedRequests: 100 });
    line.send("low", 1);
    line.step({ kind: "memory", share: 0.91 });
    expect(line.submit("more", { priority: 1 }).submitted).toMatchObject({ kind: "queue_full", what: "memory" });
    expect(line.send("urgent", 5)).toBe("accepted");
    expect(line.ids).toEqual(["urgent"]);
    line.step({ kind: "memory", share: 0.5 });
    expect(line.send("more", 1)).toBe("accepted");
  });

  test("nearly out of it, a share of the least urgent goes at each look, never what is most urgent", () => {
    const line = new Line({ maxQueuedRequests: 100 });
    for (let count = 0; count < 30; count += 1) line.send(`low-${count}`, 1);
    for (let count = 0; count < 10; count += 1) line.send(`urgent-${count}`, 5);
    line.step({ kind: "memory", share: 0.97 });
    expect(line.ids).toHaveLength(38);
    for (let look = 0; look < 60; look += 1) line.step({ kind: "memory", share: 0.97 });
    expect(line.ids).toEqual(Array.from({ length: 10 }, (_, count) => `urgent-${count}`));
  });
});
