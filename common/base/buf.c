/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/buf.h"

#include <assert.h>
#include <stdio.h>

void buf_deinit(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void buf_reserve(struct buf *b, size_t extra)
{
	size_t need = b->len + extra + 1;
	assert(need > b->len);
	if (need <= b->cap)
		return;
	size_t cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap *= 2;
	b->data = realloc(b->data, cap);
	if (!b->data)
		abort();
	b->cap = cap;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	buf_reserve(b, n);
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = 0;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_byte(struct buf *b, uint8_t c)
{
	buf_add(b, &c, 1);
}

void buf_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.data, s.len);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	assert(fmt); /* with its own null checks in, UBSan's GCC takes it for NULL otherwise */
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	assert(n >= 0);
	buf_reserve(b, (size_t)n);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

char *buf_steal_str(struct buf *b)
{
	buf_add(b, "", 0);
	char *s = (char *)b->data;
	*b = BUF_INIT;
	return s;
}

struct blob *blob_new(size_t len)
{
	struct blob *b = malloc(sizeof(*b) + len);
	if (!b)
		abort();
	atomic_init(&b->refs, 1);
	b->flags = 0;
	b->len = len;
	return b;
}

struct blob *blob_dup(struct slice s)
{
	struct blob *b = blob_new(s.len);
	if (s.len)
		memcpy(b->data, s.data, s.len);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	if (b)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

struct blob *blob_unref(struct blob *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
	return NULL;
}
