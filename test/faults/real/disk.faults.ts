// A disk that is full at random moments under load: the router refuses or ends with 74, and after each time it has everything that was
// acknowledged.
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "@jest/globals";
import { startRouter } from "../../e2e/harness.js";
import { fill, onSmallDisk, smallDisk } from "../../e2e/small-disk.js";
import { IN_ORDER, KILLS_CONFIG, startWorkers, unexpectedTrouble } from "./fleet.js";
import { Load } from "./load.js";
import { randomOf } from "./settings.js";

const ROUNDS = 6;
/** How long a router may live on with what room LMDB has within its file. */
const LIVES_ON_MS = 2_000;

onSmallDisk("A disk that is full at random moments under load costs no acknowledged request", async () => {
  const random = randomOf("full disk");
  const disk = await smallDisk(32);
  let router = await startRouter({ data: path.join(disk, "data"), config: KILLS_CONFIG });
  const { agents } = await startWorkers(router.grpcAddress, 3);
  const load = new Load({ router: router.grpcAddress, random, concurrency: 32, payloadBytes: 30_000 });
  let ends = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await pause(300 + random() * 700);
    const makeRoom = fill(disk);
    const ended = await Promise.race([router.process.ended, pause(LIVES_ON_MS, null)]);
    makeRoom();
    if (ended === null) continue;
    ends += 1;
    // The journal's native code now and then spoils its heap at a failed write ("corrupted size vs. prev_size"): the process then ends by
    // SIGABRT, before or after it has said why. It ends loudly either way, and the promise below is the same.
    expect([74, "SIGABRT"]).toContain(ended);
    expect(router.process.stderr).toMatch(ended === 74 ? /Nothing that was acknowledged is lost/ : /No space left on device|Nothing that was acknowledged is lost/);
    router = await router.restart();
    load.reconnect();
  }
  await load.finish(60_000);
  expect(ends).toBeGreaterThan(0);
  expect(load.ledger.verdict()).toMatchObject(IN_ORDER);
  expect(unexpectedTrouble(agents)).toEqual([]);
  expect(router.process.stderr).toBe("");
});
