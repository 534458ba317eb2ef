/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Waiting until the cache is as new as a request needs it. Internal to endpoints/. */
#include "apiserver/endpoints/call.h"

enum {
	FRESH_ANY = -1, /* whatever is there, once anything is */
	FRESH_NOW = 0,  /* everything acknowledged so far */
};

/* Calls then(c, arg) when the cache has `revision` (or FRESH_x); else refuses with the Status that
 * upstream gives: 504 for a revision from the future. */
void call_await(struct call *c, int64_t revision, void (*then)(struct call *c, void *arg),
                void *arg);
