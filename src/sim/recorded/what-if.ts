// A recording simulated: as it was, and with something else. Gives runs of three kinds to be compared: what was measured, what the simulator
// makes of the same, what it makes of another strategy, other settings, another fleet.
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../core/settings.js";
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import type { Recording } from "../../recording/reader.js";
import { RecordingError } from "../../recording/step.js";
import { simpleFleet, type NodeGroup, type SimulatedNode } from "../fleets.js";
import { initialModels, type ModelDemand } from "../initial-models.js";
import { mappingTrouble, overridden, type SettingsOverride } from "../overrides.js";
import type { SimulatedRun } from "../result.js";
import { NO_FAULTS } from "../faults.js";
import { simulate } from "../simulation.js";
import { checkPlaced, recordedKinds, recordedNodes, recordedResidency, type Residency } from "./fleet.js";
import { judged, measuredRun } from "./measured-run.js";
import { notesOf } from "./notes.js";
import { trafficOf, type RecordedTraffic } from "./traffic.js";
import { demandsOf, recordedWorkload, type RecordedWorkload } from "./workload.js";

/** How long after the last arrival the rest may still end. */
const DRAIN_MS = 120_000;

export interface Translation {
  /** Names of GPUs, as their drivers tell them, to kinds. */
  readonly kinds: ReadonlyMap<string, GpuKind>;
  /** Recorded models to those that can be simulated. */
  readonly models: ReadonlyMap<string, string>;
}

/** What is other than recorded; empty for nothing. */
export interface Change extends Partial<SettingsOverride> {
  readonly strategy?: string;
  readonly fleet?: readonly NodeGroup[];
}

/** A recording, translated to what can be simulated. */
export class RecordedWorld {
  readonly #settings: CoreSettings;
  readonly #traffic: RecordedTraffic;
  readonly #workload: RecordedWorkload;
  readonly #kinds: readonly GpuKind[];
  readonly #nodes: readonly SimulatedNode[];
  readonly #demands: readonly ModelDemand[];
  readonly #residency: Residency;
  readonly #tellLengths: boolean;
  /** What cannot be simulated as it was, in words. */
  readonly notes: readonly string[];

  private constructor(recorded: CoreSettings, traffic: RecordedTraffic, translation: Translation) {
    const nameOf = (model: string): string => translation.models.get(model) ?? model;
    this.#traffic = traffic;
    this.#kinds = recordedKinds(traffic, translation.kinds);
    const kindOf = new Map(traffic.gpus.map(({ inventory }, index) => [inventory.gpuId as string, this.#kinds[index]]));
    this.#workload = recordedWorkload(traffic, (gpuId) => kindOf.get(gpuId), nameOf);
    this.#demands = demandsOf(this.#workload);
    this.#nodes = recordedNodes(traffic, this.#kinds);
    // In the order of the nodes, as the simulation has it.
    this.#residency = recordedResidency(traffic, this.#kinds, this.#demands, nameOf);
    const told = traffic.requests.filter(({ spec }) => spec.requirements.outputTokens > 0).length;
    this.#tellLengths = told * 2 > traffic.requests.length;
    const loadable = [...traffic.runners.values()].some((runners) => runners.some((runner) => (runner.loadable ?? []).length > 0));
    this.#settings = {
      ...recorded,
      // Simulated engines take their memory when they start, and look busy with one request as with a hundred.
      memoryThreshold: 1,
      utilizationThreshold: 1.1,
      hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, ...recorded.hybrid, placement: recorded.hybrid.placement && loadable },
    };
    this.notes = notesOf(traffic, this.#workload, this.#residency);
  }

  /** Reads the recording. Rejects with a RecordingError, also when a GPU or a model has to be translated first. */
  static async open(recording: Recording, translation: Translation): Promise<RecordedWorld> {
    return new RecordedWorld(recording.header.settings, await trafficOf(recording.entries()), translation);
  }

  get strategy(): string {
    return this.#settings.strategy;
  }

  get requests(): number {
    return this.#traffic.requests.length;
  }

  get gpus(): number {
    return this.#traffic.gpus.length;
  }

  /** How long requests arrived, ms. */
  get arrivalsMs(): number {
    return this.#workload.durationMs;
  }

  /** What really happened. */
  measured(): SimulatedRun {
    return judged(measuredRun(this.#traffic, this.#workload, this.#kinds));
  }

  /** Throws a RecordingError when the fleet has no room for a model, a RangeError when a setting is none. */
  simulated(name: string, change: Change): SimulatedRun {
    const fleet = change.fleet ? simpleFleet(change.fleet) : this.#nodes;
    const { loaded, types } = change.fleet ? this.#placedOn(fleet) : this.#residency;
    checkPlaced(loaded, this.#demands);
    const settings = this.#changed(change, fleet);
    const run = simulate({
      policy: name,
      scenario: "recording",
      load: 1,
      seed: 1,
      settings,
      fleet,
      workload: this.#workload,
      loaded,
      types,
      models: this.#demands.map(({ modelId }) => modelId),
      modelLoadSpeed: 1,
      prefixCacheTokens: null,
      faults: NO_FAULTS,
      drainMs: DRAIN_MS,
      tellLengths: this.#tellLengths,
    });
    return judged(run);
  }

  #changed(change: Change, fleet: readonly SimulatedNode[]): CoreSettings {
    const settings = overridden({ ...this.#settings, strategy: change.strategy ?? this.#settings.strategy }, change);
    const ids = fleet.flatMap(({ gpus }) => gpus.map(({ gpuId }) => gpuId));
    const types = this.#workload.tenants.map(({ type }) => type);
    // Recorded GPUs have other ids here; another fleet has none of them.
    const simulated = (gpu: string): string => (!change.fleet && ids.includes(`sim-${gpu}`) ? `sim-${gpu}` : gpu);
    const taskMappings = Object.fromEntries(Object.entries(settings.taskMappings).map(([type, gpus]) => [type, gpus.map(simulated)]));
    const recordedFits = !change.fleet || settings.strategy !== "task_specific";
    const checked = Object.entries(taskMappings).filter(([type]) => change.taskMappings?.[type] !== undefined || (!recordedFits && types.includes(type)));
    const trouble = mappingTrouble(Object.fromEntries(checked), types, ids);
    if (trouble !== null) throw new RecordingError(trouble);
    return { ...settings, taskMappings };
  }

  #placedOn(fleet: readonly SimulatedNode[]): Pick<Residency, "loaded" | "types"> {
    const kinds = fleet.flatMap(({ gpus }) => gpus.map(({ kind }) => kind as GpuKind));
    return { loaded: initialModels(kinds, this.#demands), types: kinds.map(() => []) };
  }
}
