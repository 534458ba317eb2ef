/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The environment of a container: service variables, envFrom, env with $(VAR) references. */
#include "kubelet/objects.h"
#include "kubelet/pod/pod.h"

struct env_var {
	const char *name, *value;
};

struct env {
	struct env_var *at;
	size_t n;
};

/* OBJECT_WAIT: wake(arg) is called when what is missing has come. OBJECT_FAILED: err says what
 * upstream says. */
enum object_state env_build(struct pod *p, const CoreV1__Container *c, loop_fn wake, void *arg,
                            struct arena *a, struct env *ret, struct err *err);
const char *env_get(const struct env *e, const char *name);
/* Replaces $(NAME) by its value where it is known; $$ is $. */
const char *env_expand(const struct env *e, const char *text, struct arena *a);
/* The same; NULL when a variable is not there, whose name is *ret_missing. */
const char *env_expand_strict(const struct env *e, const char *text, struct arena *a,
                              const char **ret_missing);
