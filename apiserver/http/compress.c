/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/compress.h"
#include <zlib.h>

enum {
	THRESHOLD_BYTES = 128 << 10,
	OUT_BYTES = 16 << 10,
	GZIP_WINDOW = 15 + 16,
	LEVEL = 1,
	MEMORY = 8
};

struct compressor {
	struct http_exchange *x;
	int status;
	const char *content_type;
	enum { HOLDING, PLAIN, PACKING, OVER } state;
	struct buf held;
	z_stream z;
};

static bool is_space(int c)
{
	return c == ' ' || c == '\t';
}

bool compress_accepted(struct slice s)
{
	while (s.len) {
		const uint8_t *comma = memchr(s.data, ',', s.len);
		struct slice item = slice_of(s.data, comma ? (size_t)(comma - s.data) : s.len);
		s = slice_skip(s, item.len + 1);
		while (item.len && is_space(item.data[0]))
			item = slice_skip(item, 1);
		const uint8_t *semicolon = memchr(item.data, ';', item.len);
		if (semicolon)
			item.len = (size_t)(semicolon - item.data);
		while (item.len && is_space(item.data[item.len - 1]))
			item.len--;
		if (slice_eq_str(item, "gzip"))
			return true;
	}
	return false;
}

struct compressor *compressor_new(struct http_exchange *x)
{
	struct compressor *c = arena_new(x->arena, struct compressor);

	c->x = x;
	return c;
}

/* What deflate makes of the input so far. */
static int pack(struct compressor *c, struct slice in, int flush)
{
	uint8_t out[OUT_BYTES];
	int full = 0;

	c->z.next_in = (uint8_t *)in.data;
	c->z.avail_in = (unsigned)in.len;
	do {
		c->z.next_out = out;
		c->z.avail_out = sizeof(out);
		deflate(&c->z, flush);
		if (c->z.avail_out < sizeof(out))
			full = http_write(c->x, slice_of(out, sizeof(out) - c->z.avail_out));
	} while (c->z.avail_out == 0);
	return full;
}

static void begin_packing(struct compressor *c)
{
	if (deflateInit2(&c->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	http_set_header(c->x, "Content-Encoding", "gzip");
	http_set_header(c->x, "Vary", "Accept-Encoding");
	http_start(c->x, c->status, c->content_type, -1);
	c->state = PACKING;
}

void compressor_start(struct compressor *c, int status, const char *content_type,
                      int64_t content_length)
{
	c->status = status;
	c->content_type = arena_strdup(c->x->arena, content_type);
	if (content_length >= THRESHOLD_BYTES) {
		begin_packing(c);
	} else if (content_length >= 0) {
		http_start(c->x, status, content_type, content_length);
		c->state = PLAIN;
	}
}

int compressor_write(struct compressor *c, struct slice data)
{
	int full;

	switch (c->state) {
	case PLAIN:
		return http_write(c->x, data);
	case PACKING:
		return pack(c, data, Z_NO_FLUSH);
	case HOLDING:
		buf_slice(&c->held, data);
		if (buf_view(&c->held).len < THRESHOLD_BYTES)
			return 0;
		begin_packing(c);
		full = pack(c, buf_view(&c->held), Z_NO_FLUSH);
		buf_deinit(&c->held);
		return full;
	case OVER:
		break;
	}
	return 0;
}

void compressor_end(struct compressor *c)
{
	if (c->state == PACKING)
		pack(c, SLICE_EMPTY, Z_FINISH);
	if (c->state == HOLDING && c->content_type) {
		http_start(c->x, c->status, c->content_type, (int64_t)buf_view(&c->held).len);
		http_write(c->x, buf_view(&c->held));
	}
	compressor_drop(c);
}

void compressor_drop(struct compressor *c)
{
	if (c->state == PACKING)
		deflateEnd(&c->z);
	buf_deinit(&c->held);
	c->state = OVER;
}
