/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One change as managers of each version of the kind see it. Internal to fieldmanager/. */
#include "apiserver/fieldmanager/field_walk.h"
#include "apiserver/fieldmanager/fieldmanager.h"

enum { FIELD_VERSIONS_MAX = 4 };

struct field_versions {
	const struct fieldmanager_request *req; /* its `convert` is used */
	const struct resource_info *res;
	field_paths skip;
	/* The object before and after; made from the trees when they are NULL and needed. */
	const ProtobufCMessage *old, *now;
	const struct jvalue *old_tree, *now_tree;
	struct arena *a;
	/* Known differences; the first is that of the request's own version. */
	struct field_version {
		const char *version;
		struct field_diff diff;
	} at[FIELD_VERSIONS_MAX];
	size_t n;
};

/* The change in a version; NULL when the kind has no such version. */
const struct field_diff *field_versions_diff(struct field_versions *v, const char *version);
