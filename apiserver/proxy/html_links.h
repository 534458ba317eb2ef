/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rewrites the links of an HTML page as it comes: values of attributes that hold URLs (href of <a>,
 * src of <img>, action of <form> ...) go through the caller's function, everything else passes as
 * it is. Pure.
 *
 * Comments, and the text of script, style and the like, are not looked into. A tag longer than
 * HTML_TAG_BYTES_MAX passes untouched. */
#include <stdbool.h>
#include "common/base/buf.h"

enum { HTML_TAG_BYTES_MAX = 16 << 10 };

struct html_links {
	/* The user's. Appends what stands for a URL. */
	void (*rewrite)(void *arg, struct slice url, struct buf *out);
	void *arg;

	/* Its own; zero at the start. */
	int state;
	uint8_t quote;
	struct buf tag;        /* from '<' on */
	struct slice raw_name; /* of the element whose text is passed over, constant */
};

void html_links_feed(struct html_links *h, struct slice in, struct buf *out);
/* The page's end: what was held back passes as it is. Frees the state. */
void html_links_end(struct html_links *h, struct buf *out);
