// Roles as people read and type them, for `keys`, `users`, `audit` and `whoami`.
import { InvalidArgumentError } from "commander";

import { Role } from "../../gen/gpurouter/v1/identity_pb.js";

export const KEY_ROLES = ["user", "admin", "agent", "reader"] as const;
/** Agents have keys or certificates, not passwords. */
export const USER_ROLES = ["user", "admin", "reader"] as const;

/** A parser of one role of `allowed`, added to those before it. */
export function collectRole(allowed: readonly string[]): (text: string, earlier?: readonly Role[]) => readonly Role[] {
  return (text, earlier = []) => {
    if (!allowed.includes(text)) throw new InvalidArgumentError(`Give one of ${allowed.join(", ")}.`);
    return [...new Set([...earlier, Role[text.toUpperCase() as keyof typeof Role]])];
  };
}

/** Such as "user and reader". */
export function rolesText(roles: readonly Role[]): string {
  return roles.map((role) => (Role[role] ?? "?").toLowerCase()).join(" and ");
}

/** A parser that keeps every value of a repeated option. */
export function collect(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, text];
}
