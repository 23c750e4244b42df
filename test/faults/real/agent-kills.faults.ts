// kill -9 of agents at random moments under load, again and again: their work goes to the others, nothing is lost or ends twice, and
// what must not run twice at once never does, the orphans of a dead agent included.
import { expect, test } from "@jest/globals";
import { setTimeout as pause } from "node:timers/promises";
import { startRouter } from "../../e2e/harness.js";
import { IN_ORDER, KILLS_CONFIG, startWorkers, unexpectedTrouble } from "./fleet.js";
import { Load } from "./load.js";
import { onceReport } from "./once-work.js";
import { Progress } from "./progress.js";
import { leaveFigures, randomOf, settings } from "./settings.js";

const MAX_LIFE_MS = 700;
/** Now and then shorter and longer than what makes a node lost. */
const MAX_DEATH_MS = 1_500;

test(
  `${settings.agentKills} times kill -9 of an agent under load: nothing acknowledged is lost, nothing ends twice, no orphan works beside its successor`,
  async () => {
    const random = randomOf("agent kills");
    const router = await startRouter({ config: KILLS_CONFIG });
    const workers = await startWorkers(router.grpcAddress, 4);
    const load = new Load({ router: router.grpcAddress, random, concurrency: 48, onceShare: 0.25, cancelShare: 0.05 });
    const all = [...workers.agents];
    const progress = new Progress("agent kills", settings.agentKills);
    for (let kill = 0; kill < settings.agentKills; kill += 1) {
      await pause(random() * MAX_LIFE_MS);
      const victim = Math.floor(random() * workers.agents.length);
      await workers.agents[victim]?.kill();
      await pause(random() ** 3 * MAX_DEATH_MS);
      all.push(await workers.restart(victim));
      const { acknowledged, lost, changed } = load.ledger.verdict();
      progress.step(`${acknowledged} acknowledged, ${lost.length} lost, ${changed.length} changed`);
    }
    await load.finish(60_000);
    const verdict = load.ledger.verdict();
    const once = onceReport(workers.onceFolder);
    leaveFigures("agent-kills", { kills: settings.agentKills, sent: verdict.sent, acknowledged: verdict.acknowledged, ended: verdict.ended, lost: verdict.lost.length, changed: verdict.changed.length, once });
    expect(verdict).toMatchObject(IN_ORDER);
    expect(once.overlapping).toEqual([]);
    expect(unexpectedTrouble([router.process, ...all])).toEqual([]);
    expect(verdict.ended).toBeGreaterThan(settings.agentKills);
    expect(once.completed).toBeGreaterThan(0);
  },
  120_000 + settings.agentKills * 10_000,
);
