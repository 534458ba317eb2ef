/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Scope-bound release and small compiler helpers.
 *
 * `_cleanup_(fn)` runs fn(&var) when var leaves its scope; TAKE(p) moves ownership out of p and
 * leaves NULL behind, so that the cleanup then does nothing. DEFINE_CLEANUP(type, fn) makes
 * `fn##_p`, the pointer-to-pointer form that `_cleanup_` wants. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_use_ __attribute__((warn_unused_result))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _unused_ __attribute__((unused))

#define TAKE(p) __extension__({ __typeof__(p) take_ = (p); (p) = NULL; take_; })
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
/* <sys/param.h>, which <uv.h> includes, has them too. */
#undef MIN
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline _unused_ void fn##_p(type **p)                                               \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

static inline void free_p(void *p)
{
	free(*(void **)p);
}
