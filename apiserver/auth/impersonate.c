/* SPDX-License-Identifier: Apache-2.0 */
/* Impersonation (apiserver pkg/endpoints/filters/impersonation): the headers Impersonate-User,
 * -Group, -Uid and -Extra-* name whom a request is for. The asker needs either the old permission
 * (`impersonate` on each attribute) or the constrained one: `impersonate:MODE` on each attribute
 * and `impersonate-on:MODE:VERB` on what is asked for. */
#include <ctype.h>
#include "apiserver/auth/auth_impl.h"

#define SA_PREFIX "system:serviceaccount:"
#define AUTHENTICATION "authentication.k8s.io"

struct wanted {
	struct user_info user;       /* groups and extra as the headers say */
	const char *sa_ns, *sa_name; /* NULL: not a service account */
};

/* --- headers
 * -------------------------------------------------------------------------------------- */

static bool is_impersonation(const char *name)
{
	return !strcmp(name, "impersonate-user") || !strcmp(name, "impersonate-group") ||
	       !strcmp(name, "impersonate-uid") || !strncmp(name, "impersonate-extra-", 18);
}

static bool any_header(const struct request *req)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (is_impersonation(req->headers[i].name))
			return true;
	return false;
}

static const char *unescaped(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s), *w = out;

	while (*s) {
		if (s[0] == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
			const char hex[3] = {s[1], s[2], 0};
			*w++ = (char)strtol(hex, NULL, 16);
			s += 3;
		} else {
			*w++ = *s++;
		}
	}
	*w = '\0';
	return out;
}

static void add_extra(struct wanted *w, struct user_extra *extra, const char *key,
                      const char *value, struct arena *a)
{
	size_t at = 0;

	while (at < w->user.n_extra && strcmp(extra[at].key, key) != 0)
		at++;
	if (at == w->user.n_extra)
		extra[w->user.n_extra++] = (struct user_extra){.key = key};
	const char **values = arena_array(a, const char *, extra[at].n_values + 1);

	for (size_t i = 0; i < extra[at].n_values; i++)
		values[i] = extra[at].values[i];
	values[extra[at].n_values++] = value;
	extra[at].values = values;
}

static void split_service_account(struct wanted *w, struct arena *a)
{
	const char *rest = w->user.name + sizeof(SA_PREFIX) - 1, *colon;

	if (strncmp(w->user.name, SA_PREFIX, sizeof(SA_PREFIX) - 1) != 0)
		return;
	colon = strchr(rest, ':');
	if (!colon || colon == rest || !colon[1] || strchr(colon + 1, ':'))
		return;
	w->sa_ns = arena_strndup(a, rest, (size_t)(colon - rest));
	w->sa_name = colon + 1;
}

static struct wanted read_headers(const struct request *req)
{
	struct arena *a = req->arena;
	const char **groups = arena_array(a, const char *, req->n_headers);
	struct user_extra *extra = arena_array(a, struct user_extra, req->n_headers);
	struct wanted w = {.user = {.name = "", .uid = "", .groups = groups, .extra = extra}};

	for (size_t i = 0; i < req->n_headers; i++) {
		const char *name = req->headers[i].name, *value = req->headers[i].value;

		if (!strcmp(name, "impersonate-user"))
			w.user.name = value;
		else if (!strcmp(name, "impersonate-uid"))
			w.user.uid = value;
		else if (!strcmp(name, "impersonate-group"))
			groups[w.user.n_groups++] = value;
		else if (!strncmp(name, "impersonate-extra-", 18))
			add_extra(&w, extra, unescaped(a, name + 18), value, a);
	}
	split_service_account(&w, a);
	return w;
}

/* --- permission
 * -------------------------------------------------------------------------------------- */

struct asker {
	struct auth *auth;
	const struct user_info *user;
	struct arena *a;
	const char *verb;
	bool constrained; /* all attributes are of the group authentication.k8s.io */
};

static bool may(const struct asker *k, const char *group, const char *resource,
                const char *subresource, const char *ns, const char *name)
{
	const struct authz_attributes at = {
	    .user = k->user,
	    .verb = k->verb,
	    .is_resource = true,
	    .group = k->constrained ? AUTHENTICATION : group,
	    .resource = resource,
	    .subresource = subresource,
	    .ns = ns,
	    .name = name,
	    .path = "",
	    .field_selector = "",
	};

	return auth_authorize(k->auth, &at, k->a, NULL) == AUTHZ_ALLOW;
}

