/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* API objects to and from bytes: one entry for JSON, YAML and Kubernetes protobuf, over the
 * walkers pb_decode, pb_encode, json_decode and json_encode.
 *
 * Protobuf bodies and stored values are the four bytes "k8s\0" and a runtime.Unknown
 * {typeMeta {apiVersion, kind}, raw, contentEncoding, contentType}. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/codec/json_reader.h"
#include "proto/schema.h"

enum object_format { OBJECT_JSON, OBJECT_YAML, OBJECT_PROTOBUF };

struct type_meta {
	const char *api_version, *kind; /* never NULL; "" when absent */
};

/* Reads apiVersion and kind, checking the syntax of the whole body. Error texts as upstream's:
 * "couldn't get version/kind; json parse error: ...". */
_must_use_ int object_type_meta(enum object_format format, struct slice body, struct arena *a,
                                struct type_meta *ret, struct err *err);

/* Decodes a body as `schema` whatever its type meta says, which goes to *ret_meta (NULL allowed).
 * `report` (NULL: not wanted) collects unknown and duplicate fields. */
_must_use_ int object_decode(enum object_format format, const struct schema_message *schema,
                             struct slice body, struct arena *a, struct json_report *report,
                             ProtobufCMessage **ret, struct type_meta *ret_meta, struct err *err);

/* Appends the object in a form, with `meta` (NULL: the schema's own) as its apiVersion and kind. */
void object_encode(enum object_format format, const struct schema_message *schema,
                   const ProtobufCMessage *msg, const struct type_meta *meta, struct buf *out);

/* Appends in `format` the object whose bare protobuf bytes (no envelope) are `pb`, as pb_encode
 * wrote them; JSON is written straight from the bytes. `nested`: an item of a list, which has no
 * kind and apiVersion in JSON. */
_must_use_ int object_transcode(enum object_format format, const struct schema_message *schema,
                                struct slice pb, const struct type_meta *meta, bool nested,
                                struct buf *out, struct err *err);

/* The envelope. `raw` of open borrows from the body; an absent content type is protobuf. */
struct unknown {
	struct type_meta meta;
	struct slice raw;
	const char *content_encoding, *content_type;
};
bool unknown_is(struct slice body); /* starts with "k8s\0" */
_must_use_ int unknown_open(struct slice body, struct arena *a, struct unknown *ret,
                            struct err *err);
void unknown_wrap(const struct type_meta *meta, struct slice raw, struct buf *out);
