// `gpu-router restart-gpu`: has a GPU restarted by its node's command.
import type { Command } from "commander";

import { RestartGpuResponseSchema, RestartState, type GpuRestart } from "../../gen/gpurouter/v1/admin_pb.js";
import { systemClock } from "./clock.js";
import { confirm } from "./confirm.js";
import { ExitCode } from "./failure.js";
import { restartStateName } from "./maintenance.js";
import { duration } from "./option-parsers.js";
import { countText, printable } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions, type RouterSession } from "./router-command.js";

interface RestartOptions extends RouterOptions {
  readonly force?: true;
  readonly yes?: true;
  readonly wait?: true;
  readonly drain?: number;
  readonly reason?: string;
}

const ASK_EVERY_MS = 500;
const UNDER_WAY: ReadonlySet<RestartState> = new Set([RestartState.DRAINING, RestartState.ORDERED]);

/** Adds the command. */
export function registerRestartGpu(program: Command, context: CommandContext): void {
  routerCommand(program, "restart-gpu <gpu>", "Have a GPU restarted by the command of its node")
    .option("--force", "stop its work now instead of waiting until it ends")
    .option("--drain <time>", "without --force: how long running work may go on", duration)
    .option("--reason <words>", "shown to people")
    .option("--wait", "wait for the outcome; exit code 1 when it failed")
    .option("-y, --yes", "with --force: do not ask")
    .addHelpText(
      "after",
      `
The agent runs what its own configuration says (gpu_restart_command), nothing of this command line but the GPU's id.
\`gpu-router maintenance end <gpu>\` takes the wish back while the GPU is draining.

Examples:
  $ gpu-router restart-gpu GPU-5d2b1f0e --reason "Xid 62" --wait
  $ gpu-router restart-gpu GPU-5d2b1f0e --force --yes`,
    )
    .action(async (gpuId: string, options: RestartOptions) => {
      await withRouter(context, options, async (session) => {
        if (options.force === true) await confirm(session.terminal, options.yes === true, `Work on ${printable(gpuId)} is stopped now.`);
        const { drain, reason = "" } = options;
        const response = await session.client.admin.restartGpu({ gpuId, force: options.force === true, reason, ...(drain !== undefined && { drainMs: BigInt(drain) }) }, { deadlineMs: CALL_DEADLINE_MS });
        const restart = options.wait === true && response.restart ? await ended(session, response.restart) : response.restart;
        if (!restart) return ExitCode.failed;
        await session.print(RestartGpuResponseSchema, { ...response, restart }, () => restartText(restart));
        const well = UNDER_WAY.has(restart.state) || restart.state === RestartState.SUCCEEDED || restart.state === RestartState.AGENT_RESTARTED;
        return well ? ExitCode.ok : ExitCode.failed;
      });
    });
}

/** Asks until the restart is over, or Ctrl-C. */
async function ended({ client, terminal }: RouterSession, first: GpuRestart): Promise<GpuRestart> {
  const interrupt = new AbortController();
  const stopListening = terminal.onInterrupt(() => interrupt.abort());
  let restart = first;
  try {
    while (UNDER_WAY.has(restart.state) && !interrupt.signal.aborted) {
      await systemClock.sleep(ASK_EVERY_MS, interrupt.signal);
      const { restarts } = await client.admin.listMaintenance({}, { deadlineMs: CALL_DEADLINE_MS });
      restart = restarts.find(({ restartId }) => restartId === first.restartId) ?? restart;
    }
  } finally {
    stopListening();
  }
  return restart;
}

function restartText(restart: GpuRestart): string {
  const { gpuId, activeRequests, message } = restart;
  const running = activeRequests > 0 ? `; ${countText(activeRequests)} still run there` : "";
  return `restart of ${printable(gpuId)}: ${restartStateName(restart)}${running}${message === "" ? "" : `: ${printable(message)}`}\n`;
}
