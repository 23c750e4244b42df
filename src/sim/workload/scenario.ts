// What a scenario is: who asks for what, of which models, on which fleet. Data only; build.ts makes the workload and
// ../fleets.ts the fleet of it. The scenarios themselves are in ../scenarios.ts.
import type { SimulatedFaults } from "../faults.js";
import type { NodeGroup } from "../fleets.js";
import type { TenantSlo } from "./arrival.js";
import type { SourceName, SourceReading } from "./sources.js";

/** A fleet of alike nodes, or a cut of the openb cluster by lot in which each GPU model keeps its share. */
export type FleetPlan =
  | { readonly groups: readonly NodeGroup[] }
  /** `nodes`: another list of nodes than openb's; `kinds`: what its GPU models are to be taken for, beside the kinds' own names. */
  | { readonly openbGpus: number; readonly nodes?: string; readonly kinds?: Readonly<Record<string, string>> };

/** One user of a part, with the models it asks for. Each model it asks is a tenant of its own, of the user's name. */
export interface ScenarioUser {
  readonly name: string;
  readonly priority: number;
  readonly slo: TenantSlo | null;
  /** Share of the part's requests, against the other users' weights. */
  readonly weight: number;
  /** The part's senders whose requests these are; without it, requests are given to users by lot. Either all users of a part have it or none. */
  readonly senders?: readonly string[];
  /** Model to weight; of no meaning where the part has a `modelMap`. */
  readonly models: Readonly<Record<string, number>>;
}

/**
 * How much of a source is taken, beside the whole: a share of its requests; as much as makes its work `ratio` times that of
 * other parts; as much as keeps a share of the fleet's GPUs busy.
 */
export type Amount =
  | { readonly kind: "share"; readonly share: number }
  | { readonly kind: "work"; readonly ratio: number; readonly of: readonly string[] }
  | { readonly kind: "gpus"; readonly share: number };

export interface ScenarioPart {
  readonly name: string;
  readonly source: SourceName;
  /** What is said of the source's file, and which window of it is taken; found out, and all of it, when left out. */
  readonly reading?: SourceReading;
  /** The models that the source's requests ask for, in its words, to those that stand for them; "*" for all others. Without it, models are the users'. */
  readonly modelMap?: Readonly<Record<string, string>>;
  readonly type: string;
  readonly users: readonly ScenarioUser[];
  readonly amount: Amount;
  /** How much faster the source's clock goes, the time of jobs with it; 1 unless it spans days. */
  readonly pace: number;
  /** Jobs that take longer (after `pace`) are left out, ms; Infinity for none. */
  readonly maxWorkMs: number;
  /** Jobs with more GPUs are left out. */
  readonly maxGpus: number;
  /** Whether the load multiple applies to it. */
  readonly scales: boolean;
}

/** One user sends `factor` times as much for a while. Times since the start of the simulation, ms. */
export interface Flood {
  readonly part: string;
  readonly user: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly factor: number;
}

export interface Scenario {
  readonly name: string;
  /** One line for a heading. */
  readonly title: string;
  /** What is the project's own in it, and what to know when reading results. */
  readonly notes: readonly string[];
  readonly fleet: FleetPlan;
  /** Names in the catalogue of simulated models; one that it lacks stands for work that is given as time. */
  readonly models: readonly string[];
  readonly parts: readonly ScenarioPart[];
  readonly floods: readonly Flood[];
  /** Speed at which models load, of their usual one. */
  readonly modelLoadSpeed: number;
  /** How long requests arrive, ms. */
  readonly durationMs: number;
  /** What goes wrong; the usual faults when left out. */
  readonly faults?: SimulatedFaults;
}
