// NVML, opened: its physical GPUs and the Xid errors that it reports. Runs inside the NVML process; every call may block.
import { setTimeout as delay } from "node:timers/promises";
import type { WholeGpu } from "./gpu-reading.js";
import { NvmlDevice } from "./nvml-device.js";
import type { NvmlHandle, NvmlLibrary } from "./nvml-library.js";
import { NVML_FUNCTION_NOT_FOUND, NVML_SUCCESS, NVML_TIMEOUT, NvmlError } from "./nvml-return-codes.js";
import type { GpuProbeEvent } from "./probe.js";

const EVENT_XID = 0x8;
/** One wait for an event. It blocks a thread of its own, so this only bounds how long a stop takes. */
const EVENT_WAIT_MS = 1000;
const RETRY_AFTER_MS = 1000;

export class NvmlSession {
  readonly #nvml: NvmlLibrary;
  readonly #handles: ReadonlyMap<string, NvmlHandle>;
  readonly #devices = new Map<string, NvmlDevice>();

  /** Starts NVML. Throws what failed and what to do. */
  constructor(nvml: NvmlLibrary) {
    this.#nvml = nvml;
    const init = nvml.firstOf("nvmlInit_v2", "nvmlInit");
    const code = nvml.call(init);
    if (code !== NVML_SUCCESS) throw new NvmlError(init, code);
    this.#handles = physicalGpus(nvml);
  }

  get uuids(): readonly string[] {
    return [...this.#handles.keys()];
  }

  /** The GPU, or its MIG instances. Throws when it does not answer. */
  read(uuid: string): readonly WholeGpu[] {
    return this.#device(uuid).read();
  }

  /** Tells each Xid error from now on, until the process ends. Does nothing where NVML has no events, as on Windows. */
  async listen(emit: (event: GpuProbeEvent) => void): Promise<void> {
    const nvml = this.#nvml;
    const set = nvml.handle("nvmlEventSetCreate");
    if (set === undefined) return;
    const codes = [...this.#handles.values()].map((handle) => nvml.call("nvmlDeviceRegisterEvents", handle, EVENT_XID, set));
    if (!codes.includes(NVML_SUCCESS)) return;
    const wait = nvml.firstOf("nvmlEventSetWait_v2", "nvmlEventSetWait");
    for (;;) {
      const out = nvml.buffer("nvmlEventData_t", 1);
      // Version 1 leaves these as they are: all ones, for no MIG instance.
      out.fill(0xff, 24);
      const code = await nvml.callAside(wait, set, out, EVENT_WAIT_MS);
      if (code === NVML_FUNCTION_NOT_FOUND) return;
      if (code === NVML_SUCCESS) for (const event of this.#xidEvents(out)) emit(event);
      else if (code !== NVML_TIMEOUT) await delay(RETRY_AFTER_MS);
    }
  }

  #xidEvents(out: Buffer): readonly GpuProbeEvent[] {
    const { device = 0, eventType, eventData, gpuInstanceId, computeInstanceId } = this.#nvml.decode("nvmlEventData_t", out);
    if (Number(eventType) !== EVENT_XID) return [];
    const uuid = [...this.#handles].find(([, handle]) => handle === BigInt(device))?.[0];
    if (uuid === undefined) return [];
    return this.#gpuIds(uuid, Number(gpuInstanceId), Number(computeInstanceId)).map((gpuId) => ({ kind: "xid", gpuId, xid: Number(eventData) }));
  }

  /** A GPU that failed so badly that it no longer answers still gets its Xid told. */
  #gpuIds(uuid: string, gpuInstance: number, computeInstance: number): readonly string[] {
    try {
      return this.#device(uuid).gpuIdsOf(gpuInstance, computeInstance);
    } catch {
      return [uuid];
    }
  }

  #device(uuid: string): NvmlDevice {
    const handle = this.#handles.get(uuid);
    if (handle === undefined) throw new Error(`NVML no longer shows ${uuid}.`);
    const device = this.#devices.get(uuid) ?? new NvmlDevice(this.#nvml, handle, uuid);
    this.#devices.set(uuid, device);
    return device;
  }
}

/** Handles by UUID. GPUs that do not answer are left out; throws the reason when none does. */
function physicalGpus(nvml: NvmlLibrary): ReadonlyMap<string, NvmlHandle> {
  const gpus = new Map<string, NvmlHandle>();
  const count = nvml.number("uint32", nvml.firstOf("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount")) ?? 0;
  const byIndex = nvml.firstOf("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex");
  let failure: unknown;
  for (let index = 0; index < count; index += 1) {
    try {
      const out = Buffer.alloc(8);
      const code = nvml.call(byIndex, index, out);
      if (code !== NVML_SUCCESS) throw new NvmlError(byIndex, code);
      const handle = out.readBigUInt64LE();
      const uuid = nvml.text("nvmlDeviceGetUUID", handle);
      if (uuid !== "") gpus.set(uuid, handle);
    } catch (error) {
      failure = error;
    }
  }
  if (gpus.size === 0) throw failure ?? new Error("NVML works, but there is no NVIDIA GPU on this machine.");
  return gpus;
}
