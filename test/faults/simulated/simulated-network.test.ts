import { beforeEach, describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { ConnectRequestSchema, ConnectResponseSchema, type ConnectRequest } from "../../../gen/gpurouter/v1/agent_pb.js";
import { Connection, Path, type Link, type Listener, type ServerEnd } from "./simulated-network.js";
import { SimulatedProcess, VirtualTime } from "./virtual-time.js";

let time: VirtualTime;
let link: Link;
let agent: SimulatedProcess;
let router: SimulatedProcess;
let accepted: ServerEnd[];
let got: string[];
let listener: Listener | null;
const run = (ms: number): Promise<void> => time.run(time.nowMs + ms, () => {}, () => false);
const lost = (reason: string): ConnectRequest => create(ConnectRequestSchema, { gpuEvents: [{ gpuId: "g", event: { case: "lost", value: reason } }] });

function connect(windowBytes = 1_000_000): Connection {
  const connection = new Connection(time, agent, link, windowBytes, () => listener);
  for (const event of ["error", "end", "drain"]) connection.clientEnd.on(event, () => got.push(`agent: ${event}`));
  connection.clientEnd.on("data", () => got.push("agent: data"));
  return connection;
}

beforeEach(() => {
  time = new VirtualTime();
  let delayMs = 30;
  // Ever shorter: what is sent later would overtake what was sent before, if it could.
  const path = (): Path => new Path(() => (delayMs = Math.max(1, delayMs - 5)));
  link = { toRouter: path(), toNode: path() };
  agent = new SimulatedProcess("agent");
  router = new SimulatedProcess("router");
  accepted = [];
  got = [];
  listener = {
    process: router,
    accept: (stream) => {
      accepted.push(stream);
      for (const event of ["end", "cancelled"]) stream.on(event, () => got.push(`router: ${event}`));
      stream.on("data", (message: ConnectRequest) => got.push(`router: ${String(message.gpuEvents[0]?.event.value)}`));
    },
  };
});

describe("A connection", () => {
  test("delivers in order, also what waited while the way was blocked", async () => {
    const { clientEnd } = connect();
    clientEnd.write(lost("1"));
    await run(1);
    link.toRouter.blocked = true;
    clientEnd.write(lost("2"));
    await run(100);
    expect(got).toEqual([]);
    clientEnd.write(lost("3"));
    link.toRouter.blocked = false;
    clientEnd.write(lost("4"));
    await run(100);
    expect(got).toEqual(["router: 1", "router: 2", "router: 3", "router: 4"]);
  });

  test("is refused when nobody listens", async () => {
    listener = null;
    connect();
    await run(100);
    expect(got).toEqual(["agent: error"]);
  });

  test("that is cut tells both ends; what is sent afterwards gets nowhere", async () => {
    const connection = connect();
    await run(100);
    connection.cut();
    await run(100);
    connection.clientEnd.write(lost("late"));
    await run(100);
    expect(got).toEqual(["agent: error", "router: cancelled"]);
  });

  test("that has died silently is noticed by its keep-alive, and not before", async () => {
    const connection = connect();
    await run(100);
    connection.die();
    connection.clientEnd.write(lost("lost"));
    accepted[0]?.write(create(ConnectResponseSchema));
    await run(10_000);
    expect(got).toEqual([]);
    await run(20_000);
    expect(got).toEqual(["agent: error"]);
  });

  test("says when its window is full, and when there is room again", async () => {
    const { clientEnd } = connect(10);
    await run(100);
    expect(clientEnd.write(lost("a long reason why it is gone"))).toBe(false);
    await run(100);
    expect(got).toContain("agent: drain");
    expect(clientEnd.write(create(ConnectRequestSchema))).toBe(true);
  });

  test("refused by the router ends with an error for the agent; what the agent says afterwards is not heard", async () => {
    const { clientEnd } = connect();
    await run(100);
    accepted[0]?.emit("error", { details: "not you" });
    clientEnd.write(lost("late"));
    await run(100);
    expect(got).toEqual(["agent: error"]);
  });
});
