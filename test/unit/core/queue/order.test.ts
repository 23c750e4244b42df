// Whose turn it is: within a user by due time, between users by virtual time, between bands strictly, but for who has waited too long.
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { EligibilityClass, Waiting } from "../../../../src/core/queue/waiting-queue.js";
import { WaitingQueue, type QueueOrder } from "../../../../src/core/queue/waiting-queue.js";
import { NO_WISHES, type Priority } from "../../../../src/core/model/request.js";
import type { UserId } from "../../../../src/core/model/ids.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { estimate, requestId, spec } from "../build.js";

const NOW = 1_000_000;

interface Over {
  readonly user?: string;
  readonly priority?: Priority;
  readonly acceptedAtMs?: number;
  readonly dueAtMs?: number;
  readonly late?: boolean;
  readonly wishes?: boolean;
  readonly model?: string;
  readonly tokens?: number;
  readonly exclusive?: boolean;
  readonly gpus?: number;
}

let sequence = 0;

function waiting(id: string, over: Over = {}): Waiting {
  sequence += 1;
  const { user = "user", priority = 3, acceptedAtMs = NOW, dueAtMs = NOW + 60_000, late = false, wishes = false, model = "m", tokens = 0, exclusive = false, gpus = 0 } = over;
  return {
    spec: spec(id, { userId: user as UserId, priority, model, ...(wishes ? { wishes: { ...NO_WISHES, totalMs: 1_000 } } : {}), ...(gpus > 0 ? { wishes: { ...NO_WISHES, gpus } } : {}) }),
    sequence,
    acceptedAtMs,
    dueAtMs,
    late,
    estimate: estimate(tokens > 0 ? { inputTokens: tokens, outputTokens: 1 } : {}),
    exclusive,
    avoidGpuId: "",
  };
}

function queueOf(all: readonly Waiting[], maxWaitMs?: number, order?: QueueOrder): WaitingQueue {
  const queue = new WaitingQueue(maxWaitMs, new Map(), order);
  for (const one of all) queue.push(one);
  return queue;
}

/** Serves all that wait, each costing what `costMs` says; the ids in order. */
function served(queue: WaitingQueue, costMs: (id: string) => number = () => 100, nowMs = NOW): string[] {
  const order: string[] = [];
  const line = queue.line("all", nowMs);
  for (let of = queue.next(line, nowMs); of; of = queue.next(line, nowMs)) {
    const { requestId: id } = of.head.spec;
    order.push(id);
    queue.charge(id, costMs(id));
    queue.remove(id);
    queue.putBack(line, of, nowMs);
  }
  return order;
}

function first(queue: WaitingQueue, nowMs = NOW): EligibilityClass {
  return queue.next(queue.line("all", nowMs), nowMs)!;
}

describe("within a user", () => {
  test("the earliest due goes first, then the earliest accepted, wherever they come in", () => {
    const queue = queueOf([waiting("b", { dueAtMs: NOW + 200 }), waiting("d", { dueAtMs: NOW + 400 }), waiting("a", { dueAtMs: NOW + 100 }), waiting("c", { dueAtMs: NOW + 200 })]);
    expect(served(queue)).toEqual(["a", "b", "c", "d"]);
  });

  test("is that of a sorted list, whatever is taken out between", () => {
    const random = seededRandom(4);
    const all = Array.from({ length: 500 }, (_, index) => waiting(`r${index}`, { dueAtMs: NOW + Math.floor(random() * 50) }));
    const queue = queueOf(all);
    const gone = new Set(all.filter(() => random() < 0.4));
    for (const { spec: one } of gone) queue.remove(one.requestId);
    const left = all.filter((one) => !gone.has(one)).sort((a, b) => a.dueAtMs - b.dueAtMs || a.sequence - b.sequence);
    expect(served(queue)).toEqual(left.map(({ spec: one }) => one.requestId));
  });

  test("costs little to join with something urgent before 100,000 that are not", () => {
    const queue = queueOf(Array.from({ length: 100_000 }, (_, index) => waiting(`slow${index}`)));
    const startedMs = performance.now();
    for (let index = 0; index < 2_000; index += 1) queue.push(waiting(`urgent${index}`, { dueAtMs: NOW + 1_000 + index / 100 }));
    // Passing all that can wait each time takes half a minute.
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(first(queue).head.spec.requestId).toBe("urgent0");
  });
});

