// Every fault that the simulation knows. A run has some of them on, drawn from its seed; each strikes a few times, or colours the whole
// run. All of them heal.
import { create } from "@bufbuild/protobuf";
import { AttemptOutcome, ConnectRequestSchema } from "../../../gen/gpurouter/v1/agent_pb.js";
import type { Draw } from "./draw.js";
import type { SimulatedNode } from "./simulated-node.js";
import type { World } from "./world.js";

export interface Fault {
  /** As in --faults. */
  readonly name: string;
  readonly about: string;
  /** Most strikes in one run; 0 for what is on all the time. */
  readonly strikes: number;
  /** At a strike; at the beginning for what is on all the time. */
  readonly strike: (world: World, draw: Draw) => void;
}

const nodeOf = (world: World, draw: Draw): SimulatedNode => draw.pick(world.nodes);

/** Blocks one way or both between a node and the router for a while; what was sent arrives afterwards. */
function block(world: World, node: SimulatedNode, ways: "toRouter" | "toNode" | "both", ms: number): void {
  const paths = ways === "both" ? [node.link.toRouter, node.link.toNode] : [node.link[ways]];
  world.note(() => `fault    ${node.nodeId} ${ways} blocked for ${Math.round(ms)} ms`);
  for (const path of paths) path.blocked = true;
  world.later(ms, () => {
    for (const path of paths) path.blocked = false;
  });
}

