// How a command is started under another account and within limits: through prlimit(1), setpriv(1) and a fixed shell script, each of
// which becomes the next, so that the process stays the one that was spawned. Made by `index.ts`, used by `exec.ts`.
//
// prlimit and setpriv run as root where the account is another one: none of the command's variables reach them (LD_LIBRARY_PATH, say,
// might lead to what that account wrote). They travel under other names, and the script, which runs as the command will, gives them theirs.
import { spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findAccount, type Account, type RunAs } from "./account.js";
import { prlimitOptions, type ResourceLimits } from "./resource-limits.js";

export interface Launch {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
}

/** Where the system's own programs lie; nothing that a command or its user could put there. */
const SYSTEM_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
export const SYSTEM_PATH = SYSTEM_FOLDERS.join(":");
/** What the last stage calls itself when it complains. */
const LAUNCHER = "gpu-router-launch";

/** Arguments: mask, number of variables, program and its arguments. Names that a command's own variables cannot have. */
const SCRIPT = `
[ -z "$1" ] || umask "$1"
GPU_ROUTER_LEFT=$2
shift 2
while [ "$GPU_ROUTER_LEFT" -gt 0 ]; do
  eval "GPU_ROUTER_PAIR=\\$GPU_ROUTER_ENV_$GPU_ROUTER_LEFT"
  unset "GPU_ROUTER_ENV_$GPU_ROUTER_LEFT"
  export "$GPU_ROUTER_PAIR"
  GPU_ROUTER_LEFT=$((GPU_ROUTER_LEFT - 1))
done
unset GPU_ROUTER_LEFT GPU_ROUTER_PAIR
exec "$@"
`;

/** The way in which one command is started. */
export class Confinement {
  /** null: that of the agent. */
  readonly account: Account | null;
  readonly limits: ResourceLimits;
  readonly #umask: string;
  readonly #before: readonly string[];

  /**
   * Tries it out under `parent`, where private directories will lie. Throws with what to do when this machine, or an agent that is
   * not root, cannot do it.
   */
  constructor(runAs: RunAs | null, limits: ResourceLimits, parent: string) {
    if (process.platform !== "linux") throw new Error("run_as and limits need Linux");
    if (runAs && process.geteuid?.() !== 0) throw new Error(`only root may run it as ${runAs.user}, and this agent runs under user id ${process.geteuid?.()}. Run the agent as root, or take run_as out`);
    this.account = runAs && findAccount(runAs);
    this.limits = limits;
    this.#umask = runAs ? runAs.umask.toString(8).padStart(4, "0") : "";
    const nice = limits.niceness === 0 ? [] : [systemProgram("nice"), "-n", `${limits.niceness}`];
    this.#before = [...nice, systemProgram("prlimit"), ...prlimitOptions(limits), "--", ...(this.account ? asAccount(this.account) : []), systemProgram("sh"), "-c", SCRIPT, LAUNCHER];
    this.#tryOut(parent);
  }

  /** The same command, confined. */
  launch(argv: readonly string[], env: Readonly<Record<string, string>>): Launch {
    const pairs = Object.entries(env).map(([name, value], index) => [`GPU_ROUTER_ENV_${index + 1}`, `${name}=${value}`]);
    const [first = "", ...rest] = [...this.#before, this.#umask, `${pairs.length}`, ...argv];
    return { argv: [first, ...rest], env: { PATH: SYSTEM_PATH, ...(Object.fromEntries(pairs) as Record<string, string>) } };
  }

  /** Whether a command ended because it could not even be started, by what it said. */
  wasNotStarted(exitCode: number, stderr: string): boolean {
    return [1, 126, 127].includes(exitCode) && new RegExp(`^(${LAUNCHER}|setpriv|prlimit|nice|\\S*/(setpriv|prlimit|nice)): `).test(stderr);
  }

  #tryOut(parent: string): void {
    const directory = mkdtempSync(join(parent, "gpu-router-exec-"));
    try {
      if (this.account) chownSync(directory, this.account.uid, this.account.gid);
      const { argv, env } = this.launch([systemProgram("sh"), "-c", ': > "$1/tried" && cat "$1/tried"', "sh", directory], {});
      const { error, status, signal, stderr } = spawnSync(argv[0], argv.slice(1), { cwd: directory, env: { ...env }, encoding: "utf8", timeout: 10_000 });
      if (status !== 0) throw new Error(`trying it out under ${parent} failed: ${error?.message ?? (stderr.trim() || `it ended with ${signal ?? status}`)}. Look at its run_as and limits, and at the mode of that folder (TMPDIR of the agent)`);
    } finally {
      // Nothing ran there but the line above.
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

/** What goes before a program that root starts as `account`: with its groups alone, and without a way back. Nothing is looked up any more. */
export function asAccount({ uid, gid, groups }: Account): readonly string[] {
  return [systemProgram("setpriv"), `--reuid=${uid}`, `--regid=${gid}`, groups.length === 0 ? "--clear-groups" : `--groups=${groups.join(",")}`, "--inh-caps=-all", "--no-new-privs", "--"];
}

/** Throws with which package has it. */
export function systemProgram(name: string): string {
  const found = SYSTEM_FOLDERS.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found === undefined) throw new Error(`this machine has no ${name} in ${SYSTEM_PATH}: install util-linux`);
  return found;
}
