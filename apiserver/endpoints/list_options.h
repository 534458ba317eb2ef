/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What resourceVersion, resourceVersionMatch, limit and continue of a list ask for, and the tokens
 * that continue it (apiserver storage: continue.go; k8s.io docs "Resource versions"). */
#include "apiserver/request/status.h"
#include "common/base/slice.h"

enum list_mode {
	LIST_FRESH,     /* what the store had acknowledged when the question came */
	LIST_ANY,       /* whatever the cache has */
	LIST_NOT_OLDER, /* at least `revision` */
	LIST_EXACT,     /* exactly `revision` */
};

struct list_plan {
	enum list_mode mode;
	int64_t revision;
	int64_t limit;      /* 0: none */
	struct slice start; /* of a continued list: the first key wanted, below the list's prefix */
	bool continued;
};

/* NULL, or the refusal. */
const struct status *list_plan_of(const struct request *req, struct list_plan *ret);

/* A resourceVersion as a number. False when it is none; *ret_text is then upstream's words. */
bool resource_version_parse(const char *s, struct arena *a, int64_t *ret, const char **ret_text);

/* The token behind the last key of a page. */
char *continue_encode(struct arena *a, int64_t revision, struct slice last_key);
/* The token whose page begins with `start`. revision -1: continue on whatever is newest. */
char *continue_encode_from(struct arena *a, int64_t revision, struct slice start);
/* NULL, or the text of the 400. */
const char *continue_decode(struct arena *a, const char *token, int64_t *ret_revision,
                            struct slice *ret_start);
