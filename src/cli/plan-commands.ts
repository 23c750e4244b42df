// The commands that bring the simulator along, which is most of the code: they are registered in full when they are asked for. For all
// others they have their line in the help and no more, and the command line starts in a third of the time.
import type { Command } from "commander";
import type { CommandContext } from "./router-command.js";

type Register = (program: Command, context: CommandContext) => void;

interface PlanCommand {
  readonly usage: string;
  readonly description: string;
  readonly load: () => Promise<Register>;
}

/** By name, in the order of the help. */
export const PLAN_COMMANDS: Readonly<Record<string, PlanCommand>> = {
  simulate: {
    usage: "simulate",
    description: "Run the scheduler on simulated GPUs in virtual time and compare strategies",
    load: async () => (await import("./simulate.js")).registerSimulate,
  },
  capacity: {
    usage: "capacity",
    description: "Find how many GPUs of which kind carry a load within an SLO, by simulation",
    load: async () => (await import("./capacity.js")).registerCapacity,
  },
  whatif: {
    usage: "whatif <recording>",
    description: "Make a recorded router's decisions again, or simulate its work with something else",
    load: async () => (await import("./whatif.js")).registerWhatif,
  },
};

/** Adds them: in full those that are among `args`. */
export async function registerPlanCommands(program: Command, context: CommandContext, args: readonly string[]): Promise<void> {
  for (const [name, { usage, description, load }] of Object.entries(PLAN_COMMANDS)) {
    if (args.includes(name)) (await load())(program, context);
    // The option is one of many: the help says "[options]" for it.
    else program.command(usage).description(description).option("--json");
  }
}
