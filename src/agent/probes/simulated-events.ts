// What happens to simulated GPUs on command: each line appended to a file happens to one of them, so that a test can have a real agent
// report an Xid error or a GPU that is too hot. Used by `simulated.ts`, configured as `probe.simulated.events_file`.
import { closeSync, openSync, readSync, watch, type FSWatcher } from "node:fs";
import { FIGURES, type Figure, type SimulatedDevices } from "./simulated-devices.js";

/** What one look reads at most, bytes; the rest is read by the next. */
const MAX_READ_BYTES = 64 * 1024;

export class SimulatedEvents {
  readonly #file: string;
  readonly #descriptor: number;
  readonly #watcher: FSWatcher;
  readonly #devices: SimulatedDevices;
  readonly #buffer = Buffer.alloc(MAX_READ_BYTES);
  #partial = "";
  #line = 0;

  /** What is in `file` already has happened before. It is made when it is not there; throws when that cannot be. */
  constructor(file: string, devices: SimulatedDevices) {
    this.#file = file;
    this.#devices = devices;
    this.#descriptor = openSync(file, "a+");
    this.#read();
    this.#watcher = watch(file, () => this.#read());
    this.#watcher.unref();
  }

  close(): void {
    this.#watcher.close();
    closeSync(this.#descriptor);
  }

  /** Throws at a line that nothing is known of: whoever wrote it waits for what will not come. */
  #read(): void {
    for (let length = -1; length !== 0; ) {
      length = readSync(this.#descriptor, this.#buffer, 0, MAX_READ_BYTES, null);
      const lines = (this.#partial + this.#buffer.toString("utf8", 0, length)).split("\n");
      this.#partial = lines.pop() ?? "";
      for (const line of lines) {
        this.#line += 1;
        if (happen(line, this.#devices)) continue;
        const known = `"xid NUMBER", "lost REASON", "hangs REASON", "restored REASON", "well" or one of ${FIGURES.join(", ")} with a number`;
        throw new Error(`${this.#file}, line ${this.#line}: expected an index below ${this.#devices.gpus.length}, then ${known}; it is "${line}".`);
      }
    }
  }
}

/**
 * Has a line happen, such as "0 xid 79", "3 lost it was taken out", "3 restored it is back", "2 hangs no answer", "1 temperature_celsius 95"
 * (which holds until "1 well", as all figures do; 1 stands for yes); false when it says nothing that is known. A GPU that is lost or hangs
 * gives no samples until it is restored, or well.
 */
export function happen(line: string, devices: SimulatedDevices): boolean {
  const [, index = "", what = "", value = ""] = /^(\d+) (\w+)(?: (.+))?$/.exec(line) ?? [];
  const gpuId = index === "" ? undefined : devices.gpus[Number(index)]?.gpuId;
  if (gpuId === undefined) return false;
  if (what === "well" && value === "") devices.heal(gpuId);
  else if (what === "xid" && /^\d{1,5}$/.test(value)) devices.tell({ kind: "xid", gpuId, xid: Number(value) });
  else if ((what === "lost" || what === "hangs" || what === "restored") && value !== "") devices.tell({ kind: what, gpuId, reason: value });
  else if (isFigure(what) && /^\d{1,9}(\.\d{1,9})?$/.test(value)) devices.set(gpuId, what, Number(value));
  else return false;
  return true;
}

function isFigure(word: string): word is Figure {
  return FIGURES.some((figure) => figure === word);
}
