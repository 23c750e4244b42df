// IdentityService: users, keys, the audit log. Validates, sees to it that everybody but an admin touches his own keys only, asks the book.
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  CreateKeyRequestSchema,
  CreateKeyResponseSchema,
  DeleteUserRequestSchema,
  DeleteUserResponseSchema,
  ListAuditRequestSchema,
  ListAuditResponseSchema,
  ListKeysRequestSchema,
  ListKeysResponseSchema,
  ListUsersResponseSchema,
  PutUserRequestSchema,
  PutUserResponseSchema,
  RevokeKeyRequestSchema,
  RevokeKeyResponseSchema,
  WhoAmIResponseSchema,
  type IdentityService,
} from "../../gen/gpurouter/v1/identity_pb.js";
import type { AuditLog } from "../auth/audit-log.js";
import type { IdentityBook } from "../auth/identity-book.js";
import { hasRole, type Principal, type Role } from "../auth/principal.js";
import { createKeyRule, listAuditRule, namedUserRule, putUserRule } from "./identity-rules.js";
import { ApiError } from "./outcomes.js";
import type { ServiceHandlers } from "./service-handlers.js";
import { auditEntry, key, rolesToProto, roleToModel, user } from "./to-proto/identity.js";
import { createValidation, type Validate } from "./validation.js";

const DEFAULT_AUDIT_PAGE = 100;

/** The handlers of IdentityService. `now` gives UTC milliseconds. */
export function createIdentityService(book: IdentityBook, audit: AuditLog, now: () => number = Date.now, validate: Validate = createValidation()): ServiceHandlers<typeof IdentityService> {
  return {
    whoAmI(_request, { principal }) {
      const { name, roles, team, nodeIds, via, credential } = principal;
      return create(WhoAmIResponseSchema, { userId: name, roles: rolesToProto(roles), team, nodeIds: [...nodeIds], via, credential });
    },

    async createKey(request, caller) {
      validate(CreateKeyRequestSchema, request, createKeyRule(now()));
      const roles = request.roles.map(roleToModel);
      const { nodeIds, label, expireTime } = request;
      const wish = { user: request.userId || userOf(roles, nodeIds), roles, nodeIds, label, expiresAtMs: expireTime ? timestampMs(expireTime) : 0 };
      const made = await book.createKey(wish, caller);
      if (made.kind !== "created") throw new ApiError(made);
      return create(CreateKeyResponseSchema, { key: key(made.key), text: made.text });
    },

    listKeys(request, { principal }) {
      validate(ListKeysRequestSchema, request, namedUserRule(ListKeysRequestSchema.field.userId));
      const shown = book.keys().filter((each) => mayTouch(principal, each.user) && (request.userId === "" || each.user === request.userId));
      return create(ListKeysResponseSchema, { keys: shown.map(key) });
    },

    async revokeKey(request, caller) {
      validate(RevokeKeyRequestSchema, request);
      const { keyId, reason } = request;
      const id = keyId.replace(/^gr_/, "");
      const owner = book.key(id)?.user;
      const revoked = owner !== undefined && mayTouch(caller.principal, owner) ? await book.revokeKey(id, reason, caller) : null;
      if (!revoked) throw new ApiError({ kind: "unknown_key", keyId });
      return create(RevokeKeyResponseSchema, { key: key(revoked) });
    },

    async putUser(request, caller) {
      validate(PutUserRequestSchema, request, putUserRule);
      const { userId, team, password = null } = request;
      const put = await book.putUser({ name: userId, roles: request.roles.map(roleToModel), team, password }, caller);
      if (put.kind !== "put") throw new ApiError(put);
      return create(PutUserResponseSchema, { user: user(put.user) });
    },

    listUsers: () => create(ListUsersResponseSchema, { users: book.users().map(user) }),

    async deleteUser(request, caller) {
      validate(DeleteUserRequestSchema, request, namedUserRule(DeleteUserRequestSchema.field.userId));
      if (!(await book.deleteUser(request.userId, request.reason, caller))) throw new ApiError({ kind: "unknown_user", userId: request.userId });
      return create(DeleteUserResponseSchema);
    },

    listAudit(request) {
      validate(ListAuditRequestSchema, request, listAuditRule);
      const limit = request.pageSize === 0 ? DEFAULT_AUDIT_PAGE : request.pageSize;
      const entries = audit.list(Number(request.pageToken), limit);
      const last = entries.at(-1)?.sequence ?? 0;
      return create(ListAuditResponseSchema, { entries: entries.map(auditEntry), nextPageToken: entries.length === limit && last > 1 ? String(last) : "" });
    },
  };
}

/** Who a key is for when nobody was named. Checked: one of the two applies. */
function userOf(roles: readonly Role[], nodeIds: readonly string[]): string {
  return roles.includes("admin") ? "admin" : (nodeIds[0] ?? "");
}

function mayTouch(principal: Principal, owner: string): boolean {
  return hasRole(principal, "admin") || principal.name === owner;
}
