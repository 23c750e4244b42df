// Delivery from a real journal to real servers: at least once, in order, across restarts, given up and taken up again.
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { AddressGuard } from "../../../src/callbacks/address-guard.js";
import { Deliverer, type DelivererLimits } from "../../../src/callbacks/deliverer.js";
import { Sender } from "../../../src/callbacks/sender.js";
import { makeSecrets, SigningSecrets } from "../../../src/callbacks/signing-secrets.js";
import type { CallbackEvent } from "../../../src/core/callbacks.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { temporaryFolder } from "../journal/temporary-folder.js";
import { silentLog } from "../router/fakes.js";
import { eventOf } from "./events.js";
import { Receiver } from "./receiver.js";
import { eventually } from "../eventually.js";

jest.setTimeout(30_000);

const LIMITS: DelivererLimits = {
  maxConcurrent: 8,
  maxConcurrentPerHost: 2,
  retryDelayMs: 10,
  maxRetryDelayMs: 40,
  maxTries: 50,
  giveUpAfterMs: 60_000,
  maxPending: 100_000,
  maxPendingPerHost: 100_000,
  keepFailed: 100,
};
let folder: string;
let journal: LmdbJournal;
let receiver: Receiver;
let others: Receiver[];
let deliverer: Deliverer | null;

beforeEach(async () => {
  folder = await temporaryFolder();
  journal = await LmdbJournal.open(folder);
  receiver = await new Receiver().listen();
  others = [];
  deliverer = null;
});
afterEach(async () => {
  await deliverer?.stop();
  await journal.close();
  await Promise.all([receiver, ...others].map((each) => each.close()));
});

async function another(): Promise<Receiver> {
  const other = await new Receiver().listen();
  others.push(other);
  return other;
}

function start(over: Partial<DelivererLimits> = {}, timeoutMs = 5_000): Deliverer {
  const file = `${folder}/secrets`;
  makeSecrets(file);
  const ports = [receiver, ...others].map(({ port }) => port);
  const sender = new Sender({
    guard: new AddressGuard({ allow: ["127.0.0.1"], ports }),
    secrets: new SigningSecrets(file, 0, () => {}),
    clock: { now: () => Date.now() },
    userAgent: "test",
    connectTimeoutMs: 500,
    timeoutMs,
    maxConcurrentPerHost: 2,
  });
  const bodyOf = ({ type, sequence, request }: CallbackEvent): string => JSON.stringify({ type, sequence, request_id: request.spec.requestId });
  deliverer = new Deliverer({ outbox: journal.outbox, sender, limits: { ...LIMITS, ...over }, clock: { now: () => Date.now() }, log: silentLog, bodyOf, random: () => 0.5 });
  return deliverer;
}

/** Makes events durable, as the engine loop does, and returns what it would tell the deliverer. */
async function store(events: readonly CallbackEvent[]) {
  const callbacks = events.map((event) => journal.outbox.stamp(event));
  const records = [{ kind: "epoch_started", epoch: journal.nextSequence, atMs: 1 } as const];
  await journal.append({ firstSequence: journal.nextSequence, records, ended: [], callbacks, snapshot: null });
  return callbacks;
}

async function reopen(): Promise<void> {
  await deliverer?.stop();
  deliverer = null;
  await journal.close();
  journal = await LmdbJournal.open(folder);
  for (const _ of journal.recover().records);
}

const ids = ({ received }: Receiver): unknown[] => received.map(({ headers }) => headers["webhook-id"]);
const left = (): number => [...journal.outbox.pending()].length;

