// `gpu-router whatif`: looks at a recorded life of a router again. Options only; what it does is in whatif/, loaded when it is asked for.
import { InvalidArgumentError, Option, type Command } from "commander";

import type { SettingsOverride } from "../sim/overrides.js";
import type { FleetPlan } from "../sim/workload/scenario.js";
import { isGpuKind, GPU_KIND_NAMES, type GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES } from "../simulated-gpu/models.js";
import type { CommandContext } from "./router-command.js";
import { fleetPlan } from "./simulate/option-values.js";
import { NO_OVERRIDE, settingOption } from "./simulate/settings-option.js";

export interface WhatifOptions {
  readonly verify?: true;
  readonly strategy?: readonly string[];
  readonly set: SettingsOverride;
  readonly fleet?: FleetPlan;
  readonly kind: ReadonlyMap<string, GpuKind>;
  readonly model: ReadonlyMap<string, string>;
  readonly json?: true;
}

/** Adds the command. */
export function registerWhatif(program: Command, context: CommandContext): void {
  program
    .command("whatif <recording>")
    .description("Make a recorded router's decisions again, or simulate its work with something else")
    .option("--verify", "make every decision again from the recording: all must be the same to the last bit")
    .option("-s, --strategy <list>", "strategies to try: hybrid,least_loaded", (text: string) => text.split(",").map((name) => name.trim()))
    .addOption(new Option("--set <name=value>", "a setting to try, such as max_concurrent_tasks_per_gpu=4, hybrid.affinity=false, weights.usage=1 or task_specific_mappings.batch=gpu_0,gpu_1; may be given several times").argParser(settingOption).default(NO_OVERRIDE, "as recorded"))
    .option("--fleet <gpus>", "GPUs to try: 8xH100-80GB for a node of 8, 2x8xL40S for two", fleetPlan)
    .addOption(new Option("--kind <name=kind>", "what to take GPUs of that name for, when it is not known; may be given several times").argParser(kindOption).default(new Map<string, GpuKind>(), "as named"))
    .addOption(new Option("--model <name=model>", "which model of the simulator stands for a recorded one; may be given several times").argParser(modelOption).default(new Map<string, string>(), "as named"))
    .option("--json", "print JSON for machines")
    .addHelpText(
      "after",
      `
A recording is made by \`gpu-router serve --record FILE\` (or up, or recording.file of the configuration). It holds settings, telemetry,
requests with their sizes and times, and every decision; no payloads and no results.

Without --verify the recorded requests are simulated: on the same GPUs with the same settings, then with what the options say. The
first row is what was measured, so that one sees how far the simulation can be believed.

Exit code of --verify: 0 when all decisions are the same, 1 when one is not.

Examples:
  $ gpu-router whatif friday.rec --verify
  $ gpu-router whatif friday.rec --strategy hybrid,least_loaded
  $ gpu-router whatif friday.rec --fleet 6xA100-80GB --kind "NVIDIA A100-PCIE-80GB=A100-80GB"
  $ gpu-router explain --recording friday.rec order-4711`,
    )
    .action(async (file: string, options: WhatifOptions) => {
      const { runWhatif } = await import("./whatif/run-whatif.js");
      context.exitCode = await runWhatif(context, file, options);
    });
}

function kindOption(text: string, before: ReadonlyMap<string, GpuKind>): ReadonlyMap<string, GpuKind> {
  const [name, kind] = pair(text);
  if (!isGpuKind(kind)) throw new InvalidArgumentError(`Give NAME=KIND with one of ${GPU_KIND_NAMES.join(", ")}.`);
  return new Map([...before, [name, kind]]);
}

function modelOption(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const [name, model] = pair(text);
  if (!MODEL_NAMES.includes(model)) throw new InvalidArgumentError(`Give NAME=MODEL with one of ${MODEL_NAMES.join(", ")}.`);
  return new Map([...before, [name, model]]);
}

/** Names may hold "=", kinds and models do not. */
function pair(text: string): readonly [string, string] {
  const at = text.lastIndexOf("=");
  return [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
}
