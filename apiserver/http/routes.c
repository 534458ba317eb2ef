/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/routes.h"
#include "apiserver/http/discovery_docs.h"
#include "apiserver/http/routes_internal.h"
#include "apiserver/request/status.h"
#include "common/codec/json_writer.h"
#include "proto/resource_table.h"
#include <stdio.h>
#include <sys/utsname.h>

static const char text_plain[] = "text/plain; charset=utf-8";

static void not_found(struct response_sink *sink)
{
	response_header(sink, "X-Content-Type-Options", "nosniff");
	response_reply(sink, 404, text_plain, SLICE_LIT("404 page not found\n"));
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* --- health, metrics, version ---------------------------------------------------------------- */

static bool serve_health(void *arg, struct request *req, struct response_sink *sink)
{
	struct http_routes *r = arg;
	_cleanup_buf_ struct buf body = BUF_INIT;
	const char *query = strchr(req->uri, '?');
	int code = health_answer(r->options.health, slice_str(req->path),
	                         slice_str(query ? query + 1 : ""), &body);

	response_header(sink, "X-Content-Type-Options", "nosniff");
	response_reply(sink, code, text_plain, buf_view(&body));
	return true;
}

static bool serve_metrics(void *arg, struct request *req, struct response_sink *sink)
{
	struct http_routes *r = arg;
	_cleanup_buf_ struct buf body = BUF_INIT;

	metrics_write(r->options.metrics, &body);
	response_reply(sink, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&body));
	return true;
}

static bool serve_version(void *arg, struct request *req, struct response_sink *sink)
{
	_cleanup_buf_ struct buf body = BUF_INIT;

	if (strcmp(req->method, "GET") != 0) {
		status_send(status_method_not_allowed(req->arena), req, sink);
		return true;
	}
	const char *arch =
	    strcmp(((struct http_routes *)arg)->machine, "aarch64") == 0 ? "arm64" : "amd64";

	buf_printf(&body,
	           "{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n"
	           "  \"emulationMajor\": \"1\",\n  \"emulationMinor\": \"36\",\n"
	           "  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"35\",\n"
	           "  \"gitVersion\": \"v1.36.0\",\n  \"gitCommit\": \"\",\n"
	           "  \"gitTreeState\": \"clean\",\n  \"buildDate\": \"1970-01-01T00:00:00Z\",\n"
	           "  \"goVersion\": \"\",\n  \"compiler\": \"" COMPILER_NAME "\",\n"
	           "  \"platform\": \"linux/%s\"\n}",
	           arch);
	response_reply(sink, 200, "application/json", buf_view(&body));
	return true;
}

/* --- / --------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef VEC(const char *) path_list;

static void add_group_paths(path_list *paths, struct arena *a, const MetaV1__APIGroup *g)
{
	*vec_push(paths) = arena_printf(a, "/apis/%s", g->name);
	for (size_t i = 0; i < g->n_versions; i++)
		*vec_push(paths) = arena_printf(a, "/apis/%s", g->versions[i]->group_version);
}

static void add_health_paths(path_list *paths, struct arena *a, const struct health *h)
{
	static const struct {
		const char *name;
		unsigned set;
	} sets[] = {
	    {"livez", HEALTH_LIVEZ}, {"readyz", HEALTH_READYZ}, {"healthz", HEALTH_HEALTHZ}};

	VEC_FOREACH (&h->checks, c) {
		for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
			if (c->sets & sets[i].set)
				*vec_push(paths) = arena_printf(a, "/%s/%s", sets[i].name, c->name);
		}
	}
}

static bool serve_index(void *arg, struct request *req, struct response_sink *sink)
{
	struct http_routes *r = arg;
	struct discovery_extra extra = {0};
	path_list paths = {0};
	_cleanup_buf_ struct buf body = BUF_INIT;

	if (r->groups)
		r->groups(r->resources_arg, req->arena, &extra);
	const MetaV1__APIGroupList *list = discovery_groups(req->arena, &extra);
	*vec_push(&paths) = "/api";
	*vec_push(&paths) = "/api/v1";
	*vec_push(&paths) = "/apis";
	for (size_t i = 0; i < list->n_groups; i++)
		add_group_paths(&paths, req->arena, list->groups[i]);
	add_health_paths(&paths, req->arena, r->options.health);
	VEC_FOREACH (&r->routes, route) {
		size_t n = strlen(route->path);
		if (n > 1 && route->path[n - 1] != '/')
			*vec_push(&paths) = route->path;
	}
	qsort(paths.at, paths.n, sizeof(*paths.at), by_text);
	buf_str(&body, "{\n  \"paths\": [");
	for (size_t i = 0; i < paths.n; i++) {
		buf_str(&body, i ? ",\n    " : "\n    ");
		json_write_cstr(&body, paths.at[i]);
	}
	buf_str(&body, "\n  ]\n}");
	vec_deinit(&paths);
	response_reply(sink, 200, "application/json", buf_view(&body));
	return true;
}

/* --- routing --------------------------------------------------------------------------------- */

