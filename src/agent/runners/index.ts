// Makes the runners of a node from its configuration. Called by the agent when it starts.
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { serviceTimes } from "../../simulated-gpu/service-times.js";
import { ExecRunner, privateParent, type ExecCommand } from "./exec.js";
import type { RunAs } from "./exec/account.js";
import { Confinement } from "./exec/confinement.js";
import { searchPath } from "./exec/environment.js";
import { missingProgram } from "./exec/missing-program.js";
import { ProcessGuard } from "./exec/process-guard.js";
import { NO_LIMITS, type ResourceLimits } from "./exec/resource-limits.js";
import { OpenAiRunner, type OpenAiRunnerOptions } from "./openai.js";
import type { Runner } from "./runner.js";
import { SimulatedRunner, type SimulatedDevices } from "./simulated.js";

/** An OpenAI-compatible server, as configured: its key is named, not held. */
export interface OpenAiServerConfig extends Omit<OpenAiRunnerOptions, "apiKey" | "onTrouble"> {
  /** Environment variable that holds the key; "" without one. */
  readonly apiKeyEnv: string;
}

/** A command, as configured. */
export interface ExecCommandConfig extends ExecCommand {
  /** null: as the agent. */
  readonly runAs: RunAs | null;
  /** null: those of the agent. */
  readonly limits: ResourceLimits | null;
}

/** The part of the agent's configuration that runners come from; `AgentConfig` has this shape. */
export interface RunnersConfig {
  readonly probe: { readonly simulated: { readonly kind: GpuKind; readonly speed: number } };
  readonly runners: {
    readonly openai: readonly OpenAiServerConfig[];
    readonly exec: readonly ExecCommandConfig[];
    /** null: where the GPUs are simulated. `models`: each GPU serves those of them that it was told to load. */
    readonly simulated: boolean | null | { readonly models: readonly string[] };
  };
}

/** The node's simulated GPUs. */
export interface SimulatedNode extends SimulatedDevices {
  readonly gpus: readonly { readonly gpuId: string }[];
}

/** What runners need of the process around them. */
export interface RunnerSurroundings {
  readonly env: NodeJS.ProcessEnv;
  /** A runner has begun to have trouble outside of any job, such as a server that is down; "" when it is over. */
  readonly onTrouble: (runnerName: string, trouble: string) => void;
}

/**
 * The runners, names unique. `devices` are the node's simulated GPUs, if its GPUs are simulated. Discovery of models begins at
 * once. Throws, with what to do, when the simulated runner is asked for on real GPUs or with a model that no GPU holds, or a command cannot be confined as it should be.
 */
export function createRunners(
  config: RunnersConfig,
  devices?: SimulatedNode,
  { env = process.env, onTrouble = () => {} }: Partial<RunnerSurroundings> = {},
): Runner[] {
  const { openai, exec, simulated } = config.runners;
  if (simulated && devices === undefined) {
    throw new Error("runners.simulated is set, but the GPUs of this node are not simulated. Set probe.mode: simulated, or remove runners.simulated.");
  }
  const guard = new ProcessGuard((trouble) => onTrouble("exec", trouble));
  return [
    ...openai.map(({ apiKeyEnv, ...server }) => {
      const apiKey = apiKeyEnv === "" ? "" : (env[apiKeyEnv] ?? "");
      return new OpenAiRunner({ ...server, apiKey, onTrouble: (trouble) => onTrouble(server.name, trouble) });
    }),
    ...exec.map((command) => {
      const missing = missingProgram(command.argv[0], searchPath(command.env, env, command.runAs !== null));
      if (missing !== "") onTrouble(command.name, missing);
      return new ExecRunner(command, env, guard, confinementOf(command, env));
    }),
    ...(devices !== undefined && simulated !== false ? simulatedRunners(config, devices) : []),
  ];
}

/** One for all of the node, or one for each GPU where GPUs hold only some models at a time. */
function simulatedRunners({ probe, runners: { simulated } }: RunnersConfig, devices: SimulatedNode): Runner[] {
  const { kind: gpuKind, speed } = probe.simulated;
  if (typeof simulated === "boolean" || simulated === null) return [new SimulatedRunner({ devices, gpuKind, speed })];
  const { models } = simulated;
  const tooLarge = models.find((modelId) => serviceTimes(gpuKind, modelId).kvCapacityTokens === 0);
  if (tooLarge !== undefined) throw new Error(`runners.simulated.models names ${tooLarge}, which does not fit a simulated ${gpuKind}. Set probe.simulated.kind to a larger one, or remove the model.`);
  return devices.gpus.map(({ gpuId }, index) => new SimulatedRunner({ devices, gpuKind, speed, holder: { gpuId, index, models } }));
}

function confinementOf({ name, runAs, limits }: ExecCommandConfig, env: NodeJS.ProcessEnv): Confinement | null {
  if (!runAs && !limits) return null;
  try {
    return new Confinement(runAs, limits ?? NO_LIMITS, privateParent(env));
  } catch (error) {
    throw new Error(`runners.exec "${name}" cannot be run as configured: ${(error as Error).message}.`, { cause: error });
  }
}
