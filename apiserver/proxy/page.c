/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/page.h"

enum { CHUNK_BYTES = 32 << 10, GZIP_WINDOW = 15 + 16 };

void page_add(struct page *p, struct slice in, struct buf *out)
{
	if (p->gzip)
		buf_slice(&p->held, in);
	else
		html_links_feed(&p->links, in, out);
}

int page_next(struct page *p, struct buf *out)
{
	uint8_t chunk[CHUNK_BYTES];
	z_stream *z = &p->inflate;

	if (p->used == p->held.len)
		return 0;
	if (!p->inflating && inflateInit2(z, GZIP_WINDOW) != Z_OK)
		abort(); /* out of memory */
	p->inflating = true;
	z->next_in = p->held.data + p->used;
	z->avail_in = (uInt)(p->held.len - p->used);
	z->next_out = chunk;
	z->avail_out = sizeof(chunk);
	int code = inflate(z, Z_NO_FLUSH);
	if (code == Z_STREAM_END)
		code = inflateReset(z); /* another member may follow */
	if (code != Z_OK && code != Z_BUF_ERROR)
		return -1;
	html_links_feed(&p->links, slice_of(chunk, sizeof(chunk) - z->avail_out), out);
	bool full = !z->avail_out;
	p->used = p->held.len - z->avail_in;
	if (p->used < p->held.len || full)
		return 1;
	buf_clear(&p->held);
	p->used = 0;
	return 0;
}

void page_end(struct page *p, struct buf *out)
{
	if (p->inflating)
		inflateEnd(&p->inflate);
	p->inflating = false;
	buf_deinit(&p->held);
	html_links_end(&p->links, out);
}
