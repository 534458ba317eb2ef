/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an object that is already there lacks of what the server wants it to be. Pure.
 *
 * Roles only gain permissions and bindings only gain subjects, and only while their annotation
 * rbac.authorization.kubernetes.io/autoupdate is not "false"; flow control follows
 * apf.kubernetes.io/autoupdate-spec, but for the mandatory objects `exempt` and `catch-all`.
 * Leases, services, endpoints and config maps are made equal where the server owns them. */
#include "apiserver/registry/object.h"

/* Changes `have` in place; false when nothing was missing. */
bool bootstrap_merge(struct object *have, const struct object *want, struct arena *a);
