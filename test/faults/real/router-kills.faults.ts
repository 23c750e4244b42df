// kill -9 of the router at random moments under load, again and again, each time restarted on the same data directory: nothing that was
// acknowledged is lost, nothing ends twice or otherwise, everything ends, and what must not run twice at once never does.
import { expect, test } from "@jest/globals";
import { setTimeout as pause } from "node:timers/promises";
import { eventually, startRouter } from "../../e2e/harness.js";
import { IN_ORDER, KILLS_CONFIG, startWorkers, unexpectedTrouble } from "./fleet.js";
import { Load } from "./load.js";
import { onceReport } from "./once-work.js";
import { Progress } from "./progress.js";
import { leaveFigures, randomOf, settings } from "./settings.js";

const MAX_LIFE_MS = 600;
/** Lives in which agents are back and something ends; the others are as short as chance has it. */
const FRUITFUL = 0.5;
const WITH_AGENT = 0.2;
const MAX_DEATH_MS = 150;

test(
  `${settings.routerKills} times kill -9 of the router under load: nothing acknowledged is lost, nothing ends twice`,
  async () => {
    const random = randomOf("router kills");
    let router = await startRouter({ config: KILLS_CONFIG });
    const workers = await startWorkers(router.grpcAddress, 4);
    const agents = [...workers.agents];
    const load = new Load({ router: router.grpcAddress, random, concurrency: 48, onceShare: 0.1, cancelShare: 0.05 });
    const routers = [router.process];
    const progress = new Progress("router kills", settings.routerKills);
    for (let kill = 0; kill < settings.routerKills; kill += 1) {
      const before = load.ended;
      if (random() < FRUITFUL) await eventually("something ends", () => load.ended > before, 60_000);
      await pause(random() * MAX_LIFE_MS);
      // Now and then an agent dies in the same moment.
      const victim = random() < WITH_AGENT ? Math.floor(random() * workers.agents.length) : -1;
      await Promise.all([router.process.kill(), workers.agents[victim]?.kill()]);
      await pause(random() * MAX_DEATH_MS);
      router = await router.restart();
      routers.push(router.process);
      load.reconnect();
      if (victim >= 0) agents.push(await workers.restart(victim));
      const { acknowledged, lost, changed } = load.ledger.verdict();
      progress.step(`${acknowledged} acknowledged, ${lost.length} lost, ${changed.length} changed`);
    }
    await load.finish(60_000);
    const verdict = load.ledger.verdict();
    const once = onceReport(workers.onceFolder);
    leaveFigures("router-kills", { kills: settings.routerKills, sent: verdict.sent, acknowledged: verdict.acknowledged, ended: verdict.ended, lost: verdict.lost.length, changed: verdict.changed.length, once });
    expect(verdict).toMatchObject(IN_ORDER);
    expect(once.overlapping).toEqual([]);
    expect(unexpectedTrouble([...routers, ...agents])).toEqual([]);
    expect(verdict.ended).toBeGreaterThan(settings.routerKills);
    expect(once.completed).toBeGreaterThan(0);
  },
  120_000 + settings.routerKills * 10_000,
);
