/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The envelope of stored protobuf objects: "k8s\0" and a runtime.Unknown message that names the
 * version and kind and carries the encoded object (apimachinery runtime/serializer/protobuf). The
 * same envelope is the body of application/vnd.kubernetes.protobuf. Pure. */
#include "common/base/buf.h"
#include "common/base/err.h"

struct envelope {
	struct slice api_version, kind; /* all borrowed from the bytes */
	struct slice raw;
	struct slice content_encoding, content_type;
};

/* True when the bytes start with the magic. */
bool envelope_is(struct slice bytes);
int envelope_decode(struct slice bytes, struct envelope *ret, struct err *err);
/* Appends the envelope of `raw`. */
void envelope_encode(struct buf *b, struct slice api_version, struct slice kind, struct slice raw);
/* Appends all but the raw bytes, for a raw message of raw_len bytes; then append those, then
 * envelope_end. For writers that produce the message in place. */
void envelope_begin(struct buf *b, struct slice api_version, struct slice kind, size_t raw_len);
void envelope_end(struct buf *b);
