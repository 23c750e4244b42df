import { describe, expect, test } from "@jest/globals";
import { WaitingQueue, type Waiting } from "../../../../src/core/queue/waiting-queue.js";
import type { UserId } from "../../../../src/core/model/ids.js";
import type { Priority } from "../../../../src/core/model/request.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { estimate, gpuId, requestId, spec } from "../build.js";

const NOW = 1_000;

interface Over {
  readonly priority?: Priority;
  readonly model?: string;
  readonly memoryMib?: number;
  readonly gpu?: string;
  readonly avoid?: string;
  readonly bytes?: number;
  readonly dueAtMs?: number;
  readonly user?: string;
}

function waiting(id: string, sequence: number, over: Over = {}): Waiting {
  return {
    spec: spec(id, { userId: (over.user ?? "user") as UserId, priority: over.priority ?? 3, model: over.model ?? "m", gpu: over.gpu ?? "", payload: new Uint8Array(over.bytes ?? 10) }),
    sequence,
    acceptedAtMs: sequence,
    dueAtMs: over.dueAtMs ?? 60_000 + sequence,
    late: false,
    estimate: estimate({ memoryMib: over.memoryMib ?? 0 }),
    exclusive: false,
    avoidGpuId: gpuId(over.avoid ?? ""),
  };
}

function queueOf(...all: Waiting[]): WaitingQueue {
  const queue = new WaitingQueue();
  for (const one of all) queue.push(one);
  return queue;
}

/** Takes everything in the order in which the scheduler would. */
function drain(queue: WaitingQueue): string[] {
  const order: string[] = [];
  const line = queue.line("all", NOW);
  for (let of = queue.next(line, NOW); of; of = queue.next(line, NOW)) {
    const { requestId: id } = of.head.spec;
    order.push(id);
    queue.charge(id, 1_000);
    queue.remove(id);
    queue.putBack(line, of, NOW);
  }
  return order;
}

