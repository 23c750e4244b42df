// Chooses and opens the probe of a node. Called by the agent when it starts.
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import type { KernelLogOptions } from "./kernel-log/kernel-log.js";
import { NvidiaSmiProbe, type NvidiaSmiOptions } from "./nvidia-smi.js";
import { NvmlProbe, type NvmlOptions } from "./nvml.js";
import type { Probe, ProbedGpu } from "./probe.js";
import { RecordedProbe } from "./recorded.js";
import { SimulatedDevices } from "./simulated-devices.js";
import { SimulatedProbe } from "./simulated.js";

export type ProbeMode = "auto" | "nvml" | "nvidia-smi" | "recorded" | "simulated";

/** The part of the agent's configuration that the probe comes from; `AgentConfig["probe"]` has this shape. */
export interface ProbeOptions {
  readonly mode: ProbeMode;
  /** A recording of nvidia-smi or a folder of them; used by "recorded" only. */
  readonly recordedPath: string;
  /** Name or path of the NVML library. */
  readonly nvmlLibrary: string;
  /** Where Xids are read when NVML does not tell them, as in `KernelLogOptions`. */
  readonly kernelLog: string;
  /** Used by "simulated", and by "auto" where there is no GPU. `gpus` 1..1024. */
  readonly simulated: { readonly gpus: number; readonly kind: GpuKind; readonly eventsFile?: string };
}

export interface OpenedProbe {
  readonly probe: Probe;
  /** The inventory, which was asked to see whether the probe works. */
  readonly gpus: readonly ProbedGpu[];
  /** What was tried and found, for people; in order, a sentence each. */
  readonly notes: readonly string[];
  /** For the simulated runner; undefined unless the GPUs are simulated. */
  readonly devices: SimulatedDevices | undefined;
}

/** How the probes reach the driver, where that is not as usual. */
export interface ProbeSurroundings {
  readonly nvml?: NvmlOptions;
  readonly nvidiaSmi?: NvidiaSmiOptions;
  readonly kernelLog?: Omit<KernelLogOptions, "source">;
  /** Whether "auto" may simulate GPUs where it finds none; true when left out. */
  readonly maySimulate?: boolean;
}

/** The library's name as the configuration has it by default; on Windows NVML is called otherwise. */
const DEFAULT_LIBRARY = "libnvidia-ml.so.1";

/**
 * Opens the probe that `mode` names, and asks it once. "auto" takes NVML where it works, else nvidia-smi, else simulated GPUs where it may.
 * Rejects with what to do when the named one cannot be used.
 */
export async function openProbe(nodeId: string, options: ProbeOptions, surroundings: ProbeSurroundings = {}): Promise<OpenedProbe> {
  switch (options.mode) {
    case "simulated":
      return simulated(nodeId, options, []);
    case "recorded":
      return opened(await RecordedProbe.open(options.recordedPath), []);
    case "nvml":
      return opened(nvmlProbe(options, surroundings), []);
    case "nvidia-smi":
      return opened(smiProbe(options, surroundings), []);
    case "auto":
      return automatic(nodeId, options, surroundings);
  }
}

async function automatic(nodeId: string, options: ProbeOptions, surroundings: ProbeSurroundings): Promise<OpenedProbe> {
  const notes: string[] = [];
  for (const probe of [nvmlProbe(options, surroundings), smiProbe(options, surroundings)]) {
    try {
      return await opened(probe, notes);
    } catch (error) {
      notes.push(`${probe.kind}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (surroundings.maySimulate === false) {
    throw new Error(`No NVIDIA GPU can be used. ${notes.join(" ")} To run without GPUs, set probe.mode: simulated.`);
  }
  return simulated(nodeId, options, [...notes, "No NVIDIA GPU can be used, so the GPUs of this node are simulated: they do no real work."]);
}

/** Closes a probe that cannot be used. */
async function opened(probe: Probe, notes: readonly string[]): Promise<OpenedProbe> {
  try {
    const gpus = await probe.inventory();
    return { probe, gpus, notes: [...notes, `${probe.kind}: ${count(gpus)}`], devices: undefined };
  } catch (error) {
    await probe.close();
    throw error;
  }
}

async function simulated(nodeId: string, options: ProbeOptions, notes: readonly string[]): Promise<OpenedProbe> {
  const kinds = Array.from({ length: options.simulated.gpus }, () => options.simulated.kind);
  const devices = new SimulatedDevices(nodeId, kinds);
  return { ...(await opened(new SimulatedProbe(devices, options.simulated.eventsFile), notes)), devices };
}

function nvmlProbe(options: ProbeOptions, { nvml }: ProbeSurroundings): NvmlProbe {
  const named = options.nvmlLibrary !== "" && options.nvmlLibrary !== DEFAULT_LIBRARY;
  return new NvmlProbe({ ...nvml, ...(named && { library: options.nvmlLibrary }) });
}

function smiProbe({ kernelLog: source }: ProbeOptions, { nvidiaSmi, kernelLog }: ProbeSurroundings): NvidiaSmiProbe {
  return new NvidiaSmiProbe({ ...nvidiaSmi, kernelLog: { ...kernelLog, source } });
}

/** Such as "2 x NVIDIA H200, 1 x NVIDIA L40S". */
function count(gpus: readonly ProbedGpu[]): string {
  const names = new Map<string, number>();
  for (const { name } of gpus) names.set(name, (names.get(name) ?? 0) + 1);
  return [...names].map(([name, times]) => `${times} x ${name}`).join(", ");
}
