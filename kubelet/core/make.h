/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Making messages in an arena. */
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

/* C strings of the messages are not const; a status is read only once it is made. */
#define TEXT(s) ((char *)(uintptr_t)(s))

#define MAKE(a, type, INIT)                       \
	__extension__({                           \
		type *made_ = arena_new(a, type); \
		*made_ = (type)INIT;              \
		made_;                            \
	})

static inline MetaV1__Time *make_time(struct arena *a, int64_t seconds)
{
	MetaV1__Time *t = MAKE(a, MetaV1__Time, META_V1__TIME__INIT);
	if (seconds) {
		t->has_seconds = 1;
		t->seconds = seconds;
	}
	return t;
}
