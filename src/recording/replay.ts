// Makes a recording's decisions again, with the production engine of this version, and compares. Called by `whatif --verify` and by
// `explain --recording`. A recording begins where its router began, so the engine has learned what that one had: nothing else is needed.
import { Engine } from "../core/engine.js";
import type { Recording } from "./reader.js";
import { factsOf, type Ending, type Fact, type RecordedStep } from "./step.js";

/** One step as it was recorded and as it was made again. */
export interface ReplayedStep {
  readonly recorded: RecordedStep;
  readonly remade: readonly Fact[];
  /** null when both are the same to the last bit. */
  readonly difference: Mismatch | null;
}

/** The first place where two values differ, as "facts[1].decision.candidates[0].score". */
export interface Mismatch {
  readonly path: string;
  readonly recorded: unknown;
  readonly remade: unknown;
}

export interface Verification {
  readonly steps: number;
  /** Placements that were recorded, and how many of them were made again the same before the first difference. */
  readonly decisions: number;
  readonly equalDecisions: number;
  readonly first: ReplayedStep | null;
  readonly ending: Ending;
  /** The state's digest at the end of both; null without one to compare with. */
  readonly digest: { readonly recorded: number; readonly remade: number } | null;
}

/**
 * Steps through a recording. From the first difference on the engine's state is another one, and so may be all that follows. Returns the
 * digest of the state at the end, null when the engine refused a step. Rejects with a RecordingError.
 */
export async function* replay(recording: Recording): AsyncGenerator<ReplayedStep, number | null> {
  const { settings, snapshot } = recording.header;
  const engine = new Engine(settings, snapshot);
  for await (const entry of recording.entries()) {
    if (entry.kind === "recovered") {
      engine.replay(entry.record);
      continue;
    }
    const { step } = entry;
    const made = stepped(engine, step);
    if (made instanceof Error) {
      yield { recorded: step, remade: [], difference: { path: "step", recorded: "done", remade: made.message } };
      return null;
    }
    yield { recorded: step, remade: made, difference: mismatch(step.facts, made, "facts") };
  }
  return engine.state.digest();
}

function stepped(engine: Engine, { event, atMs }: RecordedStep): readonly Fact[] | Error {
  try {
    return factsOf(engine.step(event, atMs).records);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Replays a recording to its end, or to the first difference; reads on to count. Rejects with a RecordingError. */
export async function verify(recording: Recording): Promise<Verification> {
  const steps = replay(recording);
  let equalDecisions = 0;
  let first: ReplayedStep | null = null;
  let remadeDigest: number | null = null;
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done === true) {
      remadeDigest = next.value;
      break;
    }
    if (next.value.difference) {
      first = next.value;
      await steps.return(null);
      break;
    }
    equalDecisions += placements(next.value.recorded.facts);
  }
  let count = 0;
  let decisions = 0;
  for await (const entry of recording.entries()) {
    if (entry.kind !== "step") continue;
    count = entry.step.number;
    decisions += placements(entry.step.facts);
  }
  const { ending } = recording;
  const digest = ending.kind === "stopped" && remadeDigest !== null ? { recorded: ending.digest, remade: remadeDigest } : null;
  return { steps: count, decisions, equalDecisions, first, ending, digest };
}

function placements(facts: readonly Fact[]): number {
  return facts.reduce((count, { kind }) => count + (kind === "placed" ? 1 : 0), 0);
}

/**
 * The first difference between two plain values, null when there is none. Numbers are equal when all their bits are, but that 0 has no
 * sign: MessagePack does not keep it.
 */
export function mismatch(recorded: unknown, remade: unknown, path: string): Mismatch | null {
  if (recorded === remade || (Number.isNaN(recorded) && Number.isNaN(remade))) return null;
  if (typeof recorded !== "object" || typeof remade !== "object" || recorded === null || remade === null) return { path, recorded, remade };
  if (recorded instanceof Uint8Array && remade instanceof Uint8Array) {
    return recorded.byteLength === remade.byteLength ? null : { path: `${path}.byteLength`, recorded: recorded.byteLength, remade: remade.byteLength };
  }
  for (const key of new Set([...Object.keys(recorded), ...Object.keys(remade)])) {
    const place = Array.isArray(recorded) ? `${path}[${key}]` : `${path}.${key}`;
    const difference = mismatch((recorded as { [key: string]: unknown })[key], (remade as { [key: string]: unknown })[key], place);
    if (difference) return difference;
  }
  return null;
}
