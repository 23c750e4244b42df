// One thread of `npm run sim`: runs the seeds that it is given, one after another.
import { parentPort, workerData } from "node:worker_threads";

const { runSeed } = await import(`${workerData.folder}/test/faults/simulated/run-seed.js`);
parentPort.on("message", async (seeds) => {
  for (const seed of seeds) parentPort.postMessage(await runSeed({ seed, faults: workerData.faults, traceLines: 0 }));
  parentPort.postMessage(null);
});
parentPort.postMessage(null);