/** What an agent sends that is not true: ends and starts of attempts that are not its own, GPUs of others. */
function lie(world: World, draw: Draw): void {
  const node = nodeOf(world, draw);
  const { connection } = node;
  const foreign = [...world.sent].filter(([, nodeId]) => nodeId !== node.nodeId).map(([key]) => key);
  if (!connection) return;
  const events = Array.from({ length: draw.whole(1, 4) }, () => {
    const [requestId = "", attempt = "1"] = (foreign.length > 0 && draw.chance(0.8) ? draw.pick(foreign) : "never-heard-of#1").split("#");
    const ref = { requestId, attempt: Number(attempt) };
    const outcome = draw.pick([AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED, AttemptOutcome.UNAVAILABLE, AttemptOutcome.CANCELLED]);
    const ended = { outcome, result: new TextEncoder().encode("made up"), resultContentType: "text/plain" };
    return draw.chance(0.2) ? { ref, event: { case: "started" as const, value: {} } } : { ref, event: { case: "ended" as const, value: ended } };
  });
  const gpuId = draw.pick(draw.pick(world.nodes).gpuIds);
  const gpuEvents = node.gpuIds.includes(gpuId) ? [] : [{ gpuId, event: { case: "lost" as const, value: "made up" } }];
  world.note(() => `fault    ${node.nodeId} lies about ${events.map(({ ref }) => `${ref.requestId}#${ref.attempt}`).join(", ")}`);
  connection.clientSends(create(ConnectRequestSchema, { events, gpuEvents }));
}

export const FAULTS: readonly Fault[] = [
  {
    name: "delay",
    about: "The network is slow, and unevenly so.",
    strikes: 0,
    strike: (world) => {
      world.networkDelayMs = 120;
    },
  },
  {
    name: "stall",
    about: "Nothing gets through in one direction for a while, then all of it does.",
    strikes: 3,
    strike: (world, draw) => block(world, nodeOf(world, draw), draw.pick(["toRouter", "toNode"]), draw.between(200, 8_000)),
  },
  {
    name: "partition",
    about: "A node and the router do not hear each other for a while.",
    strikes: 2,
    strike: (world, draw) => block(world, nodeOf(world, draw), "both", draw.between(300, 9_000)),
  },
  {
    name: "cut",
    about: "A stream is reset.",
    strikes: 6,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      world.note(() => `fault    the stream of ${node.nodeId} is reset`);
      node.connection?.cut();
    },
  },
  {
    name: "half-open",
    about: "A connection dies without a word; both ends believe in it.",
    strikes: 2,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      world.note(() => `fault    the connection of ${node.nodeId} dies silently`);
      node.connection?.die();
    },
  },
  {
    name: "slow-disk",
    about: "Commits take long.",
    strikes: 2,
    strike: (world, draw) => {
      world.note(() => "fault    the disk is slow");
      world.diskSlowness = draw.between(20, 400);
      world.later(draw.between(500, 3_000), () => {
        world.diskSlowness = 1;
      });
    },
  },
  {
    name: "disk-failure",
    about: "A commit fails; nobody knows whether it is on the disk. The router ends and is started again.",
    strikes: 2,
    strike: (world) => {
      world.note(() => "fault    the next commit fails");
      world.diskFails = true;
    },
  },
  {
    name: "disk-full",
    about: "The disk runs full, slowly or at once, and is emptied again.",
    strikes: 1,
    strike: (world, draw) => {
      world.disk.freeShare = draw.chance(0.7) ? 0.01 : 0;
      world.note(() => `fault    ${world.disk.freeShare * 100} % of the disk are free`);
      world.later(draw.between(500, 4_000), () => {
        world.disk.freeShare = 1;
      });
    },
  },
  {
    name: "router-crash",
    about: "The router is killed, its machine with it or not, and started again.",
    strikes: 3,
    strike: (world, draw) => world.crashRouter(draw.chance(0.3), draw.between(50, 4_000)),
  },
  {
    name: "router-restart",
    about: "The router is stopped as on SIGTERM and started again.",
    strikes: 2,
    strike: (world, draw) => world.restartRouter(draw.between(50, 1_500)),
  },
  {
    name: "router-pause",
    about: "The router stands still for a while, then does everything at once.",
    strikes: 2,
    strike: (world, draw) => world.pause(world.machine.process, draw.between(100, 7_000), draw.chance(0.5)),
  },
  {
    name: "agent-crash",
    about: "An agent is killed, its machine with it or not, and started again.",
    strikes: 3,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      world.note(() => `fault    ${node.nodeId} is killed`);
      node.kill(draw.chance(0.4));
      world.later(draw.between(20, 7_000), () => node.start());
    },
  },
  {
    name: "agent-restart",
    about: "An agent is stopped as on SIGTERM and started again.",
    strikes: 2,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      world.note(() => `fault    ${node.nodeId} is stopped`);
      node.stop(draw.between(0, 1_000));
      world.later(draw.between(1_500, 4_000), () => node.start());
    },
  },
  {
    name: "agent-pause",
    about: "A node stands still for a while, its work too; then everything comes at once.",
    strikes: 2,
    strike: (world, draw) => world.pause(nodeOf(world, draw).process, draw.between(100, 9_000), draw.chance(0.5)),
  },
  {
    name: "replacement",
    about: "A node is unreachable, or stands still, and another machine is given its name; then it is back, and the other one goes.",
    strikes: 1,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      const awayMs = draw.between(500, 6_000);
      if (draw.chance(0.5)) block(world, node, "both", awayMs);
      else world.pause(node.process, awayMs, draw.chance(0.5));
      const other = world.replacementOf(node);
      world.later(draw.between(100, 2_000), () => {
        world.note(() => `fault    another ${node.nodeId} starts`);
        other.start();
      });
      world.later(awayMs + draw.between(0, 3_000), () => other.kill(draw.chance(0.3)));
    },
  },
  {
    name: "clock-jump",
    about: "Wall clocks are set, forwards or back, while processes run and between their lives.",
    strikes: 3,
    strike: (world, draw) => {
      const byMs = draw.between(-4_000, 4_000);
      world.note(() => `fault    the router's wall clock jumps by ${Math.round(byMs)} ms`);
      world.machine.wallOffsetMs += byMs;
      if (world.machine.process) world.machine.process.wallOffsetMs += byMs;
      const node = nodeOf(world, draw);
      if (node.process) node.process.wallOffsetMs += draw.between(-3_600_000, 3_600_000);
    },
  },
  { name: "lies", about: "An agent tells ends of attempts that it does not hold, and of GPUs that are not its own.", strikes: 5, strike: lie },
  {
    name: "gpu-lost",
    about: "A GPU falls off the bus, with an Xid or without; its agent is started again later.",
    strikes: 2,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      const gpuId = draw.pick(node.physicalIds);
      world.note(() => `fault    ${gpuId} falls off the bus`);
      node.loseGpu(gpuId, draw.chance(0.5));
      world.later(draw.between(500, 4_000), () => {
        node.repairGpus();
        node.stop(0);
        world.later(2_000, () => node.start());
      });
    },
  },
  {
    name: "xid",
    about: "Drivers report Xids of GPUs that work on.",
    strikes: 4,
    strike: (world, draw) => {
      const node = nodeOf(world, draw);
      node.xid(draw.pick(node.physicalIds), draw.pick([13, 31, 43, 45, 48, 63, 64, 74, 94, 95, 119]));
    },
  },
  {
    name: "bad-runs",
    about: "Some attempts fail as the fault of their GPU or runner.",
    strikes: 0,
    strike: (world, draw) => {
      world.conduct.badShare = draw.between(0.02, 0.4);
    },
  },
  {
    name: "hung-runs",
    about: "Some attempts never end by themselves, and work takes long to stop.",
    strikes: 0,
    strike: (world, draw) => {
      world.conduct.hungShare = draw.between(0.02, 0.15);
      world.conduct.slowestStopMs = 1_500;
    },
  },
  {
    name: "overload",
    about: "More comes than can be done, and the queue is short.",
    strikes: 0,
    strike: () => {},
  },
  {
    name: "time-outs",
    about: "Requests have little time.",
    strikes: 0,
    strike: () => {},
  },
  {
    name: "cancel-storm",
    about: "Callers cancel many requests at once, in whatever state they are, some of them twice.",
    strikes: 2,
    strike: (world, draw) => {
      const share = draw.between(0.2, 1);
      world.note(() => `fault    a cancel storm over ${Math.round(100 * share)} %`);
      for (const client of world.clients) {
        if (!draw.chance(share)) continue;
        client.cancel();
        if (draw.chance(0.3)) client.cancel();
      }
    },
  },
  {
    name: "client-loss",
    about: "Calls and answers between callers and the router get lost; callers try again with the same id.",
    strikes: 0,
    strike: (world) => {
      world.clientConduct.lossShare = 0.25;
    },
  },
  {
    name: "deaf-receiver",
    about: "Callbacks get lost, or are heard and not confirmed.",
    strikes: 0,
    strike: (world, draw) => {
      world.receiver.conduct.deafShare = draw.between(0.1, 0.9);
    },
  },
];
