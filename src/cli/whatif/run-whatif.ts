// What `gpu-router whatif` does: verifies a recording, or simulates it as it was and with something else.
import { Recording } from "../../recording/reader.js";
import { verify } from "../../recording/replay.js";
import { RecordingError } from "../../recording/step.js";
import { measure, type Measures } from "../../sim/measure.js";
import { strategyNames } from "../../sim/policies.js";
import { RecordedWorld, type Change } from "../../sim/recorded/what-if.js";
import type { SimulatedRun } from "../../sim/result.js";
import { CliFailure, ExitCode, usageFailure } from "../failure.js";
import type { CommandContext } from "../router-command.js";
import { settingsText } from "../simulate/settings-option.js";
import { styleFor } from "../style.js";
import { write } from "../terminal.js";
import type { WhatifOptions } from "../whatif.js";
import { comparisonJson, comparisonText, type Comparison } from "./comparison-text.js";
import { verificationJson, verificationText } from "./verification-text.js";

export async function runWhatif(context: CommandContext, file: string, options: WhatifOptions): Promise<number> {
  const changed = options.strategy !== undefined || options.fleet !== undefined || settingsText(options.set).length > 0;
  if (options.verify && changed) throw usageFailure("whatif either verifies what was decided or tries something else: leave --verify out, or --strategy, --set and --fleet");
  if (options.verify && options.kind.size + options.model.size > 0) throw usageFailure("--verify simulates nothing: leave it out, or --kind and --model");
  for (const strategy of options.strategy ?? []) {
    if (!strategyNames().includes(strategy)) throw usageFailure(`there is no strategy "${strategy}": take some of ${strategyNames().join(", ")}`);
  }
  return readable(async () => {
    const recording = await Recording.open(file);
    return options.verify ? verified(context, recording, options) : simulated(context, recording, options);
  });
}

/** What is wrong with a recording as the command's failure, in its own words. */
export async function readable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof RecordingError ? new CliFailure(error.message) : error;
  }
}

async function verified({ terminal }: CommandContext, recording: Recording, { json }: WhatifOptions): Promise<number> {
  const startedMs = performance.now();
  const result = await verify(recording);
  const tookMs = performance.now() - startedMs;
  const style = styleFor(terminal.stdout, terminal.env);
  await write(terminal.stdout, json ? verificationJson(recording.header, result) : verificationText(recording.header, result, tookMs, style));
  const same = result.first === null && (result.digest === null || result.digest.recorded === result.digest.remade);
  return same ? ExitCode.ok : ExitCode.failed;
}

async function simulated({ terminal }: CommandContext, recording: Recording, options: WhatifOptions): Promise<number> {
  const world = await RecordedWorld.open(recording, { kinds: options.kind, models: options.model });
  const rows = [shown(world, world.measured()), shown(world, world.simulated(`${world.strategy}, as recorded`, {}))];
  for (const [name, change] of changes(world, options)) rows.push(shown(world, world.simulated(name, change)));
  const comparison: Comparison = { file: recording.file, requests: world.requests, gpus: world.gpus, arrivalsMs: world.arrivalsMs, notes: world.notes, rows };
  const style = styleFor(terminal.stdout, terminal.env);
  await write(terminal.stdout, options.json ? comparisonJson(comparison) : comparisonText(comparison, style));
  return ExitCode.ok;
}

function shown(world: RecordedWorld, run: SimulatedRun): Measures {
  return measure(run, world.arrivalsMs);
}

/** Each strategy with all other changes; the recorded one when there are only those. */
function changes(world: RecordedWorld, { strategy, set, fleet }: WhatifOptions): [string, Change][] {
  if (fleet && !("groups" in fleet)) throw usageFailure("whatif simulates GPUs that are named: give --fleet such as 8xH100-80GB");
  const groups = (fleet?.groups ?? []).map(({ nodes, gpus, kind }) => `${nodes * gpus}x${kind}`);
  const words = [...settingsText(set), ...groups];
  if (strategy === undefined && words.length === 0) return [];
  return (strategy ?? [world.strategy]).map((name) => [[name, ...words].join(", "), { strategy: name, ...set, ...(fleet && { fleet: fleet.groups }) }]);
}
