/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/kubeconfig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/codec/base64.h"
#include "common/codec/yaml.h"

enum { KUBECONFIG_LIMIT_BYTES = 8 << 20 };

static const struct jvalue *get(const struct jvalue *v, const char *key)
{
	return jvalue_is(v, JVALUE_OBJECT) ? jvalue_get(v, key) : NULL;
}

/* A string member that is not empty, or NULL. */
static const char *text(const struct jvalue *v, const char *key)
{
	const struct jvalue *s = get(v, key);
	return jvalue_is(s, JVALUE_STRING) && s->n ? s->str : NULL;
}

/* Of a list of {name, <member>}: the member of the entry with that name. */
static const struct jvalue *named(const struct jvalue *root, const char *list, const char *name,
                                  const char *member)
{
	const struct jvalue *l = get(root, list);
	for (uint32_t i = 0; jvalue_is(l, JVALUE_ARRAY) && name && i < l->n; i++) {
		const char *n = text(l->items[i], "name");
		if (n && !strcmp(n, name))
			return get(l->items[i], member);
	}
	return NULL;
}

static const char *file_path(struct arena *a, const char *folder, const char *name)
{
	if (!name || name[0] == '/' || !folder || !*folder)
		return name;
	return arena_printf(a, "%s/%s", folder, name);
}

/* A base64 member as text. */
static int pem_text(struct arena *a, const struct jvalue *v, const char *key, const char **ret,
                    struct err *err)
{
	const char *encoded = text(v, key);
	struct slice out;
	if (!encoded)
		return 0;
	if (base64_decode(slice_str(encoded), a, &out, NULL))
		return err_set(err, ERR_INVALID, "kubeconfig: %s is not base64", key);
	*ret = arena_strndup(a, out.data, out.len);
	return 0;
}

static int read_cluster(struct kubeconfig *k, const struct jvalue *c, const char *folder,
                        struct err *err)
{
	struct arena *a = &k->arena;
	k->server = text(c, "server");
	if (!k->server)
		return err_set(err, ERR_INVALID, "kubeconfig: cluster \"%s\" has no server",
		               k->cluster_name);
	k->server = arena_strdup(a, k->server);
	k->is_tls = strncmp(k->server, "http://", 7) != 0;
	k->tls.ca_file = file_path(a, folder, text(c, "certificate-authority"));
	k->tls.server_name = text(c, "tls-server-name");
	const struct jvalue *skip = get(c, "insecure-skip-tls-verify");
	k->tls.insecure_skip_verify = jvalue_is(skip, JVALUE_BOOL) && skip->b;
	return pem_text(a, c, "certificate-authority-data", &k->tls.ca_pem, err);
}

static int read_user(struct kubeconfig *k, const struct jvalue *u, const char *folder,
                     struct err *err)
{
	struct arena *a = &k->arena;
	if (get(u, "exec") || get(u, "auth-provider"))
		return err_set(err, ERR_NOT_IMPLEMENTED,
		               "kubeconfig: user \"%s\" wants a credential plugin; use a "
		               "certificate or a token",
		               k->user_name);
	k->tls.cert_file = file_path(a, folder, text(u, "client-certificate"));
	k->tls.key_file = file_path(a, folder, text(u, "client-key"));
	k->token = text(u, "token");
	k->token_file = file_path(a, folder, text(u, "tokenFile"));
	int r = pem_text(a, u, "client-certificate-data", &k->tls.cert_pem, err);
	return r ? r : pem_text(a, u, "client-key-data", &k->tls.key_pem, err);
}

/* "https://10.0.0.1:6443/x" to "https://10.0.0.1:6444". */
static int derive_endpoint(struct kubeconfig *k, struct err *err)
{
	const char *scheme = k->is_tls ? "https://" : "http://";
	const char *host = strstr(k->server, "://");
	host = host ? host + 3 : k->server;
	size_t n = strcspn(host, "/");
	const char *end = host + n, *colon = memrchr(host, ':', n), *bracket = memchr(host, ']', n);
	if (colon && bracket && colon < bracket)
		colon = NULL;
	long port = colon ? strtol(colon + 1, NULL, 10) : k->is_tls ? 443 : 80;
	if (port <= 0 || port > 65534)
		return err_set(err, ERR_INVALID, "kubeconfig: server %s has no usable port",
		               k->server);
	k->grpc_endpoints = arena_printf(&k->arena, "%s%.*s:%ld", scheme,
	                                 (int)((colon ? colon : end) - host), host, port + 1);
	return 0;
}

