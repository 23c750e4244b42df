// The probe that replays what nvidia-smi once said: XML of `nvidia-smi -q -x` and captures of nvidia_gpu_exporter, plain or gzipped.
// Made by `index.ts`. Names, ids and figures are those of the recording; the GPUs count as simulated, since none stands behind them.
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { isExporterCapture, readExporterCapture } from "./exporter-capture.js";
import type { GpuReading, WholeGpu } from "./gpu-reading.js";
import type { GpuSample, Probe, ProbedGpu } from "./probe.js";
import { readSmiDocument } from "./smi-document.js";

const MAX_RECORDING_BYTES = 16 * 1024 * 1024;
const MAX_RECORDINGS = 1024;
const RECORDING_NAME = /\.(xml|txt)(\.gz)?$/;

/** The states in which one recording shows its GPUs, in the order they were taken. */
export type Frames = readonly (readonly GpuReading[])[];

/** What a recording holds; at least one state with at least one GPU. Throws what is wrong with it. */
function readRecording(text: string): Frames {
  const frames = isExporterCapture(text) ? readExporterCapture(text) : [readSmiDocument(text)];
  if (frames.every((readings) => readings.length === 0)) throw new Error("no GPU in it");
  return frames;
}

/** Each sample shows the next state of every recording, over and over. */
export class RecordedProbe implements Probe {
  readonly kind = "recorded";
  readonly #recordings: readonly Frames[];
  #samples = 0;

  private constructor(recordings: readonly Frames[]) {
    this.#recordings = recordings;
  }

  /** Reads one recording, or all of a folder (not of its sub-folders). Throws which file cannot be used and why. */
  static async open(place: string): Promise<RecordedProbe> {
    const files = await recordingsAt(place);
    if (files.length === 0) throw new Error(`${place} has no recordings: expected files named *.xml or *.txt, with or without .gz.`);
    if (files.length > MAX_RECORDINGS) throw new Error(`${place} has ${files.length} recordings; at most ${MAX_RECORDINGS} are replayed at once.`);
    const recordings: Frames[] = [];
    for (const file of files) recordings.push(await readFrames(file));
    return new RecordedProbe(recordings);
  }

  async inventory(): Promise<readonly ProbedGpu[]> {
    return this.#frame(0).map(({ gpu }) => gpu);
  }

  async sample(): Promise<readonly GpuSample[]> {
    const readings = this.#frame(this.#samples);
    this.#samples += 1;
    return readings.map(({ sample }) => sample);
  }

  /** Nothing happens in a recording. */
  onEvent(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}

  /** Masked recordings share ids, and ids are unique on a node: from the second on they get "#2", "#3", … */
  #frame(number: number): readonly WholeGpu[] {
    const seen = new Map<string, number>();
    const readings = this.#recordings.flatMap((frames) => frames[number % frames.length] ?? []);
    return readings.flatMap((reading) => {
      const times = (seen.get(reading.gpu.gpuId) ?? 0) + 1;
      seen.set(reading.gpu.gpuId, times);
      if (reading.sample === undefined) return [];
      const gpuId = times === 1 ? reading.gpu.gpuId : `${reading.gpu.gpuId}#${times}`;
      return [{ gpu: { ...reading.gpu, gpuId, simulated: true }, sample: { ...reading.sample, gpuId } }];
    });
  }
}

async function recordingsAt(place: string): Promise<readonly string[]> {
  const found = await stat(place).catch(() => undefined);
  if (!found) throw new Error(`${place} does not exist. Name a recording of nvidia-smi, or a folder of them.`);
  if (!found.isDirectory()) return [place];
  const names = await readdir(place);
  return names.filter((name) => RECORDING_NAME.test(name)).sort().map((name) => path.join(place, name));
}

async function readFrames(file: string): Promise<Frames> {
  try {
    const { size } = await stat(file);
    if (size > MAX_RECORDING_BYTES) throw new Error(`larger than ${MAX_RECORDING_BYTES} bytes`);
    const bytes = await readFile(file);
    const plain = file.endsWith(".gz") ? await promisify(gunzip)(bytes, { maxOutputLength: MAX_RECORDING_BYTES }) : bytes;
    return readRecording(plain.toString("utf8"));
  } catch (error) {
    throw new Error(`${file} cannot be replayed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
