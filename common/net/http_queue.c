/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/http_internal.h"

void http_queue_add(struct http_queue *q, struct slice data)
{
	/* A segment is freed when all of it is out: one that grew on and on would never be. */
	enum { SEGMENT_BYTES = 64 << 10 };

	if (data.len == 0)
		return;
	if (q->segments.n == q->first || vec_last(&q->segments)->blob ||
	    vec_last(&q->segments)->buf.len >= SEGMENT_BYTES)
		*vec_push(&q->segments) = (struct http_segment){0};
	buf_slice(&vec_last(&q->segments)->buf, data);
	q->bytes += data.len;
}

void http_queue_blob(struct http_queue *q, struct blob *data)
{
	enum { COPY_BYTES = 512 }; /* a copy is cheaper than a segment */

	if (data->len <= COPY_BYTES) {
		http_queue_add(q, blob_view(data));
		return;
	}
	*vec_push(&q->segments) = (struct http_segment){.blob = blob_ref(data)};
	q->bytes += data->len;
}

static void segment_deinit(struct http_segment *s)
{
	blob_unref(s->blob);
	buf_deinit(&s->buf);
}

static void drop_first(struct http_queue *q)
{
	segment_deinit(&q->segments.at[q->first++]);
	q->offset = 0;
	if (q->first == q->segments.n) {
		q->first = 0;
		vec_clear(&q->segments);
	} else if (q->first >= 64 && q->first * 2 >= q->segments.n) {
		q->segments.n -= q->first;
		memmove(q->segments.at, q->segments.at + q->first,
		        q->segments.n * sizeof(*q->segments.at));
		q->first = 0;
	}
}

size_t http_queue_take(struct http_queue *q, uint8_t *out, size_t max)
{
	size_t taken = 0;

	while (taken < max && q->bytes) {
		const struct http_segment *s = &q->segments.at[q->first];
		struct slice rest = s->blob ? blob_view(s->blob) : buf_view(&s->buf);
		rest = slice_skip(rest, q->offset);
		size_t n = MIN(rest.len, max - taken);
		memcpy(out + taken, rest.data, n);
		taken += n;
		q->offset += n;
		q->bytes -= n;
		if (n == rest.len)
			drop_first(q);
	}
	return taken;
}

void http_queue_clear(struct http_queue *q)
{
	for (size_t i = q->first; i < q->segments.n; i++)
		segment_deinit(&q->segments.at[i]);
	vec_clear(&q->segments);
	q->first = q->offset = q->bytes = 0;
}

void http_queue_deinit(struct http_queue *q)
{
	http_queue_clear(q);
	vec_deinit(&q->segments);
}
