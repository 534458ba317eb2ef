/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The OpenAPI documents of the built-in kinds, made at build time by gen_openapi.py and kept
 * compressed in the executable: nothing of them is resident until a client asks. */
#include "common/base/buf.h"

/* name: the path under /openapi/v3 ("api/v1", "apis/apps/v1"), or "v2" and "v2.pb". */
struct openapi_document {
	const char *name;
	const char *hash; /* SHA-512 of the text in upper-case hex; an ETag */
	size_t offset, packed_bytes, bytes;
};

extern const struct openapi_document openapi_documents[]; /* sorted by name */
extern const size_t openapi_n_documents;

/* NULL when there is none. */
const struct openapi_document *openapi_find(struct slice name);
/* The document in gzip form. */
struct slice openapi_packed(const struct openapi_document *d);
/* Appends the document's text. */
void openapi_text(const struct openapi_document *d, struct buf *out);
/* Appends the index that /openapi/v3 answers. */
void openapi_index(struct buf *out);
