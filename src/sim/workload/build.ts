// The workload of a scenario: opens its sources, puts those of the same hours on one clock, gives each request a user and a
// model, weighs the mix, and scales it. Called by whoever runs simulations; the simulation itself only sees the `Workload`.
import { assert } from "../../lib/assert.js";
import { modelShape } from "../../simulated-gpu/models.js";
import { plannedGpus } from "../fleets.js";
import { align } from "./align.js";
import { copiesOf } from "./amount.js";
import type { Tenant, Workload } from "./arrival.js";
import { compose, type Part } from "./compose.js";
import { between, only } from "./cut.js";
import { loop, renamed, reseeded } from "./loop.js";
import { compress, pace, superpose } from "./scale.js";
import type { Flood, Scenario, ScenarioPart } from "./scenario.js";
import { openSource, type OpenSource } from "./sources.js";
import { changed, type Stream } from "./stream.js";
import { TraceError } from "./trace-error.js";
import { checkUsers, withUsers } from "./users.js";
import { survey } from "./work.js";

export interface BuildOptions {
  /** Multiple of the traces' own load, above 0. */
  readonly load: number;
  /** How the multiple is reached, see scale.ts. */
  readonly scaling: "compress" | "superpose";
  /** How long requests arrive, ms; the scenario's own unless given. */
  readonly durationMs?: number;
}

/** All that a part's source has, on its clock, by tenant. */
interface PreparedPart {
  readonly part: ScenarioPart;
  readonly source: OpenSource;
  readonly stream: Stream;
  /** By sender of the stream. */
  readonly tenants: readonly Tenant[];
  /** Nominal GPU time it asks for a second, ms. */
  readonly workRate: number;
}

/**
 * Reads the scenario's traces from `folder` (null for none) and composes them. Each seed of
 * `arrivals` enters the traces elsewhere and gives the requests to other users. A user that asks for several models is as many
 * tenants of one name. Rejects with a `TraceError` when a trace is missing or cannot be read.
 */
export async function buildWorkload(scenario: Scenario, folder: string | null, options: BuildOptions): Promise<Workload> {
  const durationMs = options.durationMs ?? scenario.durationMs;
  assert(options.load > 0 && durationMs > 0, "a load and a duration are above 0");
  const prepared = await prepare(scenario, folder, durationMs);
  const parts = prepared.flatMap(({ part, stream, tenants }): Part[] => {
    const ring = superpose(loop(stream), copiesOf(part, prepared, plannedGpus(scenario.fleet)), "share");
    const load = part.scales ? options.load : 1;
    const scaled = options.scaling === "compress" ? compress(ring, load) : superpose(ring, load, "load");
    const flooding = scenario.floods.filter((flood) => flood.part === part.name);
    return [scaled, ...flooding.map((flood) => floodOf(flood, scaled, tenants))].map((each) => ({ stream: each, tenants }));
  });
  return compose(parts, durationMs);
}

/** What a part takes its requests from. */
export interface PartSource {
  readonly part: string;
  readonly source: string;
  /** As formats are called; "drawn" for requests that no trace has. */
  readonly format: string;
  /** Of the source; null when they are drawn. */
  readonly requests: number | null;
  /** Rows of its file that are no work, and are left out. */
  readonly leftOut: number;
  /** How long the source goes on until it begins again, on the clock of the simulation, ms. */
  readonly spanMs: number;
  /** How often the run goes through the source at load 1, fractions included; what is drawn never repeats: null. */
  readonly laps: number | null;
}

/** Where the scenario's requests come from in a run of `durationMs`. Rejects with a `TraceError`. */
export async function sourcesOf(scenario: Scenario, folder: string | null, durationMs: number): Promise<PartSource[]> {
  return (await prepare(scenario, folder, durationMs)).map(({ part, source: { format, requests, leftOut }, stream }) => {
    return { part: part.name, source: part.source, format, requests, leftOut, spanMs: stream.durationMs, laps: requests === null ? null : durationMs / stream.durationMs };
  });
}

/** Going through a trace more often than this is a flood of a few requests, and surely a mistake. */
const MOST_LAPS = 1000;

async function prepare(scenario: Scenario, folder: string | null, durationMs: number): Promise<PreparedPart[]> {
  const open: OpenSource[] = [];
  for (const { source, reading } of scenario.parts) open.push(await openSource(source, folder, reading));
  const alignments = align(open.map(({ startMs }) => startMs));
  const ends = open.map(({ spanMs }, index) => ({ group: alignments[index]?.group, endMs: (alignments[index]?.leadMs ?? 0) + spanMs }));
  return open.map((source, index) => {
    const { leadMs, group } = alignments[index] ?? { leadMs: 0, group: index };
    const part = scenario.parts[index];
    assert(part !== undefined, "every source is a part's");
    // Sources of one group last equally long, so that every seed enters them at the same moment.
    const periodMs = Math.max(...ends.filter((end) => end.group === group).map(({ endMs }) => endMs));
    const { stream, tenants } = withUsers(part, fitting(part, pace(source.stream(leadMs, periodMs), part.pace)));
    const found = survey(stream, tenants.map(({ modelId }) => tokenWeight(modelId)));
    checkUsers(part, tenants, found);
    if (durationMs / stream.durationMs > MOST_LAPS) {
      throw new TraceError(`${part.source} lasts ${Number(stream.durationMs.toPrecision(3))} ms, and the part "${part.name}" would repeat it ${Math.round(durationMs / stream.durationMs)} times: give a longer trace, a smaller pace or fewer minutes`);
    }
    return { part, source, stream, tenants, workRate: found.workRate };
  });
}

/** Without the jobs that are too long or too wide for the scenario. */
function fitting({ maxWorkMs, maxGpus }: ScenarioPart, stream: Stream): Stream {
  return changed(stream, () => (request) => (request.workMs <= maxWorkMs && request.gpus <= maxGpus ? request : null));
}

/** How heavy a model's tokens are, against one with 8 billion active parameters. */
function tokenWeight(modelId: string): number {
  return modelShape(modelId).activeParameters / 8e9;
}

/** What a flooding user sends beyond its usual: more of its own kind, from elsewhere in the trace. */
function floodOf({ user, fromMs, toMs, factor }: Flood, stream: Stream, tenants: readonly Tenant[]): Stream {
  assert(factor > 1 && tenants.some(({ name }) => name === user), "a flood is more than usual, of a user of its part");
  const own = only(stream, (sender) => tenants[sender]?.name === user);
  return between(compress(reseeded(renamed(own, "flood"), "flood"), factor - 1), fromMs, toMs);
}