void http_routes_add(struct http_routes *r, const char *path, http_route_fn fn, void *arg)
{
	*vec_push(&r->routes) = (struct http_route){path, fn, arg};
}

void http_routes_add_resources(struct http_routes *r, http_route_fn serve, http_groups_fn groups,
                               void *arg)
{
	r->resources = serve;
	r->groups = groups;
	r->resources_arg = arg;
}

struct http_routes *http_routes_new(const struct http_routes_options *o)
{
	struct http_routes *r = calloc(1, sizeof(*r));
	struct utsname names;
	if (!r)
		abort();
	r->options = *o;
	if (uname(&names) == 0)
		snprintf(r->machine, sizeof(r->machine), "%s", names.machine);
	pthread_mutex_init(&r->lock, NULL);
	http_routes_add(r, "/", serve_index, r);
	http_routes_add(r, "/version", serve_version, r);
	http_routes_add(r, "/version/", serve_version, r);
	if (o->metrics)
		http_routes_add(r, "/metrics", serve_metrics, r);
	static const char *const sets[] = {"/healthz", "/healthz/", "/livez",
	                                   "/livez/",  "/readyz",   "/readyz/"};
	for (size_t i = 0; o->health && i < ARRAY_LEN(sets); i++)
		http_routes_add(r, sets[i], serve_health, r);
	return r;
}

void http_routes_free(struct http_routes *r)
{
	if (!r)
		return;
	discovery_docs_drop(r);
	vec_deinit(&r->routes);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void http_routes_changed(struct http_routes *r)
{
	discovery_docs_drop(r);
}

static bool route_matches(const struct http_route *route, const char *path)
{
	size_t n = strlen(route->path);

	if (strcmp(route->path, "/") == 0)
		return strcmp(path, "/") == 0 || strcmp(path, "/index.html") == 0;
	if (route->path[n - 1] == '/')
		return has_prefix(path, route->path);
	return strcmp(path, route->path) == 0;
}

/* Of a resource that nobody has: where its group version is ours the API answers, else the mux. */
static void refuse(struct request *req, struct response_sink *sink)
{
	bool ours = false;

	for (size_t i = 0; i < resource_n && !ours; i++)
		ours = strcmp(resource_table[i].group, req->group) == 0 &&
		       strcmp(resource_table[i].version, req->version) == 0;
	if (req->is_resource && ours)
		status_send(status_no_resource(req->arena), req, sink);
	else
		not_found(sink);
}

bool http_routes_serve(void *routes, struct request *req, struct response_sink *sink)
{
	struct http_routes *r = routes;
	bool reads = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;

	VEC_FOREACH (&r->routes, route) {
		if (!route_matches(route, req->path))
			continue;
		if (route->fn(route->arg, req, sink))
			return true;
	}
	bool api = strcmp(req->path, "/api") == 0 || strcmp(req->path, "/apis") == 0 ||
	           has_prefix(req->path, "/api/") || has_prefix(req->path, "/apis/");
	if (api && !req->is_resource && !reads)
		status_send(status_method_not_allowed(req->arena), req, sink);
	else if (api && !req->is_resource && discovery_serve(r, req, sink))
		return true;
	else if (api && r->resources && r->resources(r->resources_arg, req, sink))
		return true;
	else
		refuse(req, sink);
	return true;
}