describe("orders that are taken out, to see what they are worth", () => {
  const mixed = (): Waiting[] => [
    waiting("low, due first", { user: "busy", priority: 1, dueAtMs: NOW + 1 }),
    waiting("late", { user: "busy", priority: 5, late: true, dueAtMs: NOW }),
    waiting("high", { user: "busy", priority: 5, dueAtMs: NOW + 100 }),
    waiting("high again", { user: "busy", priority: 5, dueAtMs: NOW + 110 }),
    waiting("high of another", { user: "idle", priority: 5, dueAtMs: NOW + 200 }),
  ];

  test("all orders together", () => {
    expect(served(queueOf(mixed()))).toEqual(["high", "high of another", "high again", "late", "low, due first"]);
  });

  test("without bands a low priority that is due first goes first, the late still last", () => {
    expect(served(queueOf(mixed(), undefined, { bands: false, fairUsers: false }))).toEqual(["low, due first", "high", "high again", "high of another", "late"]);
    expect(served(queueOf(mixed(), undefined, { bands: false, fairUsers: true }))).toEqual(["low, due first", "high of another", "high", "high again", "late"]);
  });

  test("without fairness a user's many go before another's one that is due later", () => {
    expect(served(queueOf(mixed(), undefined, { bands: true, fairUsers: false }))).toEqual(["high", "high again", "high of another", "late", "low, due first"]);
  });
});

describe("between users", () => {
  test("the one with the least GPU time goes first; who has little to do is not held up by who has much", () => {
    const many = Array.from({ length: 6 }, (_, index) => waiting(`many${index}`, { user: "many" }));
    expect(served(queueOf([...many, waiting("one", { user: "few" })]))).toEqual(["many0", "one", "many1", "many2", "many3", "many4", "many5"]);
  });

  test("of the same GPU time the earliest due goes first, not who happens to come up", () => {
    const random = seededRandom(2);
    const all = Array.from({ length: 60 }, (_, index) => waiting(`r${index}`, { user: `u${index}`, dueAtMs: NOW + Math.floor(random() * 1_000) }));
    const byDue = [...all].sort((a, b) => a.dueAtMs - b.dueAtMs || a.sequence - b.sequence);
    expect(served(queueOf(all))).toEqual(byDue.map(({ spec: one }) => one.requestId));
  });

  test("an urgent request of a user counts as soon as it comes", () => {
    const queue = queueOf([waiting("a", { user: "a" }), waiting("b", { user: "b", dueAtMs: NOW + 50_000 })]);
    expect(first(queue).head.spec.requestId).toBe("b");
    queue.push(waiting("a now", { user: "a", dueAtMs: NOW + 10 }));
    expect(first(queue).head.spec.requestId).toBe("a now");
    queue.remove(requestId("a now"));
    expect(first(queue).head.spec.requestId).toBe("b");
  });

  test("neither models nor classes change whose turn it is", () => {
    const queue = queueOf(["x", "y", "z"].flatMap((model) => [0, 1, 2, 3].map((index) => waiting(`${model}${index}`, { user: model === "z" ? "other" : "many", model }))));
    const turns = served(queue).slice(0, 8);
    expect(turns.filter((id) => id.startsWith("z"))).toHaveLength(4);
  });

  test("what a request was charged too much is given back in the band where it was charged", () => {
    const queue = queueOf([waiting("late", { user: "u", late: true }), waiting("other", { user: "v", late: true })]);
    queue.charge(requestId("late"), 1_000);
    const { spec: late } = queue.remove(requestId("late"))!;
    queue.push(waiting("late again", { user: "u", late: true }));
    queue.settle(late, true, -1_000);
    queue.charge(requestId("other"), 10);
    queue.charge(requestId("late again"), 900);
    expect(queue.get(requestId("late again"))).not.toBeNull();
    // Given back in full: 900 more cost nothing, so both have had next to nothing beyond the first 1,000.
    const line = first(queue);
    expect(line.head.spec.requestId).toBe("other");
    expect(line.virtualMs).toBe(10);
    queue.remove(requestId("other"));
    expect(first(queue).virtualMs).toBe(1_000);
  });
});

