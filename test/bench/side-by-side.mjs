// Routers that differ in one thing, side by side, in turn: what that thing leaves of Route's rate and of the router's CPU time.
import { readFileSync } from "node:fs";
import { h2load } from "./load.mjs";
import { GPUS, lives, METHOD, routeBody, withRouter } from "./route.mjs";

/** CPU time that a process has used, ms. Of Linux; 0 elsewhere. Unlike a rate it hardly moves with what else the machine does. */
function cpuMs(pid) {
  if (process.platform !== "linux") return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Calls that end in line, where every slot is taken; or whole lives, which quotas follow from the acceptance to the last charge. */
const SCENARIOS = {
  waiting: { fleet: { mode: "hold", slots: 1 }, measure: ({ port, headers }, body, requests) => h2load({ port, method: METHOD, body, requests, headers }) },
  lives: { fleet: { mode: "instant", slots: 4_096 }, measure: lives },
};

/** Starts one router of each variant, and has all of them for `use`. */
function withRouters(scenario, variants, use, routers = {}) {
  const [first, ...rest] = variants;
  if (!first) return use(routers);
  const [name, variant] = first;
  return withRouter({ ...scenario, ...variant }, (router) => withRouters(scenario, rest, use, { ...routers, [name]: router }));
}

/**
 * What each of `variants` leaves of Route, `waiting` or `lives`: by round and variant the calls per second (`rate`), the router's CPU time
 * (`cpuUs`, microseconds a call) and both as shares of those of the variant `without` (`ratio`, `cpuRatio`). The routers take their turns in
 * an order that is another in each round. A variant is what `withRouter` takes beside the fleet.
 */
export async function compareRouters(variants, { scenario, requests, rounds, agents, onRound = () => {} }) {
  const body = routeBody();
  const samples = [];
  const { fleet, measure } = SCENARIOS[scenario];
  await withRouters({ agents, ...fleet }, Object.entries(variants), async (routers) => {
    const call = async (router, count = requests) => {
      const before = cpuMs(router.pid);
      const rate = await measure(router, body, count);
      return { rate, cpuUs: ((cpuMs(router.pid) - before) * 1_000) / count };
    };
    // Every slot that there is to take is taken, and all are warm, before anything is measured.
    for (const router of Object.values(routers)) await call(router, Math.max(GPUS + 128, requests));
    for (let round = 0; round < rounds; round += 1) {
      const names = Object.keys(routers);
      const measured = {};
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(turn + round) % names.length];
        measured[name] = await call(routers[name]);
      }
      const { without } = measured;
      const sample = Object.fromEntries(Object.entries(measured).map(([name, { rate, cpuUs }]) => [name, { rate, cpuUs, ratio: rate / without.rate, cpuRatio: without.cpuUs / cpuUs }]));
      samples.push(sample);
      onRound({ round, sample });
    }
  });
  return samples;
}
