// Whose turn it is: order within a request, bounds and fairness between hosts.
import { describe, expect, test } from "@jest/globals";
import { DeliveryQueue, type Ticket } from "../../../src/callbacks/delivery-queue.js";
import { seededRandom } from "../../../src/lib/random.js";

const queueOf = (maxConcurrent = 8, maxConcurrentPerHost = 2): DeliveryQueue => new DeliveryQueue({ maxConcurrent, maxConcurrentPerHost });

function takeAll(queue: DeliveryQueue, nowMs = 0): Ticket[] {
  const tickets: Ticket[] = [];
  for (let ticket = queue.take(nowMs); ticket; ticket = queue.take(nowMs)) tickets.push(ticket);
  return tickets;
}

/** Makes hosts known as good ones. */
function prove(queue: DeliveryQueue, ...hosts: readonly string[]): void {
  for (const host of hosts) queue.add(-1, `proof of ${host}`, host);
  while (queue.pending > 0) for (const ticket of takeAll(queue)) queue.succeeded(ticket);
}

describe("the delivery queue", () => {
  test("events of a request go one after the other, in their order, a failed one first again", () => {
    const queue = queueOf();
    prove(queue, "a");
    for (const order of [1, 2, 3]) queue.add(order, "r", "a");
    const [first] = takeAll(queue) as [Ticket];
    expect(first).toMatchObject({ order: 1, tries: 1 });
    queue.failed(first, 100);
    expect(takeAll(queue, 99)).toEqual([]);
    expect(queue.nextDueAtMs).toBe(100);
    const [again] = takeAll(queue, 100) as [Ticket];
    expect(again).toMatchObject({ order: 1, tries: 2 });
    queue.succeeded(again);
    const [second] = takeAll(queue, 100) as [Ticket];
    expect(second).toMatchObject({ order: 2, tries: 1 });
    queue.gaveUp(second);
    expect(takeAll(queue, 100).map(({ order }) => order)).toEqual([3]);
    expect(queue.pending).toBe(1);
  });

  test("a host that answers well has several at a time, an unknown one has one", () => {
    const queue = queueOf();
    prove(queue, "good");
    for (let order = 1; order <= 4; order += 1) queue.add(order, `g${order}`, "good");
    for (let order = 5; order <= 8; order += 1) queue.add(order, `n${order}`, "new");
    expect(takeAll(queue).map(({ order }) => order).sort()).toEqual([1, 2, 5]);
  });

  test("however many hosts do not answer, half of the deliveries are for those that do", () => {
    const queue = queueOf(8, 4);
    prove(queue, "good");
    for (let host = 0; host < 1_000; host += 1) queue.add(host, `r${host}`, `dead-${host}`);
    expect(takeAll(queue)).toHaveLength(4);
    for (let order = 2_000; order < 2_004; order += 1) queue.add(order, `g${order}`, "good");
    expect(takeAll(queue).map(({ order }) => order)).toEqual([2_000, 2_001, 2_002, 2_003]);
    expect(queue.flying).toBe(8);
  });

  test("a host that failed has one at a time until it answers well again", () => {
    const queue = queueOf(8, 4);
    prove(queue, "a");
    for (let order = 1; order <= 6; order += 1) queue.add(order, `r${order}`, "a");
    const tickets = takeAll(queue);
    expect(tickets).toHaveLength(4);
    for (const ticket of tickets) queue.failed(ticket, 1_000);
    const [one, ...more] = takeAll(queue) as [Ticket];
    expect(more).toEqual([]);
    queue.succeeded(one);
    expect(takeAll(queue, 1_000)).toHaveLength(4);
  });

  test("hosts take turns", () => {
    const queue = queueOf(1, 1);
    prove(queue, "a", "b");
    for (let order = 1; order <= 3; order += 1) queue.add(order, `a${order}`, "a");
    for (let order = 11; order <= 13; order += 1) queue.add(order, `b${order}`, "b");
    const hosts: string[] = [];
    for (let ticket = queue.take(0); ticket; ticket = queue.take(0)) {
      hosts.push(ticket.order > 10 ? "b" : "a");
      queue.succeeded(ticket);
    }
    expect(hosts.join("")).toBe("ababab");
  });

  test("it counts what is pending, for each host and in all, and forgets hosts that have nothing", () => {
    const queue = queueOf();
    for (let order = 1; order <= 5; order += 1) queue.add(order, `r${order}`, order % 2 === 0 ? "a" : "b");
    expect([queue.pending, queue.pendingOf("a"), queue.pendingOf("b")]).toEqual([5, 2, 3]);
    while (queue.pending > 0) for (const ticket of takeAll(queue)) queue.succeeded(ticket);
    expect([queue.pendingOf("a"), queue.pendingOf("b"), queue.flying]).toEqual([0, 0, 0]);
  });

  test("an id that comes again with another host is another request", () => {
    const queue = queueOf();
    queue.add(1, "r", "a");
    queue.add(2, "r", "b");
    expect([queue.pendingOf("a"), queue.pendingOf("b")]).toEqual([1, 1]);
    const tickets = takeAll(queue);
    expect(tickets).toHaveLength(2);
    for (const ticket of tickets) queue.succeeded(ticket);
    expect([queue.pending, queue.pendingOf("a"), queue.pendingOf("b")]).toEqual([0, 0, 0]);
  });

  test("random lives: nothing is lost, nothing overtakes, no bound is passed", () => {
    const next = seededRandom(42);
    const random = (below: number): number => Math.floor(next() * below);
    const queue = queueOf(6, 3);
    const hostOfRequest = (request: number): string => `h${request % 5}`;
    const added = new Map<number, number[]>();
    const settled = new Map<number, number[]>();
    const requestOfOrder = new Map<number, number>();
    let flying: Ticket[] = [];
    let nowMs = 0;
    for (let order = 1; order <= 4_000 || (queue.pending > 0 && order < 40_000); order += 1) {
      if (order <= 4_000) {
        const request = random(40);
        requestOfOrder.set(order, request);
        added.set(request, [...(added.get(request) ?? []), order]);
        queue.add(order, `r${request}`, hostOfRequest(request));
      }
      nowMs += random(3);
      flying.push(...takeAll(queue, nowMs));
      expect(flying.length).toBeLessThanOrEqual(6);
      const ofHost = (host: number): number => flying.filter(({ order: one }) => (requestOfOrder.get(one) ?? 0) % 5 === host).length;
      for (const host of [0, 1, 2, 3, 4]) expect(ofHost(host)).toBeLessThanOrEqual(3);
      const landing = flying.filter(() => random(2) === 0);
      flying = flying.filter((ticket) => !landing.includes(ticket));
      for (const ticket of landing) {
        const request = requestOfOrder.get(ticket.order) ?? -1;
        const fate = random(4);
        if (fate === 0) queue.failed(ticket, nowMs + random(20));
        else {
          settled.set(request, [...(settled.get(request) ?? []), ticket.order]);
          if (fate === 1) queue.gaveUp(ticket);
          else queue.succeeded(ticket);
        }
      }
    }
    expect(new Map([...settled].toSorted())).toEqual(new Map([...added].toSorted()));
  });
});