describe("bands", () => {
  test("are strict: no charge and no due time lets a lower one pass", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ priority: fc.constantFrom<Priority>(1, 2, 3, 4, 5), user: fc.constantFrom("a", "b", "c"), dueMs: fc.nat({ max: 1_000 }), costMs: fc.integer({ min: 1, max: 5_000 }), model: fc.constantFrom("m", "n") }), { maxLength: 60 }),
        (all) => {
          const queue = queueOf(all.map(({ priority, user, dueMs, model }, index) => waiting(`${index}`, { priority, user, model, dueAtMs: NOW + dueMs })));
          const order = served(queue, (id) => all[Number(id)]!.costMs).map((id) => all[Number(id)]!.priority);
          expect(order).toEqual([...order].sort((a, b) => b - a));
        },
      ),
      { seed: 3, numRuns: 200 },
    );
  });

  test("of those who are late lie behind all who can be in time, and before priority 1", () => {
    const queue = queueOf([waiting("batch", { priority: 1 }), waiting("late 5", { priority: 5, late: true }), waiting("in time", { priority: 2 })]);
    expect(served(queue)).toEqual(["in time", "late 5", "batch"]);
  });

  test("a late request of priority 1 stays with its like", () => {
    const queue = queueOf([waiting("late batch", { priority: 1, late: true, dueAtMs: NOW }), waiting("late 4", { priority: 4, late: true })]);
    expect(served(queue)).toEqual(["late 4", "late batch"]);
    const other = queueOf([waiting("late 4", { priority: 4, late: true }), waiting("late batch", { priority: 1, late: true, dueAtMs: NOW })]);
    expect(served(other)).toEqual(["late 4", "late batch"]);
  });

  test("one that is demoted goes there with all that it has, and is not promoted by it", () => {
    const queue = queueOf([waiting("a", { priority: 5 }), waiting("b", { priority: 2 })]);
    queue.demote(requestId("a"));
    expect(queue.get(requestId("a"))).toMatchObject({ late: true });
    expect([queue.size, queue.counts.bandSize(5)]).toEqual([2, 1]);
    expect(served(queue)).toEqual(["b", "a"]);
  });
});

describe("who has waited too long", () => {
  test("goes before all others, the longest first, and nobody does before that", () => {
    const old = (id: string, agoMs: number, priority: Priority): Waiting => waiting(id, { priority, acceptedAtMs: NOW - agoMs, dueAtMs: NOW - agoMs + 60_000 });
    const queue = queueOf([waiting("new", { priority: 5 }), old("old", 100_001, 1), old("older", 200_000, 2), old("almost", 100_000, 4)], 100_000);
    expect(served(queue)).toEqual(["older", "old", "new", "almost"]);
  });

  test("and wants GPUs to himself goes first when he is among the oldest for whom there are any left, beside those that others have until four times the wait", () => {
    const queue = new WaitingQueue(100_000, new Map(), undefined, (besideAll) => (besideAll ? 0 : 3));
    const old = (id: string, agoMs: number, over: Over = {}): void => queue.push(waiting(id, { priority: 1, acceptedAtMs: NOW - agoMs, model: id, ...over }));
    queue.push(waiting("new", { priority: 5 }));
    old("old", 200_000, { priority: 2 });
    old("job1", 450_000, { exclusive: true });
    old("large", 440_000, { exclusive: true, gpus: 4 });
    old("job2", 430_000, { exclusive: true });
    old("job3", 190_000, { exclusive: true, priority: 4 });
    old("young", 90_000, { exclusive: true, priority: 2 });
    queue.exclusiveLine(NOW);
    expect(served(queue)).toEqual(["job1", "large", "old", "new", "job3", "young", "job2"]);
  });
});

