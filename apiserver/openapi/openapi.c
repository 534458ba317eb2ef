/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/openapi/openapi.h"

#include <assert.h>
#include <zlib.h>

extern const uint8_t openapi_blob[];

const struct openapi_document *openapi_find(struct slice name)
{
	size_t low = 0, high = openapi_n_documents;
	while (low < high) {
		size_t at = (low + high) / 2;
		int r = slice_cmp(name, slice_str(openapi_documents[at].name));
		if (!r)
			return &openapi_documents[at];
		if (r < 0)
			high = at;
		else
			low = at + 1;
	}
	return NULL;
}

struct slice openapi_packed(const struct openapi_document *d)
{
	return slice_of(openapi_blob + d->offset, d->packed_bytes);
}

void openapi_text(const struct openapi_document *d, struct buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)(openapi_blob + d->offset),
	              .avail_in = (uInt)d->packed_bytes};
	buf_reserve(out, d->bytes);
	z.next_out = out->data + out->len;
	z.avail_out = (uInt)d->bytes;
	int r = inflateInit2(&z, 15 + 16);
	assert(r == Z_OK);
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	assert(r == Z_STREAM_END); /* the bytes are ours */
	out->len += d->bytes;
	out->data[out->len] = 0;
}

void openapi_index(struct buf *out)
{
	buf_str(out, "{\"paths\":{");
	bool first = true;
	for (size_t i = 0; i < openapi_n_documents; i++) {
		const struct openapi_document *d = &openapi_documents[i];
		if (!strncmp(d->name, "v2", 2))
			continue;
		buf_printf(out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}",
		           first ? "" : ",", d->name, d->name, d->hash);
		first = false;
	}
	buf_str(out, "}}");
}
