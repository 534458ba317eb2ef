/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What routes.c and discovery_docs.c share. */
#include "apiserver/http/routes.h"
#include "common/base/vec.h"
#include <pthread.h>

#ifdef __clang__
#define COMPILER_NAME "clang"
#else
#define COMPILER_NAME "gcc"
#endif

struct http_route {
	const char *path;
	http_route_fn fn;
	void *arg;
};

/* An encoded document and its entity tag. */
struct discovery_doc {
	struct blob *body;
	char etag[2 + 2 * 64 + 1];
};

struct http_routes {
	struct http_routes_options options;
	VEC(struct http_route) routes;
	http_route_fn resources;
	http_groups_fn groups;
	void *resources_arg;
	char machine[65];
	pthread_mutex_t lock;            /* guards docs */
	struct discovery_doc docs[2][3]; /* [core][format]: aggregated discovery */
};
