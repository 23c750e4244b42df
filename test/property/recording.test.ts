// Recordings of random lives: what is decided again from a recording is what was decided, to the last bit, whatever the strategy.
// Repeat a failure: GPU_ROUTER_PROPERTY_SEED=<seed> npm test -- test/property/recording.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { Engine } from "../../src/core/engine.js";
import type { CoreSettings } from "../../src/core/settings.js";
import { takeSnapshot, type Snapshot } from "../../src/core/snapshot.js";
import { Discretion } from "../../src/recording/discretion.js";
import { RecordingEncoder } from "../../src/recording/encoder.js";
import { Recording } from "../../src/recording/reader.js";
import { verify, type Verification } from "../../src/recording/replay.js";
import { Life, lifeSettings, STRATEGIES } from "./recorded-life.js";

const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 6);

const folder = mkdtempSync(path.join(tmpdir(), "gpu-router-recording-"));
afterAll(() => rmSync(folder, { recursive: true }));

const lives = fc.record({ seed: fc.nat(), before: fc.nat({ max: 150 }), between: fc.nat({ max: 40 }), steps: fc.integer({ min: 1, max: 400 }), hashUsers: fc.boolean() });

interface Recorded {
  readonly bytes: Buffer;
  readonly life: Life;
}

/** A recording of a life that begins with a snapshot and records after it. */
function record(plan: { readonly seed: number; readonly before: number; readonly between: number; readonly steps: number; readonly hashUsers: boolean }, settings: CoreSettings): Recorded {
  const past = new Life(plan.seed ^ 1, { settings, observer: { stepped: () => undefined } });
  past.live(plan.before);
  const snapshot: Snapshot | null = plan.before > 0 ? takeSnapshot(past.engine.state) : null;
  const known = snapshot ? past.records.length : 0;
  past.live(plan.between);
  const since = past.records.slice(known);

  const encoder = new RecordingEncoder(new Discretion(plan.hashUsers));
  const frames = [encoder.header({ version: "test", node: "test", startedAtMs: 0, hashedUsers: plan.hashUsers, settings, snapshot })];
  const engine = new Engine(settings, snapshot);
  for (const each of since) {
    engine.replay(each);
    encoder.recovered(each);
  }
  const life = new Life(plan.seed, {
    settings,
    engine,
    nowMs: past.nowMs,
    observer: {
      stepped(event, nowMs, records) {
        if (event.kind !== "attempt_progress") encoder.step(event, nowMs, records);
        if (encoder.pending >= 50) frames.push(encoder.frame());
      },
    },
  });
  life.live(plan.steps);
  encoder.end({ kind: "stopped", digest: life.engine.state.digest() });
  frames.push(encoder.frame());
  return { bytes: Buffer.concat(frames), life };
}

async function verified(bytes: Buffer): Promise<Verification> {
  const file = path.join(folder, "life.recording");
  writeFileSync(file, bytes);
  return verify(await Recording.open(file));
}

describe(`any life that is recorded is decided again the same (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs each)`, () => {
  test.each(STRATEGIES)("%s", async (strategy) => {
    const settings = lifeSettings({ strategy });
    await fc.assert(
      fc.asyncProperty(lives, async (plan) => {
        const { bytes, life } = record(plan, settings);
        const result = await verified(bytes);
        expect(result.first).toBeNull();
        expect(result.digest).toEqual({ recorded: life.engine.state.digest(), remade: life.engine.state.digest() });
        expect(result.equalDecisions).toBe(result.decisions);
        expect(result.decisions).toBe(life.records.filter(({ kind }) => kind === "placed").length);
      }),
      { seed, numRuns: runs },
    );
  });
});

test("lives reach retries, refusals, time-outs, late requests, several attempts and many decisions", () => {
  const reached = new Set<string>();
  let decisions = 0;
  for (const life of [1, 2, 3, 4, 5, 6].map((each) => record({ seed: each, before: 0, between: 0, steps: 1_000, hashUsers: false }, lifeSettings({ strategy: "hybrid" })).life)) {
    for (const made of life.records) {
      reached.add(made.kind);
      if (made.kind === "placed") decisions += 1;
      if (made.kind === "ended" && made.error) reached.add(made.error.code);
    }
  }
  for (const what of ["placed", "attempt_failed", "stop_requested", "ended", "timeout", "too_late", "retries_exhausted"]) expect([...reached]).toContain(what);
  expect(decisions).toBeGreaterThan(200);
});

test("a decision that was made otherwise is found, and where", async () => {
  const settings = lifeSettings({ strategy: "weighted" });
  const { bytes } = record({ seed: 7, before: 0, between: 0, steps: 300, hashUsers: false }, settings);
  expect((await verified(bytes)).first).toBeNull();
  const other = record({ seed: 7, before: 0, between: 0, steps: 300, hashUsers: false }, { ...settings, weights: { ...settings.weights, usage: 0.36 } });
  // The other life's steps under this one's settings.
  const encoder = new RecordingEncoder(new Discretion(false));
  const header = encoder.header({ version: "test", node: "test", startedAtMs: 0, hashedUsers: false, settings, snapshot: null });
  const result = await verified(Buffer.concat([header, other.bytes.subarray(headerBytes(other.bytes))]));
  expect(result.first?.difference?.path).toMatch(/^facts\[1\]\.decision\./);
  expect(result.equalDecisions).toBeLessThan(result.decisions);
});

/** Line and first frame. */
function headerBytes(bytes: Buffer): number {
  const line = bytes.indexOf("\n") + 1;
  return line + 4 + bytes.readUInt32LE(line);
}
