/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A growing byte buffer on the heap, and blobs: immutable bytes with an atomic reference count,
 * which caches, watchers and connections of any thread share.
 *
 * Appending aborts when the system is out of memory. `data` is kept NUL-terminated after any
 * append (the NUL is not counted in len). */
#include <stdarg.h>
#include <stdatomic.h>
#include "common/base/slice.h"

struct buf {
	uint8_t *data;
	size_t len, cap;
};

#define BUF_INIT ((struct buf){0})
#define _cleanup_buf_ _cleanup_(buf_deinit)

void buf_deinit(struct buf *b);
static inline void buf_clear(struct buf *b)
{
	b->len = 0;
}
void buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_byte(struct buf *b, uint8_t c);
void buf_slice(struct buf *b, struct slice s);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
static inline struct slice buf_view(const struct buf *b)
{
	return (struct slice){b->data, b->len};
}
/* The text as a heap string that the caller frees; empties the buffer. Never NULL. */
char *buf_steal_str(struct buf *b);

struct blob {
	atomic_uint refs;
	uint32_t flags; /* the owner's */
	size_t len;
	uint8_t data[];
};

struct blob *blob_new(size_t len); /* uninitialised bytes, one reference */
struct blob *blob_dup(struct slice s);
struct blob *blob_ref(struct blob *b);   /* NULL gives NULL */
struct blob *blob_unref(struct blob *b); /* returns NULL */
static inline struct slice blob_view(const struct blob *b)
{
	return b ? (struct slice){b->data, b->len} : SLICE_EMPTY;
}
static inline void blob_unref_p(struct blob **b)
{
	blob_unref(*b);
}
