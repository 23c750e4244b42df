// How soon an agent is back: the stream's back-off, on a transport that the test plays.
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { ConnectRequestSchema, ConnectResponseSchema } from "../../../gen/gpurouter/v1/agent_pb.js";
import { RouterConnection, type RouterStream, type RouterTransport } from "../../../src/agent/router-connection.js";
import { silentLog } from "../router/fakes.js";

class FakeStream extends EventEmitter {
  cancelled = false;
  write(): boolean {
    return true;
  }
  end(): void {}
  cancel(): void {
    this.cancelled = true;
  }
  welcome(): void {
    this.emit("data", create(ConnectResponseSchema));
  }
  fail(code: status = status.UNAVAILABLE, message = "no route"): void {
    this.emit("error", Object.assign(new Error(message), { code }));
  }
}

let streams: { readonly stream: FakeStream; readonly atMs: number }[];
let renewed: number;
let downs: number;
let connection: RouterConnection;

const transport: RouterTransport = {
  open: () => {},
  openStream: () => {
    const stream = new FakeStream();
    streams.push({ stream, atMs: Date.now() });
    return stream as unknown as RouterStream;
  },
  renew: () => {
    renewed += 1;
  },
  close: () => {},
};

beforeEach(() => {
  jest.useFakeTimers();
  streams = [];
  renewed = 0;
  downs = 0;
  const events = { hello: () => create(ConnectRequestSchema), onMessage: () => {}, onDown: () => void (downs += 1), onDrain: () => {} };
  connection = new RouterConnection("router:1", transport, silentLog, events);
  connection.open();
});

afterEach(() => {
  jest.useRealTimers();
});

const last = (): FakeStream => streams.at(-1)!.stream;
const gaps = (): number[] => streams.slice(1).map(({ atMs }, index) => atMs - streams[index]!.atMs);

test("a stream that worked and is cut is followed by another at once", () => {
  last().welcome();
  last().fail();
  jest.advanceTimersByTime(15);
  expect([streams.length, downs]).toEqual([2, 1]);
});

test("a router that is gone is looked for at least every 375 ms, however long it is gone", () => {
  last().welcome();
  for (let tries = 0; tries < 100; tries += 1) {
    last().fail();
    jest.advanceTimersByTime(375);
    expect(streams).toHaveLength(tries + 2);
  }
});

test("a trouble is logged once, also where gRPC puts the time into its words", () => {
  const warn = jest.spyOn(silentLog, "warn");
  for (let tries = 0; tries < 5; tries += 1) {
    last().fail(status.UNAVAILABLE, `14 UNAVAILABLE: No connection established. Last error: Protocol error (2026-11-21T23:25:1${tries}.658Z). Resolution note: `);
    jest.advanceTimersByTime(375);
  }
  last().fail();
  const said = warn.mock.calls.map(([facts]) => (facts as unknown as { trouble: string }).trouble);
  warn.mockRestore();
  expect(said).toEqual(["14 UNAVAILABLE: No connection established. Last error: Protocol error: what listens there does not speak gRPC; the router's address is that of its gRPC port, not of HTTP", "no route"]);
});

test("a router that says no is bothered less", () => {
  for (let tries = 0; tries < 20; tries += 1) {
    last().fail(status.ALREADY_EXISTS);
    jest.advanceTimersByTime(1_500);
  }
  expect(Math.min(...gaps())).toBeGreaterThanOrEqual(500);
});

test("a hello without an answer is given up after a second, then after longer, each time on another connection", () => {
  jest.advanceTimersByTime(999);
  expect([streams.length, renewed]).toEqual([1, 0]);
  jest.advanceTimersByTime(100);
  expect([streams.length, renewed, streams[0]?.stream.cancelled]).toEqual([2, 1, true]);
  jest.advanceTimersByTime(1_900);
  expect(renewed).toBe(1);
  jest.advanceTimersByTime(600);
  expect(renewed).toBe(2);
  // One that is answered stays.
  last().welcome();
  jest.advanceTimersByTime(60_000);
  expect(renewed).toBe(2);
});

test("a connection that is abandoned is replaced at once, and its late words mean nothing", () => {
  last().welcome();
  const old = last();
  connection.abandon("nothing was heard of the router");
  jest.advanceTimersByTime(15);
  old.fail();
  expect([streams.length, renewed, downs, old.cancelled]).toEqual([2, 1, 1, true]);
});
