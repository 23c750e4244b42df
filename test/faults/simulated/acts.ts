// What operators do in a simulated run, and what makes a fleet harder to schedule than whole GPUs for everybody: beside the faults, and drawn like them.
// All of it is undone in the end, as faults heal.
import type { MaintenanceTarget } from "../../../src/core/model/maintenance.js";
import type { GpuId, NodeId } from "../../../src/core/model/ids.js";
import type { Draw } from "./draw.js";
import type { Fault } from "./faults.js";
import { quotaOf, TEAMS, USERS } from "./quota-plan.js";
import type { World } from "./world.js";

/** A node, a GPU, or an instance of one. */
function targetOf(world: World, draw: Draw): MaintenanceTarget {
  const node = draw.pick(world.nodes);
  if (draw.chance(0.3)) return { kind: "node", nodeId: node.nodeId as NodeId };
  return { kind: "gpu", gpuId: draw.pick(draw.chance(0.5) ? node.physicalIds : node.gpuIds) as GpuId };
}

const drainMsOf = (draw: Draw): number | undefined => (draw.chance(0.3) ? undefined : draw.pick([0, 300, 1_500]));

export const ACTS: readonly Fault[] = [
  {
    name: "quotas",
    about: "Users and teams have limits of every kind; some do not belong to any team, some change theirs.",
    strikes: 0,
    strike: (world, draw) => {
      for (const userId of USERS) {
        const team = draw.pick(["", ...TEAMS]);
        if (draw.chance(0.7)) world.later(draw.between(0, 1_500), () => world.operator.setQuota("user", userId, { ...quotaOf(draw.of(userId)), ...(team !== "" && { team }) }));
      }
      for (const teamId of TEAMS) if (draw.chance(0.7)) world.later(draw.between(0, 1_500), () => world.operator.setQuota("team", teamId, quotaOf(draw.of(teamId))));
    },
  },
  {
    name: "quota-changes",
    about: "Quotas are raised and lowered while work waits and runs, and users go from one team to another.",
    strikes: 5,
    strike: (world, draw) => {
      if (draw.chance(0.3)) world.operator.setQuota("team", draw.pick(TEAMS), quotaOf(draw));
      else world.operator.setQuota("user", draw.pick(USERS), { ...quotaOf(draw), team: draw.pick(["", ...TEAMS]) });
    },
  },
  {
    name: "maintenance",
    about: "Nodes, GPUs and MIG instances are taken out of service, with time to drain or without, and put back.",
    strikes: 3,
    strike: (world, draw) => {
      const target = targetOf(world, draw);
      world.operator.maintain(target, true, drainMsOf(draw));
      world.later(draw.between(200, 5_000), () => world.operator.maintain(target, false));
    },
  },
  {
    name: "gpu-restart",
    about: "GPUs are restarted, when they are empty or by force; some do not come back.",
    strikes: 3,
    strike: (world, draw) => {
      world.conduct.badRestartShare = 0.2;
      world.operator.restart(draw.pick(draw.pick(world.nodes).physicalIds), draw.chance(0.4), drainMsOf(draw));
    },
  },
  {
    name: "operator-cancel",
    about: "An operator cancels requests of others.",
    strikes: 4,
    strike: (world, draw) => {
      for (let count = draw.whole(1, 5); count > 0; count -= 1) world.operator.cancel(draw.pick(world.clients).told.spec.requestId);
    },
  },
  {
    name: "pre-emption",
    about: "Work stops for more urgent work, soon and often.",
    strikes: 0,
    strike: () => {},
  },
  {
    name: "models",
    about: "Some models are served by nobody until the router has them loaded.",
    strikes: 0,
    strike: () => {},
  },
  {
    name: "mig",
    about: "The GPUs of a node are divided into instances, which share their fate.",
    strikes: 0,
    strike: () => {},
  },
];
