/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/spdy.h"

#include "common/net/spdy_dictionary.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, FLAG_FIN = 1 };
/* The dictionary fits into this window; zlib's own choice would take a quarter of a megabyte. */
enum { WINDOW_BITS = 11, MEMORY_LEVEL = 1 };

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* --- header blocks --------------------------------------------------------------------------- */

static int inflate_block(struct spdy_reader *r, struct slice in, struct err *err)
{
	z_stream *z = &r->inflate;

	if (!r->inflating && inflateInit(z) != Z_OK)
		abort(); /* out of memory */
	r->inflating = true;
	buf_clear(&r->block);
	z->next_in = (Bytef *)(uintptr_t)in.data;
	z->avail_in = (uInt)in.len;
	for (;;) {
		buf_reserve(&r->block, 4096);
		uInt room = (uInt)(r->block.cap - r->block.len);
		z->next_out = r->block.data + r->block.len;
		z->avail_out = room;
		int code = inflate(z, Z_SYNC_FLUSH);
		r->block.len += room - z->avail_out;
		if (r->block.len > SPDY_BLOCK_BYTES_MAX)
			return err_set(err, ERR_LIMIT, "a header block is too long");
		if (code == Z_NEED_DICT)
			code = inflateSetDictionary(z, spdy_dictionary, SPDY_DICTIONARY_BYTES);
		else if (code == Z_BUF_ERROR && !z->avail_in)
			return 0;
		if (code != Z_OK)
			return err_set(err, ERR_CORRUPT, "a header block does not inflate");
		if (!z->avail_in && z->avail_out)
			return 0;
	}
}

static bool take_text(struct slice *rest, struct slice *ret)
{
	if (rest->len < 4)
		return false;
	uint32_t n = get32(rest->data);
	*rest = slice_skip(*rest, 4);
	if (n > rest->len)
		return false;
	*ret = slice_of(rest->data, n);
	*rest = slice_skip(*rest, n);
	return true;
}

static int read_block(struct spdy_reader *r, struct slice in, struct spdy_frame *f, struct err *err)
{
	int code = inflate_block(r, in, err);
	struct slice rest = buf_view(&r->block);

	if (code)
		return code;
	if (rest.len < 4)
		return err_set(err, ERR_CORRUPT, "a header block is cut short");
	uint32_t n = get32(rest.data);
	rest = slice_skip(rest, 4);
	if (n > SPDY_HEADERS_MAX)
		return err_set(err, ERR_LIMIT, "too many headers");
	for (uint32_t i = 0; i < n; i++) {
		struct spdy_header *h = &f->headers[i];
		if (!take_text(&rest, &h->name) || !take_text(&rest, &h->value))
			return err_set(err, ERR_CORRUPT, "a header block is cut short");
	}
	f->n_headers = n;
	return 0;
}

struct slice spdy_header_get(const struct spdy_frame *f, const char *name)
{
	for (size_t i = 0; i < f->n_headers; i++)
		if (slice_eq_str(f->headers[i].name, name))
			return f->headers[i].value;
	return SLICE_EMPTY;
}

/* --- reading --------------------------------------------------------------------------------- */

static int short_frame(struct err *err)
{
	return err_set(err, ERR_CORRUPT, "a control frame is cut short");
}

/* A whole control frame: 1 when it is one of ours, 0 to pass over it. */
static int read_control(struct spdy_reader *r, struct spdy_frame *f, struct err *err)
{
	struct slice body = buf_view(&r->body);
	size_t fixed = 4;

	f->type = (enum spdy_type)r->type;
	f->fin = r->flags & FLAG_FIN;
	switch (r->type) {
	case SPDY_SYN_STREAM:
		fixed = 10;
		break;
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
	case SPDY_PING:
		break;
	case SPDY_RST_STREAM:
	case SPDY_GOAWAY:
	case SPDY_WINDOW_UPDATE:
		fixed = 8;
		break;
	case SPDY_SETTINGS:
		return 1;
	default:
		return 0;
	}
	if (body.len < fixed)
		return short_frame(err);
	if (r->type != SPDY_PING)
		f->stream_id = get32(body.data) & 0x7fffffff;
	if (r->type == SPDY_PING)
		f->number = get32(body.data);
	else if (fixed == 8)
		f->number = get32(body.data + 4);
	else
		return read_block(r, slice_skip(body, fixed), f, err) ? -err->code : 1;
	return 1;
}

