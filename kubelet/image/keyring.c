/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/image/keyring.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec/base64.h"
#include "common/codec/jvalue.h"

/* Without scheme, and without the path of the registry API's versions. */
static const char *place_of(const char *key, struct arena *a)
{
	const char *s = !strncmp(key, "https://", 8)  ? key + 8
	                : !strncmp(key, "http://", 7) ? key + 7
	                                              : key;
	size_t host = strcspn(s, "/");
	const char *path = s + host;
	if (!strncmp(path, "/v1/", 4) || !strncmp(path, "/v2/", 4))
		path += 3;
	size_t n = strlen(path);
	if (!strcmp(path, "/"))
		n = 0;
	return arena_printf(a, "%.*s%.*s", (int)host, s, (int)n, path);
}

/* "auth" is base64 of "user:password" and counts in place of both. */
static int read_auth(const struct jvalue *v, struct registry_auth *x, struct arena *a,
                     struct err *err)
{
	const char *auth = jvalue_get_str(v, "auth", "");
	x->username = jvalue_get_str(v, "username", "");
	x->password = jvalue_get_str(v, "password", "");
	x->identity_token = jvalue_get_str(v, "identitytoken", "");
	if (!*auth)
		return 0;
	struct slice raw;
	int r = base64_decode(slice_str(auth), a, &raw, err);
	if (r)
		r = base64url_decode(slice_str(auth), a, &raw, err);
	if (r)
		return r;
	const char *text = arena_strndup(a, raw.data, raw.len), *colon = strchr(text, ':');
	if (!colon)
		return err_set(err, ERR_INVALID,
		               "unable to parse auth field, must be formatted as "
		               "base64(username:password)");
	x->username = arena_strndup(a, text, (size_t)(colon - text));
	x->password = colon + 1;
	return 0;
}

int keyring_add(struct keyring *k, struct slice json, bool legacy, struct arena *a, struct err *err)
{
	struct jvalue *root;
	int r = jvalue_parse(json, a, NULL, &root, err);
	if (r)
		return r;
	const struct jvalue *auths = legacy ? root : jvalue_get(root, "auths");
	if (!auths || auths->kind != JVALUE_OBJECT)
		return 0;
	k->at = arena_grow(a, k->at, k->n * sizeof(*k->at), (k->n + auths->n) * sizeof(*k->at));
	for (size_t i = 0; i < auths->n; i++) {
		struct registry_auth x = {.place = place_of(auths->members[i].key, a)};
		r = read_auth(auths->members[i].value, &x, a, err);
		if (r)
			return r;
		k->at[k->n++] = x;
	}
	return 0;
}

/* The glob's host matches part by part, its port exactly, its path as the beginning. */
static bool matches(const char *glob, const char *repository, struct arena *a)
{
	size_t g = strcspn(glob, "/"), r = strcspn(repository, "/");
	if (strncmp(glob + g, repository + r, strlen(glob + g)))
		return false;
	char *x = arena_strndup(a, glob, g), *y = arena_strndup(a, repository, r);
	char *xp = strrchr(x, ':'), *yp = strrchr(y, ':');
	if (!xp != !yp || (xp && strcmp(xp, yp)))
		return false;
	if (xp)
		*xp = *yp = 0;
	for (;;) {
		size_t n = strcspn(x, "."), m = strcspn(y, ".");
		bool more = x[n] != 0;
		if (more != (y[m] != 0))
			return false;
		x[n] = y[m] = 0;
		if (fnmatch(x, y, 0))
			return false;
		if (!more)
			return true;
		x += n + 1;
		y += m + 1;
	}
}

static int specific_first(const void *a, const void *b)
{
	const struct registry_auth *const *x = a, *const *y = b;
	int c = strcmp((*y)->place, (*x)->place);
	return c ? c : (*x > *y) - (*x < *y); /* in the order in which they were added */
}

const struct registry_auth **keyring_lookup(const struct keyring *k, const char *repository,
                                            struct arena *a, size_t *ret_n)
{
	const struct registry_auth **list = arena_array(a, const struct registry_auth *, k->n + 1);
	size_t n = 0;
	for (size_t i = 0; i < k->n; i++)
		if (matches(k->at[i].place, repository, a))
			list[n++] = &k->at[i];
	/* Docker's own registry is known by an older name, too. */
	for (size_t i = 0; !n && i < k->n && !strncmp(repository, "docker.io/", 10); i++)
		if (!strcmp(k->at[i].place, "index.docker.io"))
			list[n++] = &k->at[i];
	if (n)
		qsort(list, n, sizeof(*list), specific_first);
	*ret_n = n;
	return list;
}