describe("the order", () => {
  test("is by priority, then by acceptance, across classes", () => {
    const queue = queueOf(
      waiting("low", 1, { priority: 1 }),
      waiting("mid-1", 2, { model: "a" }),
      waiting("mid-2", 3, { model: "b" }),
      waiting("mid-3", 4, { model: "a" }),
      waiting("high", 5, { priority: 5 }),
    );
    expect(drain(queue)).toEqual(["high", "mid-1", "mid-2", "mid-3", "low"]);
    expect([queue.size, queue.bytes]).toEqual([0, 0]);
  });

  test("puts a request that comes back at its old place", () => {
    const queue = queueOf(waiting("b", 2), waiting("d", 4), waiting("e", 5));
    queue.push(waiting("a", 1));
    queue.push(waiting("c", 3));
    expect(drain(queue)).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("is that of a sorted list for random arrivals, returns and departures", () => {
    const random = seededRandom(9);
    const queue = new WaitingQueue();
    const model: Waiting[] = [];
    for (let sequence = 1; sequence <= 400; sequence += 1) {
      const one = waiting(`r${sequence}`, Math.floor(random() * 1_000_000), {
        priority: (1 + Math.floor(random() * 5)) as Priority,
        model: `m${Math.floor(random() * 4)}`,
        memoryMib: Math.floor(random() * 3_000),
      });
      queue.push(one);
      model.push(one);
      if (random() < 0.3) {
        const [gone] = model.splice(Math.floor(random() * model.length), 1);
        expect(queue.remove(gone!.spec.requestId)).toBe(gone);
      }
    }
    model.sort((a, b) => b.spec.priority - a.spec.priority || a.sequence - b.sequence);
    model.forEach((one, place) => expect(queue.position(one.spec.requestId)).toBe(place));
    expect(drain(queue)).toEqual(model.map((one) => one.spec.requestId));
  });
});

describe("classes", () => {
  const classes = (...all: Waiting[]): number => [...queueOf(...all).heads()].length;

  test.each<[string, Over, number]>([
    ["the same needs", {}, 1],
    ["another model", { model: "other" }, 2],
    ["another priority", { priority: 4 }, 2],
    ["a pin", { gpu: "g1" }, 2],
    ["a GPU to avoid", { avoid: "g1" }, 2],
    ["any memory at all", { memoryMib: 1 }, 2],
  ])("%s make %o %i of two", (_, over, expected) => {
    expect(classes(waiting("a", 1), waiting("b", 2, over))).toBe(expected);
  });

  test.each([[1, 512, 1], [512, 513, 2], [513, 1_024, 1]])("%i and %i MiB make %i of two", (a, b, expected) => {
    expect(classes(waiting("a", 1, { memoryMib: a }), waiting("b", 2, { memoryMib: b }))).toBe(expected);
  });

  test("refused ones are tried only when something was freed, hopeless ones only after a change of the fleet", () => {
    const queue = queueOf(waiting("a", 1, { model: "a" }), waiting("b", 2, { model: "b" }), waiting("c", 3, { model: "c" }));
    const tried = (withRefused: boolean): string[] => {
      const line = queue.line(withRefused ? "all" : [], NOW);
      const ids: string[] = [];
      for (let of = queue.next(line, NOW); of; of = queue.next(line, NOW)) ids.push(of.head.spec.requestId);
      return ids;
    };
    const line = queue.line([], NOW);
    queue.standings.refuse(line.pop()!.of, "refused", false);
    queue.standings.refuse(line.pop()!.of, "hopeless", false);
    expect([tried(false), tried(true), queue.hasOpen]).toEqual([["c"], ["a", "c"], true]);
    queue.standings.reopenHopeless();
    expect([tried(false), tried(true)]).toEqual([["b", "c"], ["a", "b", "c"]]);
  });

  test.each<[string, (queue: WaitingQueue) => void, boolean]>([
    ["stays refused for a later request of the same need", (queue) => queue.push(waiting("same", 9, { memoryMib: 1_000 })), false],
    ["stays refused for a smaller one behind its head", (queue) => queue.push(waiting("smaller", 9, { memoryMib: 600 })), false],
    ["opens for a smaller one that comes back to its head", (queue) => queue.push(waiting("smaller", 0, { memoryMib: 600 })), true],
    ["opens when its head leaves and the next needs less", (queue) => {
      queue.push(waiting("smaller", 9, { memoryMib: 600 }));
      queue.remove(requestId("head"));
    }, true],
    ["stays refused when its head leaves and the next needs more", (queue) => {
      queue.push(waiting("bigger", 9, { memoryMib: 1_024 }));
      queue.remove(requestId("head"));
    }, false],
  ])("%s", (_, change, open) => {
    const queue = queueOf(waiting("head", 1, { memoryMib: 1_000 }));
    queue.standings.refuse(queue.line([], NOW).pop()!.of, "refused", false);
    change(queue);
    expect(queue.hasOpen).toBe(open);
  });

  test("one that was refused and emptied starts open again", () => {
    const queue = queueOf(waiting("a", 1));
    queue.standings.refuse(queue.line([], NOW).pop()!.of, "refused", false);
    queue.remove(requestId("a"));
    expect(queue.hasOpen).toBe(false);
    queue.push(waiting("b", 2));
    expect(queue.hasOpen).toBe(true);
  });
});

describe("what it tells", () => {
  const queue = queueOf(
    waiting("a", 1, { priority: 5, bytes: 100 }),
    waiting("b", 2, { gpu: "g1" }),
    waiting("c", 3, { gpu: "g1", model: "other" }),
    waiting("d", 4, { priority: 1 }),
  );

  test("sizes and bytes", () => {
    expect([queue.size, queue.bytes, queue.bandSize(3), queue.bandSize(2)]).toEqual([4, 130, 2, 0]);
  });

  test.each([["a", 0], ["b", 1], ["c", 2], ["d", 3], ["nobody", 0]])("%s has %i ahead", (id, ahead) => {
    expect(queue.position(requestId(id))).toBe(ahead);
  });

  test.each<[Priority, number]>([[5, 1], [4, 1], [3, 3], [1, 4]])("a new request of priority %i would have %i ahead", (priority, ahead) => {
    expect(queue.lengthBefore(priority)).toBe(ahead);
  });

  test("how many wait for a GPU alone", () => {
    expect([queue.pinnedTo(gpuId("g1")), queue.pinnedTo(gpuId("g2"))]).toEqual([2, 0]);
  });

  test("what waits, and null for what does not", () => {
    expect(queue.get(requestId("b"))?.sequence).toBe(2);
    expect([queue.get(requestId("nobody")), queue.remove(requestId("nobody"))]).toEqual([null, null]);
  });
});
