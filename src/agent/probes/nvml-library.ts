// NVML itself: the shared library, its functions bound one by one, its answers as values. Used inside the NVML process only, since
// any call may hang. What a missing function or an unsupported figure means is decided here, once: undefined.
import { type Koffi, nvmlLayouts, type NvmlLayouts } from "./nvml-layouts.js";
import { NVML_FUNCTION_NOT_FOUND, NVML_SUCCESS, NvmlError } from "./nvml-return-codes.js";

/** A device, event set or other thing that NVML handed out. */
export type NvmlHandle = bigint;
type Argument = NvmlHandle | number | Buffer;
type LayoutName = keyof NvmlLayouts;
/** Fields of a structure; 64-bit ones above 2^53 come as bigint. */
export type NvmlFields = Readonly<Record<string, number | bigint>>;

const POINTER = "void *";
const UINT = "uint32";
/** Parameters of every function in use. All return an nvmlReturn_t. */
const SIGNATURES = {
  nvmlInit_v2: [],
  nvmlInit: [],
  nvmlSystemGetDriverVersion: [POINTER, UINT],
  nvmlDeviceGetCount_v2: [POINTER],
  nvmlDeviceGetCount: [POINTER],
  nvmlDeviceGetHandleByIndex_v2: [UINT, POINTER],
  nvmlDeviceGetHandleByIndex: [UINT, POINTER],
  nvmlDeviceGetName: [POINTER, POINTER, UINT],
  nvmlDeviceGetUUID: [POINTER, POINTER, UINT],
  nvmlDeviceGetMemoryInfo: [POINTER, POINTER],
  nvmlDeviceGetMemoryInfo_v2: [POINTER, POINTER],
  nvmlDeviceGetUtilizationRates: [POINTER, POINTER],
  nvmlDeviceGetTemperature: [POINTER, UINT, POINTER],
  nvmlDeviceGetPowerUsage: [POINTER, POINTER],
  nvmlDeviceGetEnforcedPowerLimit: [POINTER, POINTER],
  nvmlDeviceGetCudaComputeCapability: [POINTER, POINTER, POINTER],
  nvmlDeviceGetAttributes_v2: [POINTER, POINTER],
  nvmlDeviceGetNumGpuCores: [POINTER, POINTER],
  nvmlDeviceGetCurrentClocksEventReasons: [POINTER, POINTER],
  nvmlDeviceGetCurrentClocksThrottleReasons: [POINTER, POINTER],
  nvmlDeviceGetTotalEccErrors: [POINTER, UINT, UINT, POINTER],
  nvmlDeviceGetRemappedRows: [POINTER, POINTER, POINTER, POINTER, POINTER],
  nvmlDeviceGetRetiredPagesPendingStatus: [POINTER, POINTER],
  nvmlDeviceGetComputeRunningProcesses_v3: [POINTER, POINTER, POINTER],
  nvmlDeviceGetComputeRunningProcesses_v2: [POINTER, POINTER, POINTER],
  nvmlDeviceGetComputeRunningProcesses: [POINTER, POINTER, POINTER],
  nvmlDeviceGetGraphicsRunningProcesses_v3: [POINTER, POINTER, POINTER],
  nvmlDeviceGetGraphicsRunningProcesses_v2: [POINTER, POINTER, POINTER],
  nvmlDeviceGetGraphicsRunningProcesses: [POINTER, POINTER, POINTER],
  nvmlDeviceGetMigMode: [POINTER, POINTER, POINTER],
  nvmlDeviceGetMaxMigDeviceCount: [POINTER, POINTER],
  nvmlDeviceGetMigDeviceHandleByIndex: [POINTER, UINT, POINTER],
  nvmlDeviceGetGpuInstanceId: [POINTER, POINTER],
  nvmlDeviceGetComputeInstanceId: [POINTER, POINTER],
  nvmlEventSetCreate: [POINTER],
  nvmlDeviceRegisterEvents: [POINTER, "uint64", POINTER],
  nvmlEventSetWait_v2: [POINTER, POINTER, UINT],
  nvmlEventSetWait: [POINTER, POINTER, UINT],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type NvmlCall = keyof typeof SIGNATURES;
type NativeFunction = ReturnType<ReturnType<Koffi["load"]>["func"]>;

/** Long enough for every text that NVML gives: 96 bytes since version 11. */
const TEXT_BYTES = 96;

export class NvmlLibrary {
  readonly #koffi: Koffi;
  readonly #library: ReturnType<Koffi["load"]>;
  readonly #layouts: NvmlLayouts;
  /** null for a function that this version of the library lacks. */
  readonly #functions = new Map<NvmlCall, NativeFunction | null>();

  /** Loads the library; throws koffi's message when there is none. Calls nothing yet. */
  constructor(koffi: Koffi, file: string) {
    this.#koffi = koffi;
    this.#library = koffi.load(file);
    this.#layouts = nvmlLayouts(koffi);
  }

  /** Its nvmlReturn_t; FUNCTION_NOT_FOUND when the library lacks it. */
  call(name: NvmlCall, ...args: readonly Argument[]): number {
    return Number(this.#function(name)?.(...args) ?? NVML_FUNCTION_NOT_FOUND);
  }

  /** `call` on another thread. */
  callAside(name: NvmlCall, ...args: readonly Argument[]): Promise<number> {
    const native = this.#function(name);
    if (native === null) return Promise.resolve(NVML_FUNCTION_NOT_FOUND);
    return new Promise((resolve, reject) => {
      native.async(...args, (error: unknown, code: unknown) => (error ? reject(error) : resolve(Number(code))));
    });
  }

  /** The first of `names` that the library has. */
  firstOf(...names: readonly [NvmlCall, ...NvmlCall[]]): NvmlCall {
    return names.find((name) => this.#function(name) !== null) ?? names[0];
  }

  /** Whether the call gave its answer. Throws only when the GPU itself is gone, which no caller may mistake for "not told". */
  answered(name: NvmlCall, ...args: readonly Argument[]): boolean {
    const code = this.call(name, ...args);
    if (code === NVML_SUCCESS) return true;
    const error = new NvmlError(name, code);
    if (error.gpuIsGone) throw error;
    return false;
  }

  /** A number that the call writes to its last parameter; undefined when it is not told. */
  number(type: "uint32" | "uint64", name: NvmlCall, ...args: readonly Argument[]): number | undefined {
    const out = Buffer.alloc(8);
    if (!this.answered(name, ...args, out)) return undefined;
    return known(type === "uint32" ? out.readUInt32LE() : out.readBigUInt64LE());
  }

  /** A handle that the call writes to its last parameter. */
  handle(name: NvmlCall, ...args: readonly Argument[]): NvmlHandle | undefined {
    const out = Buffer.alloc(8);
    return this.answered(name, ...args, out) ? out.readBigUInt64LE() : undefined;
  }

  /** The text of a call that ends in (char *, unsigned length); "" when it is not told. */
  text(name: NvmlCall, ...args: readonly Argument[]): string {
    const out = Buffer.alloc(TEXT_BYTES);
    if (!this.answered(name, ...args, out, TEXT_BYTES)) return "";
    const end = out.indexOf(0);
    return out.toString("utf8", 0, end < 0 ? TEXT_BYTES : end);
  }

  /** The structure that the call writes to its last parameter; undefined when it is not told. */
  struct(layout: LayoutName, name: NvmlCall, ...args: readonly Argument[]): NvmlFields | undefined {
    const out = this.buffer(layout, 1);
    return this.answered(name, ...args, out) ? this.decode(layout, out) : undefined;
  }

  /** Room for `count` structures, zeroed. */
  buffer(layout: LayoutName, count: number): Buffer {
    return Buffer.alloc(this.#layouts[layout].size * count);
  }

  /** The structure at `index` of a buffer. */
  decode(layout: LayoutName, buffer: Buffer, index = 0): NvmlFields {
    return this.#koffi.decode(buffer, index * this.#layouts[layout].size, this.#layouts[layout]) as NvmlFields;
  }

  #function(name: NvmlCall): NativeFunction | null {
    const bound = this.#functions.get(name);
    if (bound !== undefined) return bound;
    const native = this.#bind(name);
    this.#functions.set(name, native);
    return native;
  }

  #bind(name: NvmlCall): NativeFunction | null {
    try {
      return this.#library.func(name, "int", [...SIGNATURES[name]]);
    } catch {
      return null;
    }
  }
}

/** A figure, unless it is all ones, NVML's "not available", or past what a number can hold. */
export function known(value: number | bigint | undefined): number | undefined {
  if (value === undefined) return undefined;
  return value <= Number.MAX_SAFE_INTEGER && value !== 0xffffffff ? Number(value) : undefined;
}