describe("delivery", () => {
  test("what is durable is told, the events of a request in their order, and then forgotten", async () => {
    const told = start();
    told.added(await store([eventOf("a", 1, receiver.url()), eventOf("b", 1, receiver.url()), eventOf("a", 2, receiver.url()), eventOf("a", 3, receiver.url())]));
    await receiver.count(4);
    expect(ids(receiver).filter((id) => String(id).startsWith("a"))).toEqual(["a_1", "a_2", "a_3"]);
    await eventually(() => left() === 0);
    expect(told.counts).toEqual({ delivered: 4, givenUp: 0 });
  });

  test("a flaky receiver gets the same event again until it takes it, and nothing of that request before", async () => {
    receiver.answer = (response, count) => void response.writeHead(count < 4 ? 500 : 200).end();
    start().added(await store([eventOf("a", 1, receiver.url()), eventOf("a", 2, receiver.url())]));
    await receiver.count(5);
    expect(ids(receiver)).toEqual(["a_1", "a_1", "a_1", "a_1", "a_2"]);
  });

  test("a restart takes up what was not delivered; what was under way comes twice, with the same id", async () => {
    receiver.answer = () => {};
    start().added(await store([eventOf("a", 1, receiver.url()), eventOf("b", 1, receiver.url())]));
    await receiver.count(1);
    await reopen();
    expect(left()).toBe(2);
    receiver.answer = (response) => void response.writeHead(204).end();
    start();
    await eventually(() => left() === 0);
    expect(new Set(ids(receiver))).toEqual(new Set(["a_1", "b_1"]));
  });

  test("a crash between the records and the first try loses nothing: both were one transaction", async () => {
    await store([eventOf("a", 1, receiver.url())]);
    await reopen();
    start();
    await receiver.count(1);
    expect(ids(receiver)).toEqual(["a_1"]);
  });

  test("slow and dead hosts hold up nobody else: neither one that answers well nor one that is new", async () => {
    const slow = await Promise.all(Array.from({ length: 12 }, () => another()));
    const fresh = await another();
    for (const each of slow) each.answer = () => {};
    const told = start({ retryDelayMs: 5_000, maxRetryDelayMs: 5_000 }, 300);
    told.added(await store([eventOf("proof", 1, receiver.url())]));
    await receiver.count(1);
    told.added(await store(slow.flatMap((each, host) => [0, 1, 2].map((request) => eventOf(`slow-${host}-${request}`, 1, each.url())))));
    await eventually(() => slow.filter(({ received }) => received.length > 0).length >= 4);
    told.added(await store(Array.from({ length: 20 }, (_, request) => eventOf(`well-${request}`, 1, receiver.url()))));
    told.added(await store([eventOf("fresh", 1, fresh.url())]));
    await Promise.all([receiver.count(21), fresh.count(1)]);
    await eventually(() => told.pending === 36);
  });
});

describe("giving up", () => {
  test("410 stops at once, and what comes after it for the request is still told", async () => {
    receiver.answer = (response, count) => void response.writeHead(count === 1 ? 410 : 204).end();
    const told = start();
    told.added(await store([eventOf("a", 1, receiver.url("/hook?token=secret")), eventOf("a", 2, receiver.url())]));
    await receiver.count(2);
    await eventually(() => told.failed === 1);
    expect(ids(receiver)).toEqual(["a_1", "a_2"]);
    expect(told.failures(0, 10)).toMatchObject([{ tries: 1, error: "the receiver answered 410: it wants no more", event: { eventId: "a_1" } }]);
  });

  test("after its tries an event is kept, survives a restart, and is delivered when it is put back", async () => {
    receiver.answer = (response) => void response.writeHead(500).end();
    let told = start({ maxTries: 3 });
    told.added(await store([eventOf("a", 1, receiver.url())]));
    await eventually(() => told.failed === 1);
    expect(receiver.received).toHaveLength(3);
    await reopen();
    receiver.answer = (response) => void response.writeHead(204).end();
    told = start();
    expect([told.pending, told.failed]).toEqual([0, 1]);
    const [failure] = told.failures(0, 10);
    expect(await told.retry([failure?.order ?? 0, 4_711])).toBe(1);
    await receiver.count(4);
    await eventually(() => left() === 0);
    expect(ids(receiver).at(-1)).toBe("a_1");
    expect(told.failed).toBe(0);
  });

  test("an address that is not allowed is given up without a connection", async () => {
    const told = start();
    told.added(await store([eventOf("a", 1, "https://169.254.169.254/latest/meta-data/"), eventOf("b", 1, "not a url")]));
    await eventually(() => told.failed === 2);
    expect(told.failures(0, 10).map(({ tries }) => tries)).toEqual([1, 1]);
  });

  test("no more are kept than may be: the oldest go", async () => {
    receiver.answer = (response) => void response.writeHead(410).end();
    const told = start({ keepFailed: 3 });
    for (const name of ["a", "b", "c", "d", "e"]) {
      told.added(await store([eventOf(name, 1, receiver.url())]));
      await eventually(() => told.counts.givenUp > 0 && left() === 0);
    }
    await eventually(() => told.failed === 3);
    expect(told.failures(0, 10).map(({ event }) => event.eventId)).toEqual(["e_1", "d_1", "c_1"]);
    expect(told.failures(told.failures(0, 1)[0]?.order ?? 0, 1).map(({ event }) => event.eventId)).toEqual(["d_1"]);
  });
});

test("too much that is pending, in all or for one host, is said so that no more is taken on", async () => {
  receiver.answer = () => {};
  const other = await another();
  const told = start({ maxPending: 3, maxPendingPerHost: 2 });
  told.added(await store([eventOf("a", 1, receiver.url()), eventOf("b", 1, receiver.url())]));
  expect(told.overfull(receiver.url("/other"))).toEqual({ what: "callbacks of this host", limit: 2 });
  expect(told.overfull(other.url())).toBeNull();
  other.answer = () => {};
  told.added(await store([eventOf("c", 1, other.url())]));
  expect(told.overfull("https://example.com/")).toEqual({ what: "callbacks", limit: 3 });
});
