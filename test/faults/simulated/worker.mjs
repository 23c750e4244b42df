// One thread of `npm run sim`: runs the seeds that it is given, one after another.
import { parentPort, workerData } from "node:worker_threads";

const { runSeed } = await import(`${workerData.folder}/test/faults/simulated/run-seed.js`);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
const tell = (answer) => parentPort.postMessage(answer);
parentPort.on("message", async (stories) => {
  for (const { seed, faults } of stories) tell(await runSeed({ seed, faults, traceLines: 0 }));
  tell(null);
});
tell(null);