static int begin_frame(struct spdy_reader *r, struct err *err)
{
	uint32_t word = get32(r->head);

	r->control = word >> 31;
	r->flags = r->head[4];
	r->left = get24(r->head + 5);
	r->in_frame = true;
	r->head_len = 0;
	if (!r->control) {
		r->stream_id = word;
		return r->stream_id ? 0 : err_set(err, ERR_CORRUPT, "data of stream 0");
	}
	r->type = word & 0xffff;
	buf_clear(&r->body);
	if ((word >> 16 & 0x7fff) != VERSION)
		return err_set(err, ERR_CORRUPT, "not SPDY/3");
	if (r->left > SPDY_CONTROL_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a control frame is too long");
	return 0;
}

static int take_head(struct spdy_reader *r, struct slice *in, struct err *err)
{
	size_t n = MIN(in->len, (size_t)(SPDY_HEAD_BYTES - r->head_len));

	if (n)
		memcpy(r->head + r->head_len, in->data, n);
	r->head_len += (unsigned)n;
	*in = slice_skip(*in, n);
	if (r->head_len < SPDY_HEAD_BYTES)
		return 0;
	int code = begin_frame(r, err);
	return code ? code : 1;
}

static void take_data(struct spdy_reader *r, struct slice *in, struct spdy_frame *ret)
{
	size_t n = MIN(in->len, (size_t)r->left);

	ret->type = SPDY_DATA;
	ret->stream_id = r->stream_id;
	ret->data = slice_of(in->data, n);
	*in = slice_skip(*in, n);
	r->left -= (uint32_t)n;
	ret->fin = !r->left && r->flags & FLAG_FIN;
	r->in_frame = r->left;
}

int spdy_next(struct spdy_reader *r, struct slice *in, struct spdy_frame *ret, struct err *err)
{
	struct err own = ERR_INIT;

	err = err ? err : &own;
	ret->n_headers = 0;
	ret->number = ret->stream_id = 0;
	ret->data = SLICE_EMPTY;
	for (;;) {
		if (!r->in_frame) {
			int code = take_head(r, in, err);
			if (code <= 0)
				return code;
		}
		if (r->left && !in->len)
			return 0;
		if (!r->control) {
			take_data(r, in, ret);
			return 1;
		}
		size_t n = MIN(in->len, (size_t)r->left);
		buf_slice(&r->body, slice_of(in->data, n));
		*in = slice_skip(*in, n);
		r->left -= (uint32_t)n;
		if (r->left)
			return 0;
		r->in_frame = false;
		int code = read_control(r, ret, err);
		if (code)
			return code;
	}
}

void spdy_reader_deinit(struct spdy_reader *r)
{
	if (r->inflating)
		inflateEnd(&r->inflate);
	r->inflating = false;
	buf_deinit(&r->body);
	buf_deinit(&r->block);
}

/* --- writing --------------------------------------------------------------------------------- */

static void put_control(uint8_t *p, enum spdy_type type, bool fin, size_t len)
{
	put32(p, 0x80000000U | VERSION << 16 | type);
	put32(p + 4, (uint32_t)len);
	p[4] = fin ? FLAG_FIN : 0;
}

static void add_text(struct buf *b, struct slice s)
{
	uint8_t n[4];

	put32(n, (uint32_t)s.len);
	buf_add(b, n, 4);
	buf_slice(b, s);
}

static void deflate_block(struct spdy_writer *w, struct slice plain, struct buf *out)
{
	z_stream *z = &w->deflate;

	if (!w->deflating &&
	    (deflateInit2(z, Z_BEST_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
	                  Z_DEFAULT_STRATEGY) != Z_OK ||
	     deflateSetDictionary(z, spdy_dictionary, SPDY_DICTIONARY_BYTES) != Z_OK))
		abort(); /* out of memory */
	w->deflating = true;
	z->next_in = (Bytef *)(uintptr_t)plain.data;
	z->avail_in = (uInt)plain.len;
	do {
		buf_reserve(out, 512);
		uInt room = (uInt)(out->cap - out->len);
		z->next_out = out->data + out->len;
		z->avail_out = room;
		if (deflate(z, Z_SYNC_FLUSH) == Z_STREAM_ERROR)
			abort(); /* not with a state of our own */
		out->len += room - z->avail_out;
	} while (!z->avail_out);
}

void spdy_write_headers(struct spdy_writer *w, struct buf *out, enum spdy_type type,
                        uint32_t stream_id, bool fin, const struct spdy_header *headers, size_t n)
{
	_cleanup_buf_ struct buf plain = BUF_INIT;
	uint8_t fixed[SPDY_HEAD_BYTES + 10] = {0}, count[4];
	size_t fixed_len = SPDY_HEAD_BYTES + (type == SPDY_SYN_STREAM ? 10 : 4), at = out->len;

	put32(count, (uint32_t)n);
	buf_add(&plain, count, 4);
	for (size_t i = 0; i < n; i++) {
		add_text(&plain, headers[i].name);
		add_text(&plain, headers[i].value);
	}
	put32(fixed + SPDY_HEAD_BYTES, stream_id);
	buf_add(out, fixed, fixed_len);
	deflate_block(w, buf_view(&plain), out);
	put_control(out->data + at, type, fin, out->len - at - SPDY_HEAD_BYTES);
}

void spdy_data_head(uint8_t out[SPDY_HEAD_BYTES], uint32_t stream_id, size_t len, bool fin)
{
	put32(out, stream_id);
	put32(out + 4, (uint32_t)len);
	out[4] = fin ? FLAG_FIN : 0;
}

void spdy_write_data(struct buf *out, uint32_t stream_id, struct slice data, bool fin)
{
	uint8_t head[SPDY_HEAD_BYTES];

	spdy_data_head(head, stream_id, data.len, fin);
	buf_add(out, head, sizeof(head));
	buf_slice(out, data);
}

void spdy_write_number(struct buf *out, enum spdy_type type, uint32_t stream_id, uint32_t number)
{
	uint8_t f[SPDY_HEAD_BYTES + 8];
	size_t len = type == SPDY_PING ? 4 : 8;

	put_control(f, type, false, len);
	put32(f + SPDY_HEAD_BYTES, type == SPDY_PING ? number : stream_id);
	put32(f + SPDY_HEAD_BYTES + 4, number);
	buf_add(out, f, SPDY_HEAD_BYTES + len);
}

void spdy_writer_deinit(struct spdy_writer *w)
{
	if (w->deflating)
		deflateEnd(&w->deflate);
	w->deflating = false;
}