/* The extension `kubec/grpc` of the cluster, else the server's port + 1. */
static int read_endpoints(struct kubeconfig *k, const struct jvalue *cluster, struct err *err)
{
	const struct jvalue *list =
	    get(named(cluster, "extensions", "kubec/grpc", "extension"), "endpoints");
	const char *scheme = k->is_tls ? "https://" : "http://";
	for (uint32_t i = 0; jvalue_is(list, JVALUE_ARRAY) && i < list->n; i++) {
		const struct jvalue *e = list->items[i];
		if (!jvalue_is(e, JVALUE_STRING) || !e->n)
			return err_set(err, ERR_INVALID,
			               "kubeconfig: an endpoint of kubec/grpc is not a string");
		k->grpc_endpoints = arena_printf(
		    &k->arena, "%s%s%s%s", k->grpc_endpoints ? k->grpc_endpoints : "",
		    k->grpc_endpoints ? "," : "", strstr(e->str, "://") ? "" : scheme, e->str);
	}
	return k->grpc_endpoints ? 0 : derive_endpoint(k, err);
}

static int fill(struct kubeconfig *k, const struct jvalue *root, const char *folder,
                const char *context, struct err *err)
{
	k->context_name = context ? context : text(root, "current-context");
	if (!k->context_name)
		return err_set(err, ERR_INVALID, "kubeconfig: no current-context");
	const struct jvalue *ctx = named(root, "contexts", k->context_name, "context");
	if (!ctx)
		return err_set(err, ERR_NOT_FOUND, "context \"%s\" does not exist",
		               k->context_name);
	k->cluster_name = text(ctx, "cluster");
	k->user_name = text(ctx, "user");
	k->ns = text(ctx, "namespace");
	k->ns = k->ns ? k->ns : "default";
	const struct jvalue *cluster = named(root, "clusters", k->cluster_name, "cluster");
	if (!cluster)
		return err_set(err, ERR_NOT_FOUND, "cluster \"%s\" does not exist",
		               k->cluster_name ? k->cluster_name : "");
	const struct jvalue *user = named(root, "users", k->user_name, "user");
	int r = read_cluster(k, cluster, folder, err);
	if (!r && user)
		r = read_user(k, user, folder, err);
	return r ? r : read_endpoints(k, cluster, err);
}

int kubeconfig_parse(struct slice yaml, const char *folder, const char *context,
                     struct kubeconfig *ret, struct err *err)
{
	struct kubeconfig k = {0};
	struct jvalue *root = NULL;
	arena_init(&k.arena);
	int r = yaml_parse(yaml, &k.arena, NULL, &root, err);
	if (!r && !jvalue_is(root, JVALUE_OBJECT))
		r = err_set(err, ERR_INVALID, "kubeconfig: the file holds no object");
	if (!r)
		r = fill(&k, root, arena_strdup(&k.arena, folder), arena_strdup(&k.arena, context),
		         err);
	if (r)
		arena_deinit(&k.arena);
	else
		*ret = k;
	return r;
}

int kubeconfig_load(const char *path, const char *context, struct kubeconfig *ret, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
	size_t n;
	do {
		buf_reserve(&b, 8192);
		n = fread(b.data + b.len, 1, 8192, f);
		b.len += n;
	} while (n && b.len <= KUBECONFIG_LIMIT_BYTES);
	fclose(f);
	if (b.len > KUBECONFIG_LIMIT_BYTES)
		return err_set(err, ERR_TOO_LARGE, "%s is too large for a kubeconfig", path);
	const char *slash = strrchr(path, '/');
	_cleanup_(free_p) char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	int r = kubeconfig_parse(buf_view(&b), folder ? folder : "", context, ret, err);
	explicit_bzero(b.data, b.len);
	return r ? err_prefix(err, "%s", path) : 0;
}

void kubeconfig_deinit(struct kubeconfig *k)
{
	arena_deinit(&k->arena);
	*k = (struct kubeconfig){0};
}
