// The limits of the operating system for a command, and how a command that came up against one says so. Called by `confinement.ts` and
// `exec.ts`.
import type { SpawnedEnd } from "./process-tree.js";

/** Each holds for every process of a run by itself, but `processes`, which counts all of the user; 0 is none. */
export interface ResourceLimits {
  /** Seconds of CPU time. */
  readonly cpuS: number;
  /** Memory of its own: heap and what it maps privately, MiB. What CUDA merely reserves does not count. */
  readonly memoryMib: number;
  /** All that it maps, MiB. CUDA reserves far more than it uses. */
  readonly addressSpaceMib: number;
  readonly openFiles: number;
  readonly processes: number;
  /** The largest file that it may write, MiB. */
  readonly fileSizeMib: number;
  /** Added to that of the agent: -20 (soonest served) to 19. */
  readonly niceness: number;
}

export const NO_LIMITS: ResourceLimits = { cpuS: 0, memoryMib: 0, addressSpaceMib: 0, openFiles: 0, processes: 0, fileSizeMib: 0, niceness: 0 };

const MIB = 1 << 20;
/** From the signal that can be caught to the one that cannot, seconds of CPU time. */
const CPU_GRACE_S = 5;

/** Options of prlimit(1); none but that for core dumps, which could hold what others must not read, when nothing is limited. */
export function prlimitOptions(limits: ResourceLimits): string[] {
  const both = (name: string, value: number): string[] => (value === 0 ? [] : [`--${name}=${value}:${value}`]);
  return [
    "--core=0:0",
    ...(limits.cpuS === 0 ? [] : [`--cpu=${limits.cpuS}:${limits.cpuS + CPU_GRACE_S}`]),
    ...both("data", limits.memoryMib * MIB),
    ...both("as", limits.addressSpaceMib * MIB),
    ...both("nofile", limits.openFiles),
    ...both("nproc", limits.processes),
    ...both("fsize", limits.fileSizeMib * MIB),
  ];
}

/** What programs say when they are refused something, by the limits that it may be; the first that is set and fits counts. */
const COMPLAINTS: readonly (readonly [keys: readonly (keyof ResourceLimits)[], said: RegExp])[] = [
  [["fileSizeMib"], /file too large|file size limit exceeded|EFBIG/i],
  [["openFiles"], /too many open files|EMFILE/i],
  [["memoryMib", "addressSpaceMib"], /(?<!CUDA )out of memory|cannot allocate memory|\bMemoryError|bad_alloc|ENOMEM|allocation failed/i],
  [["processes"], /resource temporarily unavailable|cannot fork|can't start new thread|EAGAIN/i],
];
const NAMES: { readonly [K in keyof ResourceLimits]: string } = {
  cpuS: "cpu_s",
  memoryMib: "memory_mib",
  addressSpaceMib: "address_space_mib",
  openFiles: "open_files",
  processes: "processes",
  fileSizeMib: "file_size_mib",
  niceness: "niceness",
};
const SIGXCPU = 24;
const SIGXFSZ = 25;

/** The limit that an unsuccessful end was about, such as "limits.open_files is 64"; "" when it seems to be about none. */
export function limitReached(end: SpawnedEnd, stderr: string, limits: ResourceLimits): string {
  // A shell says by its exit code by which signal its child ended.
  const ended = (name: NodeJS.Signals, number: number): boolean => (end.kind === "signalled" ? end.signal === name : end.exitCode === 128 + number);
  const key =
    limits.cpuS > 0 && ended("SIGXCPU", SIGXCPU)
      ? "cpuS"
      : limits.fileSizeMib > 0 && ended("SIGXFSZ", SIGXFSZ)
        ? "fileSizeMib"
        : COMPLAINTS.flatMap(([keys, said]) => (said.test(stderr) ? keys.filter((each) => limits[each] > 0) : []))[0];
  return key === undefined ? "" : `limits.${NAMES[key]} is ${limits[key]}`;
}
