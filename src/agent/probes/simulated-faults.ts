// Troubles of simulated GPUs on demand: a file says what is wrong with which of them, and what it says holds while it says it. For trying
// out what a router does with GPUs that fall ill. Made by `index.ts` where the configuration names such a file; read again when it changes.
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { SimulatedDevices } from "./simulated-devices.js";

const LOOK_EVERY_MS = 100;
const MAX_CHARS = 1 << 20;

const reason = z.string().min(1).max(256);
const trouble = z.strictObject({
  /** Told once when it comes or changes. */
  xid: z.int().min(0).optional(),
  /** It does not answer; once this is gone, it was reset. */
  lost: reason.optional(),
  /** Asking for it hangs. */
  hangs: reason.optional(),
  temperature_celsius: z.number().optional(),
  clock_event_reasons: z.int().min(0).optional(),
  ecc_uncorrected: z.int().min(0).optional(),
  row_remap_pending: z.boolean().optional(),
  row_remap_failed: z.boolean().optional(),
  retired_pages_pending: z.boolean().optional(),
  /** Memory in use that nobody owns, MiB. */
  memory_left_mib: z.number().min(0).optional(),
});
const faults = z.record(z.string(), trouble);

/** What is wrong with one GPU, as in the file. */
export type SimulatedTrouble = z.output<typeof trouble>;

/** Follows the file at `path`, which may come and go; returns how to stop. `onUnusable` hears why it cannot be used; what held before holds on. */
export function followFaults(path: string, devices: SimulatedDevices, onUnusable: (why: string) => void): () => void {
  let before: string | undefined;
  const look = (): void => {
    try {
      const text = readText(path);
      if (text === before) return;
      before = text;
      devices.ail(faultsIn(text));
    } catch (error) {
      onUnusable(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** "" where there is no file. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function faultsIn(text: string): ReadonlyMap<string, SimulatedTrouble> {
  if (text.length > MAX_CHARS) throw new Error(`larger than ${MAX_CHARS} characters`);
  const parsed = faults.safeParse(text.trim() === "" ? {} : JSON.parse(text));
  if (!parsed.success) throw new Error(`no faults of simulated GPUs:\n${z.prettifyError(parsed.error)}`);
  return new Map(Object.entries(parsed.data));
}