/* Everything but who: groups, UID, extra. */
static bool may_attributes(const struct asker *k, const struct wanted *w)
{
	const struct user_info *u = &w->user;

	for (size_t i = 0; i < u->n_groups; i++)
		if (!may(k, "", "groups", "", "", u->groups[i]))
			return false;
	if (u->uid[0] && !may(k, AUTHENTICATION, "uids", "", "", u->uid))
		return false;
	for (size_t i = 0; i < u->n_extra; i++)
		for (size_t v = 0; v < u->extra[i].n_values; v++)
			if (!may(k, AUTHENTICATION, "userextras", u->extra[i].key, "",
			         u->extra[i].values[v]))
				return false;
	return true;
}

static bool may_on(const struct asker *k, const struct request *req, const char *mode)
{
	struct authz_attributes at = auth_attributes_of(req);

	at.user = k->user;
	at.verb = arena_printf(k->a, "impersonate-on:%s:%s", mode, req->verb_name);
	return auth_authorize(k->auth, &at, k->a, NULL) == AUTHZ_ALLOW;
}

/* The mode that constrains this user: nodes, service accounts, and all others. */
static const char *mode_of(const struct wanted *w, const struct user_info *asker)
{
	if (w->sa_ns)
		return "serviceaccount";
	if (strncmp(w->user.name, "system:node:", 12) != 0)
		return "user-info";
	for (size_t i = 0; i < asker->n_extra; i++)
		if (!strcmp(asker->extra[i].key, "authentication.kubernetes.io/node-name") &&
		    asker->extra[i].n_values == 1 &&
		    !strcmp(asker->extra[i].values[0], w->user.name + 12))
			return "associated-node";
	return "arbitrary-node";
}

static bool constrained(struct asker k, const struct request *req, const struct wanted *w,
                        const char *mode)
{
	if (!may_on(&k, req, mode))
		return false;
	k.constrained = true;
	k.verb = arena_printf(k.a, "impersonate:%s", mode);
	if (w->sa_ns)
		return may(&k, "", "serviceaccounts", "", w->sa_ns, w->sa_name);
	if (!strcmp(mode, "associated-node"))
		return may(&k, "", "nodes", "", "", "*");
	if (!strcmp(mode, "arbitrary-node"))
		return may(&k, "", "nodes", "", "", w->user.name + 12);
	return may(&k, "", "users", "", "", w->user.name) && may_attributes(&k, w);
}

static bool unconstrained(struct asker k, const struct wanted *w)
{
	k.verb = "impersonate";
	if (w->sa_ns ? !may(&k, "", "serviceaccounts", "", w->sa_ns, w->sa_name)
	             : !may(&k, "", "users", "", "", w->user.name))
		return false;
	return may_attributes(&k, w);
}

/* --- becoming
 * ------------------------------------------------------------------------------------------- */

/* A service account gets its groups when none were asked for; everybody but the anonymous user is
 * authenticated. */
static struct user_info become(const struct wanted *w, struct arena *a)
{
	struct user_info u = w->user;
	const char **groups = arena_array(a, const char *, u.n_groups + 3);

	if (u.n_groups)
		memcpy(groups, u.groups, u.n_groups * sizeof(*groups));
	if (w->sa_ns && !u.n_groups) {
		groups[u.n_groups++] = "system:serviceaccounts";
		groups[u.n_groups++] = arena_printf(a, "system:serviceaccounts:%s", w->sa_ns);
	}
	u.groups = groups;
	if (strcmp(u.name, "system:anonymous") != 0)
		return user_authenticated(u, a);
	if (!user_in_group(&u, "system:unauthenticated"))
		groups[u.n_groups++] = "system:unauthenticated";
	return u;
}

const struct status *auth_impersonate(struct auth *a, struct request *req)
{
	if (!any_header(req))
		return NULL;
	struct wanted w = read_headers(req);
	struct asker k = {.auth = a, .user = &req->user, .a = req->arena};
	const char *mode = mode_of(&w, &req->user);

	if (!w.user.name[0])
		return status_bad_request(req->arena,
		                          "requested impersonation but no user was specified");
	if (!unconstrained(k, &w) && !constrained(k, req, &w, mode)) {
		struct authz_attributes at = auth_attributes_of(req);

		at.verb = arena_printf(req->arena, "impersonate-on:%s:%s", mode, req->verb_name);
		return auth_forbidden(&at, "", req->arena);
	}
	req->impersonator = req->user;
	req->user = become(&w, req->arena);
	return NULL;
}
