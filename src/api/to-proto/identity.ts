// From the book's records to messages, without what is secret. Called by `identity-service.ts`.
import { create } from "@bufbuild/protobuf";
import { AuditEntrySchema, KeySchema, Role, UserSchema, type AuditEntry, type Key, type User } from "../../../gen/gpurouter/v1/identity_pb.js";
import { keyPrefix } from "../../auth/api-key.js";
import type { AuditEntry as AuditRecord, KeyRecord, UserRecord } from "../../auth/identity-store.js";
import { ROLES, type Role as ModelRole } from "../../auth/principal.js";
import { timestamp, uint64 } from "./scalars.js";

const TO_PROTO: Readonly<Record<ModelRole, Role>> = { user: Role.USER, admin: Role.ADMIN, agent: Role.AGENT, reader: Role.READER };

export function rolesToProto(roles: readonly ModelRole[]): Role[] {
  return roles.map((role) => TO_PROTO[role]);
}

/** Validated to be one of the contract's. */
export function roleToModel(role: Role): ModelRole {
  const found = ROLES.find((name) => TO_PROTO[name] === role);
  if (!found) throw new Error(`Invariant broken: role ${role} passed the validation`);
  return found;
}

export function key(record: KeyRecord): Key {
  return create(KeySchema, {
    keyId: keyPrefix(record.id),
    label: record.label,
    userId: record.user,
    roles: rolesToProto(record.roles),
    nodeIds: [...record.nodeIds],
    createTime: timestamp(record.createdAtMs),
    createdBy: record.createdBy,
    expireTime: timestamp(record.expiresAtMs),
    revokeTime: timestamp(record.revokedAtMs),
    lastUseTime: timestamp(record.lastUsedAtMs),
    lastAddress: record.addresses.at(-1) ?? "",
  });
}

export function user(record: UserRecord): User {
  return create(UserSchema, {
    userId: record.name,
    roles: rolesToProto(record.roles),
    team: record.team,
    hasPassword: record.passwordHash !== "",
    createTime: timestamp(record.createdAtMs),
    changeTime: timestamp(record.changedAtMs),
  });
}

export function auditEntry(record: AuditRecord): AuditEntry {
  const { sequence, atMs, who, credential, act, subject, why, outcome, address } = record;
  return create(AuditEntrySchema, { sequence: uint64(sequence), time: timestamp(atMs), userId: who, credential, act, subject, reason: why, outcome, address });
}