describe("a class", () => {
  test("holds nobody with a promise beside somebody without: they fit different GPUs", () => {
    expect([...queueOf([waiting("a", { wishes: true }), waiting("b")]).heads()]).toHaveLength(2);
    expect([...queueOf([waiting("a", { late: true }), waiting("b", { priority: 2 })]).heads()]).toHaveLength(2);
    expect([...queueOf([waiting("a", { priority: 1, late: true }), waiting("b", { priority: 1 })]).heads()]).toHaveLength(2);
  });

  test("shows behind its head some of the user's next ones, then the first of others, no more than asked for of each", () => {
    const queue = queueOf([
      ...Array.from({ length: 30 }, (_, index) => waiting(`own${index}`, { user: "own", dueAtMs: NOW + index })),
      ...Array.from({ length: 10 }, (_, index) => waiting(`other${index}`, { user: `other${index}`, dueAtMs: NOW + 40_000 })),
    ]);
    const of = first(queue);
    expect(of.head.spec.requestId).toBe("own0");
    const behind = [...of.behind(3)].map(({ spec: one }) => one.requestId);
    expect(behind.filter((id) => id.startsWith("own"))).toHaveLength(3);
    expect(behind[0]).toBe("own1");
    expect(behind.filter((id) => id.startsWith("other"))).toHaveLength(3);
    expect(new Set(behind).size).toBe(6);
  });

  test("opens again for a head that needs fewer tokens, and by the clock only when the clock keeps it out", () => {
    const queue = queueOf([waiting("large", { tokens: 9_000 })]);
    queue.standings.refuse(first(queue), "refused", false);
    queue.standings.reopenHealing();
    expect(queue.hasOpen).toBe(false);
    queue.push(waiting("small", { tokens: 100, dueAtMs: NOW }));
    expect(queue.hasOpen).toBe(true);
    queue.standings.refuse(first(queue), "refused", true);
    queue.standings.reopenHealing();
    expect(queue.hasOpen).toBe(true);
  });

  test.each<[string, (turn: number) => Over]>([
    ["one user who comes and goes", () => ({})],
    ["ever new users", (turn) => ({ user: `u${turn}` })],
    ["ever earlier due times", (turn) => ({ dueAtMs: NOW - turn })],
    ["a hundred users in turn", (turn) => ({ user: `u${turn % 100}`, dueAtMs: NOW + ((turn * 7_919) % 1_000) })],
  ])("keeps no more turns than it has lines, nearly: %s, 100,000 times", (_, over) => {
    const queue = queueOf([waiting("stays", { user: "stays" })]);
    const of = first(queue);
    let most = 0;
    const inLine: string[] = [];
    for (let turn = 0; turn < 100_000; turn += 1) {
      queue.push(waiting(`r${turn}`, over(turn)));
      inLine.push(`r${turn}`);
      if (inLine.length > 50) {
        const id = requestId(turn % 2 === 0 ? inLine.shift()! : inLine.pop()!);
        queue.charge(id, 10);
        queue.remove(id);
      }
      most = Math.max(most, of.turnCount);
    }
    expect(most).toBeLessThan(300);
    for (const id of inLine) queue.remove(requestId(id));
    expect(first(queue).head.spec.requestId).toBe("stays");
  }, 60_000);
});
