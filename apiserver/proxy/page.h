/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTML page on its way through: unpacked when it is gzip, its links rewritten. Bytes wait in
 * here while the reader takes no more; one read of the backend's at most. */
#include <zlib.h>
#include "apiserver/proxy/html_links.h"

struct page {
	struct html_links links; /* rewrite and arg are the user's */
	bool gzip;
	bool inflating; /* the state below is set up */
	z_stream inflate;
	struct buf held; /* packed bytes */
	size_t used;     /* of them */
};

/* Takes bytes of the backend's. */
void page_add(struct page *p, struct slice in, struct buf *out);
/* Unpacks what waits, up to a chunk: appends to out. 1: there is more; 0: not; -1: it is broken. */
int page_next(struct page *p, struct buf *out);
/* The page's end, and its state's. */
void page_end(struct page *p, struct buf *out);
