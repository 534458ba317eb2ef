/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shell of admission: the pipeline's admit_mutate and admit_validate hooks over the pure
 * plugins of admission/.
 *
 * Plugins read the watch caches. When one of them misses an object it asks again once the cache has
 * everything that the store had acknowledged (cacher_fresh), so that no request is refused for what
 * was made a moment ago. */
#include "apiserver/endpoints/pipeline.h"
#include "common/base/err.h"

struct admit;
struct auth;
struct loop;

struct admit_options {
	/* --enable-admission-plugins and --disable-admission-plugins, beyond the defaults. */
	const char *const *enable, *const *disable;
	size_t n_enable, n_disable;
	const char *config_file; /* --admission-control-config-file; NULL: none */
	struct loop *state_loop; /* not running yet, or the caller is on it */
	struct auth *auth;       /* for checks that ask authorization; NULL: they allow */
};

/* Sets the pipeline's hooks. -ERR_INVALID for a plugin that is not known. */
int admit_new(const struct admit_options *o, struct pipeline *p, struct admit **ret,
              struct err *err);
/* After the last request, on the state loop or when it no longer runs. NULL allowed. */
void admit_free(struct admit *a);
/* The names of all plugins in their order, NULL-terminated: for --help. */
const char *const *admit_plugin_names(void);
