// Recordings for tests: a random life of an engine, recorded into a file as the router does it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach } from "@jest/globals";
import type { CoreSettings } from "../../../src/core/settings.js";
import { Recorder, type RecorderOptions } from "../../../src/recording/recorder.js";
import { Life, lifeSettings } from "../../property/recorded-life.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "gpu-router-recording-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** What a recorder said. */
export interface Log {
  readonly level: "info" | "error";
  readonly facts: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export function keptLog(): { readonly log: RecorderOptions["log"]; readonly lines: Log[] } {
  const lines: Log[] = [];
  const keep = (level: Log["level"]) => (facts: object, message: string) => void lines.push({ level, facts: facts as Log["facts"], message });
  return { lines, log: { info: keep("info"), error: keep("error") } };
}

export function recorderOptions(file: string, over: Partial<RecorderOptions> = {}): RecorderOptions {
  return { file, maxBytes: 1 << 30, hashUsers: false, settings: lifeSettings(), version: "test", log: keptLog().log, ...over };
}

/** Lives before a recorder that is open. */
export function liveBefore(recorder: Recorder, seed: number, steps: number, settings: CoreSettings = lifeSettings()): Life {
  recorder.recovered(null);
  const life = new Life(seed, { settings, observer: recorder });
  life.live(steps);
  return life;
}

export interface RecordedFile {
  readonly file: string;
  readonly life: Life;
}

/** A finished recording of a life. */
export async function recordedFile(seed: number, steps: number, over: Partial<RecorderOptions> = {}): Promise<RecordedFile> {
  const file = path.join(await temporaryFolder(), "life.rec");
  const recorder = await Recorder.open(recorderOptions(file, over));
  if (!recorder) throw new Error("the recorder did not open");
  const life = liveBefore(recorder, seed, steps, over.settings);
  await recorder.close(life.engine.state.digest());
  return { file, life };
}
