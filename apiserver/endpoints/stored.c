/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/stored.h"

#include <stdio.h>

#include "apiserver/endpoints/convert.h"
#include "apiserver/storage/wire.h"
#include "proto/codec.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"

static int decode_storage(const struct resource_info *res, struct slice value, struct arena *a,
                          ProtobufCMessage **ret, struct err *err)
{
	struct unknown u;
	int r;

	if (!unknown_is(value))
		return object_decode(OBJECT_JSON, res->storage_schema, value, a, NULL, ret, NULL,
		                     err);
	r = unknown_open(value, a, &u, err);
	return r < 0 ? r : pb_decode(res->storage_schema, u.raw, a, ret, err);
}

int stored_decode(const struct resource_info *res, struct slice value, int64_t revision,
                  struct arena *a, struct object *ret, struct err *err)
{
	ProtobufCMessage *msg = NULL;
	int r = decode_storage(res, value, a, &msg, err);

	if (r < 0)
		return r;
	if (res->schema != res->storage_schema) {
		msg = convert_message(res->storage_schema, res->schema, msg, a);
		if (!msg)
			return err_set(err, ERR_INTERNAL, "no conversion from %s to %s",
			               res->storage_schema->full_name, res->schema->full_name);
	}
	*ret = object_of(res, res->schema, msg);
	if (ret->meta)
		ret->meta->resource_version =
		    revision ? arena_printf(a, "%lld", (long long)revision) : (char *)"";
	return 0;
}

static char *storage_api_version(const struct resource_info *res, struct arena *a)
{
	return res->storage_group[0]
	           ? arena_printf(a, "%s/%s", res->storage_group, res->storage_version)
	           : arena_strdup(a, res->storage_version);
}

int stored_encode(const struct resource_info *res, const struct object *obj, struct arena *a,
                  struct buf *out, struct err *err)
{
	struct type_meta meta = {storage_api_version(res, a), res->storage_kind};
	_cleanup_buf_ struct buf raw = BUF_INIT;
	const ProtobufCMessage *msg = obj->msg;
	char *revision = obj->meta->resource_version;

	obj->meta->resource_version = (char *)"";
	if (res->schema != res->storage_schema)
		msg = convert_message(res->schema, res->storage_schema, obj->msg, a);
	if (!msg) {
		obj->meta->resource_version = revision;
		return err_set(err, ERR_INTERNAL, "no conversion from %s to %s",
		               res->schema->full_name, res->storage_schema->full_name);
	}
	if (res->storage_json) {
		object_encode(OBJECT_JSON, res->storage_schema, msg, &meta, out);
	} else {
		pb_encode(res->storage_schema, msg, &raw);
		unknown_wrap(&meta, buf_view(&raw), out);
	}
	obj->meta->resource_version = revision;
	return 0;
}

/* The raw message in an envelope. */
static int raw_of(struct slice value, struct slice *ret, struct err *err)
{
	struct wire w = wire_of(slice_skip(value, 4));

	*ret = SLICE_EMPTY;
	if (!unknown_is(value))
		return err_set(err, ERR_CORRUPT, "stored value has no envelope");
	while (wire_next(&w))
		if (w.field == 2 && w.type == 2)
			*ret = w.bytes;
	return w.bad ? err_set(err, ERR_CORRUPT, "malformed envelope of a stored value") : 0;
}

/* Where the resourceVersion (field 6) is in the metadata, or where it belongs: [*from, *to). */
static bool revision_place(struct slice meta, size_t *from, size_t *to)
{
	enum { RESOURCE_VERSION = 6 };
	struct wire w = wire_of(meta);

	*from = *to = meta.len;
	for (size_t at = 0; wire_next(&w); at = (size_t)(w.at - meta.data)) {
		if (w.field < RESOURCE_VERSION)
			continue;
		*from = at;
		*to = w.field == RESOURCE_VERSION ? (size_t)(w.at - meta.data) : at;
		break;
	}
	return !w.bad;
}

static int raw_with_revision(struct slice value, int64_t revision, bool meta_only, struct buf *out,
                             struct err *err)
{
	struct slice raw, meta, rest;
	char text[24];
	int len = revision ? snprintf(text, sizeof(text), "%lld", (long long)revision) : 0;
	size_t n = (size_t)len, from, to;
	struct wire w;
	int r = raw_of(value, &raw, err);

	if (r < 0)
		return r;
	w = wire_of(raw);
	/* Upstream's encoders write fields in order, and metadata is the first field of all kinds.
	 */
	if (!wire_next(&w) || w.field != 1 || w.type != 2 || !revision_place(w.bytes, &from, &to))
		return err_set(err, ERR_CORRUPT, "stored object does not begin with its metadata");
	meta = w.bytes;
	rest = slice_of(w.at, (size_t)(w.end - w.at));
	buf_reserve(out, raw.len + 32);
	buf_byte(out, 1 << 3 | 2);
	wire_put_varint(out, meta.len - (to - from) + n + 2);
	buf_add(out, meta.data, from);
	wire_put_bytes(out, 6, slice_of(text, n));
	buf_slice(out, slice_skip(meta, to));
	if (!meta_only)
		buf_slice(out, rest);
	return 0;
}

int stored_raw(struct slice value, int64_t revision, struct buf *out, struct err *err)
{
	return raw_with_revision(value, revision, false, out, err);
}

int stored_raw_metadata(struct slice value, int64_t revision, struct buf *out, struct err *err)
{
	return raw_with_revision(value, revision, true, out, err);
}
