/* SPDX-License-Identifier: Apache-2.0 */
/* Users, and the words that tell them no. */
#include "apiserver/auth/auth_impl.h"

bool user_in_group(const struct user_info *u, const char *group)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (strcmp(u->groups[i], group) == 0)
			return true;
	return false;
}

struct user_info user_authenticated(struct user_info u, struct arena *a)
{
	if (user_in_group(&u, "system:authenticated") ||
	    user_in_group(&u, "system:unauthenticated"))
		return u;
	const char **groups = arena_array(a, const char *, u.n_groups + 1);

	if (u.n_groups)
		memcpy(groups, u.groups, u.n_groups * sizeof(*groups));
	groups[u.n_groups++] = "system:authenticated";
	u.groups = groups;
	return u;
}

const char *auth_node_name(const struct user_info *u)
{
	static const char PREFIX[] = "system:node:";

	if (strncmp(u->name, PREFIX, sizeof(PREFIX) - 1) != 0 || !u->name[sizeof(PREFIX) - 1] ||
	    !user_in_group(u, "system:nodes"))
		return NULL;
	return u->name + sizeof(PREFIX) - 1;
}

/* --- texts -------------------------------------------------------------------------------------
 */

const char *auth_forbidden_text(const struct authz_attributes *at, struct arena *arena)
{
	const char *slash = at->subresource[0] ? "/" : "";

	if (!at->is_resource)
		return arena_printf(arena, "User \"%s\" cannot %s path \"%s\"", at->user->name,
		                    at->verb, at->path);
	if (at->ns[0])
		return arena_printf(arena,
		                    "User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" "
		                    "in the namespace \"%s\"",
		                    at->user->name, at->verb, at->resource, slash, at->subresource,
		                    at->group, at->ns);
	return arena_printf(arena,
	                    "User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" at the "
	                    "cluster scope",
	                    at->user->name, at->verb, at->resource, slash, at->subresource,
	                    at->group);
}

const struct status *auth_forbidden(const struct authz_attributes *at, const char *reason,
                                    struct arena *a)
{
	const char *why = auth_forbidden_text(at, a);

	if (reason && *reason)
		why = arena_printf(a, "%s: %s", why, reason);
	return status_forbidden(a, at->group, at->resource, at->name, why);
}
