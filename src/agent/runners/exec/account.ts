// The account of the operating system under which a command is to run, as numbers, looked up once when the agent starts. Called by
// `confinement.ts`.
import { spawnSync } from "node:child_process";

/** Names or numbers, as configured. */
export interface RunAs {
  readonly user: string;
  /** "" for the user's own. */
  readonly group: string;
  /** File mode creation mask. */
  readonly umask: number;
}

export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups: those that the system has the user in, and none of the agent's. */
  readonly groups: readonly number[];
  readonly name: string;
  /** "" when there is none that exists. */
  readonly home: string;
}

const NUMBER = /^\d{1,10}$/;

/** Throws with what is wrong when there is no such user or group, or when it is root. */
export function findAccount({ user, group }: RunAs): Account {
  const entry = lookUp("passwd", user);
  if (!entry && !NUMBER.test(user)) throw new Error(`there is no user ${user} on this machine`);
  if (!entry && group === "") throw new Error(`user ${user} is not in this machine's list of users: say its group, too`);
  const [name = user, , uidText = user, ownGidText = "", , home = ""] = entry ?? [];
  const uid = Number(uidText);
  const gid = group === "" ? Number(ownGidText) : findGroup(group);
  if (uid === 0) throw new Error("run_as is there to take root away: name another user");
  const listed = entry ? words(run("id", ["-G", "--", name])).map(Number) : [];
  // As initgroups(3) would: a group of his own that was exchanged for another is not kept beside it.
  const groups = listed.filter((id) => id !== gid && id !== Number(ownGidText));
  return { uid, gid, groups, name, home };
}

function findGroup(group: string): number {
  const entry = lookUp("group", group);
  if (entry) return Number(entry[2]);
  if (NUMBER.test(group)) return Number(group);
  throw new Error(`there is no group ${group} on this machine`);
}

/** The fields of an entry, by name or number; null when there is none. Knows directory services as the machine does. */
function lookUp(database: "passwd" | "group", key: string): readonly string[] | null {
  const line = run("getent", [database, key]).split("\n")[0] ?? "";
  return line === "" ? null : line.split(":");
}

function words(text: string): string[] {
  return text.trim().split(/\s+/).filter((word) => word !== "");
}

/** What it printed; "" when it found nothing. */
function run(program: string, args: readonly string[]): string {
  const { error, stdout } = spawnSync(program, args, { encoding: "utf8", env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" }, timeout: 10_000 });
  if (error) throw new Error(`${program} is needed to look accounts up, and cannot be run here (${error.message})`);
  return stdout;
}
