// The command line as a function: arguments and a terminal in, an exit code out. main.ts runs it for the process, tests
// run it in-process. Commands are registered here; what they do is in their own files.

import { Command, CommanderError } from "commander";

import { registerAgent } from "./agent.js";
import { registerAudit } from "./audit.js";
import { registerCallbacks } from "./callbacks.js";
import { registerCancel } from "./cancel.js";
import { registerExplain } from "./explain.js";
import { describeFailure, ExitCode } from "./failure.js";
import { registerGpus } from "./gpus.js";
import { registerKeys } from "./keys.js";
import { registerList } from "./list.js";
import { registerMaintenance } from "./maintenance.js";
import { packageVersion } from "./package-version.js";
import { registerPlanCommands } from "./plan-commands.js";
import { registerQuota } from "./quota.js";
import { registerRekey } from "./rekey.js";
import { registerReplay } from "./replay.js";
import { registerRestartGpu } from "./restart-gpu.js";
import { registerRoute } from "./route.js";
import type { CommandContext } from "./router-command.js";
import { registerServe } from "./serve.js";
import { registerStatus } from "./status.js";
import { styleFor } from "./style.js";
import { widthOf, type Terminal } from "./terminal.js";
import { registerUp } from "./up.js";
import { registerUsage } from "./usage.js";
import { registerUsers } from "./users.js";
import { registerWatch } from "./watch.js";
import { registerWhoami } from "./whoami.js";

/** Runs `gpu-router` with the arguments behind its name. Resolves with the exit code: 0 ok, 1 failed, 2 bad usage; see each command for more. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  const context: CommandContext = { terminal, exitCode: ExitCode.ok };
  try {
    await (await createProgram(context, args)).parseAsync(args, { from: "user" });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    const { message, exitCode } = describeFailure(error, "");
    terminal.stderr.write(`${styleFor(terminal.stderr, terminal.env).red("gpu-router:")} ${message}\n`);
    return exitCode;
  }
}

async function createProgram(context: CommandContext, args: readonly string[]): Promise<Command> {
  const { stdout, stderr } = context.terminal;
  const program = new Command("gpu-router")
    .description("Routes inference and training work to a fleet of GPUs.")
    .version(packageVersion(), "-V, --version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      getOutHelpWidth: () => widthOf(stdout),
      getErrHelpWidth: () => widthOf(stderr),
      outputError: (text, print) => print(text.replace(/^error: /, "gpu-router: ")),
    })
    .showHelpAfterError("(add --help to see what it takes)")
    .addHelpText(
      "after",
      `
Start here:
  $ gpu-router up                 a router and an agent for this machine's GPUs
  $ gpu-router gpus               what they found
  $ gpu-router route --model any --payload '{"prompt":"hello"}' --wait

Exit codes: 0 done, 1 failed, 2 bad usage, 3 the request was cancelled, 74 the router could not write its
journal, 130 interrupted.`,
    );
  program.commandsGroup("Run it:");
  registerUp(program);
  registerServe(program);
  registerAgent(program);
  program.commandsGroup("Send and follow work:");
  registerRoute(program, context);
  registerStatus(program, context);
  registerList(program, context);
  registerWatch(program, context);
  registerCancel(program, context);
  program.commandsGroup("See and test the fleet:");
  registerGpus(program, context);
  registerExplain(program, context);
  registerReplay(program, context);
  program.commandsGroup("Operate it:");
  registerMaintenance(program, context);
  registerRestartGpu(program, context);
  registerCallbacks(program, context);
  registerRekey(program, context);
  program.commandsGroup("Say who may do what:");
  registerKeys(program, context);
  registerUsers(program, context);
  registerWhoami(program, context);
  registerAudit(program, context);
  registerQuota(program, context);
  registerUsage(program, context);
  program.commandsGroup("Plan it:");
  await registerPlanCommands(program, context, args);
  return program;
}
