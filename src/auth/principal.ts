// Who is calling, and what that allows. Made by `authenticator.ts` and by the servers for a router without identity.
import type { UserId } from "../core/model/ids.js";

export const ROLES = ["user", "admin", "agent", "reader"] as const;

/**
 * user: sends work and follows its own. reader: follows, and changes nothing. admin: everything, for everybody, but being an agent.
 * agent: speaks for its nodes, and nothing else.
 */
export type Role = (typeof ROLES)[number];

/** An authenticated caller. */
export interface Principal {
  /** The user that its work is counted for. */
  readonly name: UserId;
  readonly roles: readonly Role[];
  /** "" for none. */
  readonly team: string;
  /** Nodes that an agent may speak for; "*" stands for any. */
  readonly nodeIds: readonly string[];
  readonly via: "local" | "key" | "password" | "token" | "certificate";
  /** What it was known by, such as "gr_7c1d0q2m9k4x"; never a secret. */
  readonly credential: string;
}

/** Everybody, while no identity is configured and the router is on loopback. Named as requests without a user always were. */
export const LOCAL_ADMIN: Principal = {
  name: "anonymous" as UserId,
  roles: ["user", "admin", "agent"],
  team: "",
  nodeIds: ["*"],
  via: "local",
  credential: "local",
};

/** Who could not be told. May do nothing; stands in the audit log for those who were refused. */
export const NOBODY: Principal = { name: "" as UserId, roles: [], team: "", nodeIds: [], via: "local", credential: "" };

/** Where an act comes from, for the audit log. */
export interface Actor {
  readonly principal: Principal;
  /** Address of the connection, without port; "" for the process itself. */
  readonly address: string;
}

export function hasRole({ roles }: Principal, role: Role): boolean {
  return roles.includes(role);
}

/** Whether an agent may call itself `nodeId`. */
export function speaksFor({ roles, nodeIds }: Principal, nodeId: string): boolean {
  return roles.includes("agent") && (nodeIds.includes(nodeId) || nodeIds.includes("*"));
}
