// What may be said to IdentityService beyond the rules in the contract. Run by `validation.ts`, like `request-rules.ts`.
import type { DescField, Message } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { CreateKeyRequestSchema, ListAuditRequestSchema, PutUserRequestSchema, Role, type CreateKeyRequest, type ListAuditRequest, type PutUserRequest } from "../../gen/gpurouter/v1/identity_pb.js";
import { isName, NAME_ALLOWED } from "../auth/names.js";
import { MIN_PASSWORD_LENGTH } from "../auth/password.js";
import { PAGE_TOKEN_ALLOWED } from "./request-rules.js";
import { refuse, type Rule } from "./validation.js";

export const createKeyRule =
  (nowMs: number): Rule<CreateKeyRequest> =>
  (request, at, found) => {
    const { field } = CreateKeyRequestSchema;
    const isAgent = request.roles.includes(Role.AGENT);
    const hasDefault = request.roles.includes(Role.ADMIN) || (isAgent && request.nodeIds.length === 1 && request.nodeIds[0] !== "*");
    if (request.userId === "" && !hasDefault) refuse(found, at, field.userId, "must say whose key it is");
    if (request.userId !== "" && !isName(request.userId)) refuse(found, at, field.userId, NAME_ALLOWED);
    if (request.label !== "" && !isName(request.label)) refuse(found, at, field.label, NAME_ALLOWED);
    if (isAgent !== request.nodeIds.length > 0) refuse(found, at, field.nodeIds, "must name the nodes of an agent, and only of an agent");
    if (request.nodeIds.some((node) => !isName(node))) refuse(found, at, field.nodeIds, NAME_ALLOWED);
    if (request.expireTime && timestampMs(request.expireTime) <= nowMs) refuse(found, at, field.expireTime, "must be in the future");
  };

export const putUserRule: Rule<PutUserRequest> = (request, at, found) => {
  const { field } = PutUserRequestSchema;
  if (!isName(request.userId)) refuse(found, at, field.userId, NAME_ALLOWED);
  if (request.team !== "" && !isName(request.team)) refuse(found, at, field.team, NAME_ALLOWED);
  const { password = "" } = request;
  if (password !== "" && password.length < MIN_PASSWORD_LENGTH) refuse(found, at, field.password, `must have at least ${MIN_PASSWORD_LENGTH} characters, or be empty to have none`);
};

/** A user that is named, or nobody. */
export const namedUserRule =
  <M extends Message & { readonly userId: string }>(field: DescField): Rule<M> =>
  (request, at, found) => {
    if (request.userId !== "" && !isName(request.userId)) refuse(found, at, field, NAME_ALLOWED);
  };

export const listAuditRule: Rule<ListAuditRequest> = (request, at, found) => {
  if (!/^\d{0,15}$/.test(request.pageToken)) refuse(found, at, ListAuditRequestSchema.field.pageToken, PAGE_TOKEN_ALLOWED);
};
