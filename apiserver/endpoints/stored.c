/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/stored.h"

#include <stdio.h>

#include "apiserver/cache/object.h"
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

/* A stored object in parts: what stands around the place of its resourceVersion. */
struct raw_parts {
	struct slice raw, before, after; /* of the metadata */
	struct slice rest;               /* of the message */
	char revision[24];
	size_t revision_len;
};

static size_t meta_bytes(const struct raw_parts *p)
{
	return p->before.len + p->after.len + 2 + p->revision_len;
}

static int raw_parts(struct slice value, int64_t revision, struct raw_parts *ret, struct err *err)
{
	size_t from, to;
	struct wire w;
	int r = raw_of(value, &ret->raw, err);

	if (r < 0)
		return r;
	w = wire_of(ret->raw);
	/* Upstream's encoders write fields in order, and metadata is the first field of all kinds.
	 */
	if (!wire_next(&w) || w.field != 1 || w.type != 2 || !revision_place(w.bytes, &from, &to))
		return err_set(err, ERR_CORRUPT, "stored object does not begin with its metadata");
	ret->before = slice_of(w.bytes.data, from);
	ret->after = slice_skip(w.bytes, to);
	ret->rest = slice_of(w.at, (size_t)(w.end - w.at));
	r = revision ? snprintf(ret->revision, sizeof(ret->revision), "%lld", (long long)revision)
	             : 0;
	ret->revision_len = (size_t)r;
	return 0;
}

static int raw_with_revision(struct slice value, int64_t revision, bool meta_only, struct buf *out,
                             struct err *err)
{
	struct raw_parts p;
	int r = raw_parts(value, revision, &p, err);

	if (r < 0)
		return r;
	buf_reserve(out, p.raw.len + 32);
	buf_byte(out, 1 << 3 | 2);
	wire_put_varint(out, meta_bytes(&p));
	buf_slice(out, p.before);
	wire_put_bytes(out, 6, slice_of(p.revision, p.revision_len));
	buf_slice(out, p.after);
	if (!meta_only)
		buf_slice(out, p.rest);
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

size_t stored_raw_bytes(struct slice value, int64_t revision)
{
	struct raw_parts p;

	if (raw_parts(value, revision, &p, NULL) < 0)
		return 0;
	return 1 + wire_varint_bytes(meta_bytes(&p)) + meta_bytes(&p) + p.rest.len;
}

static char *text_of(struct slice s, struct arena *a)
{
	return arena_strndup(a, s.data, s.len);
}

/* An entry of a map from string to string; either half may be left out. */
static struct cache_pair label_of(struct slice entry, struct arena *a)
{
	struct wire w = wire_of(entry);
	struct cache_pair ret = {"", ""};

	while (wire_next(&w)) {
		if (w.field == 1 && w.type == 2)
			ret.key = text_of(w.bytes, a);
		else if (w.field == 2 && w.type == 2)
			ret.value = text_of(w.bytes, a);
	}
	return ret;
}

int stored_labels(struct slice value, struct arena *a, const struct cache_pair **ret, size_t *ret_n)
{
	enum { LABELS = 11 };
	struct raw_parts p;
	struct cache_pair *labels;
	size_t n = 0;
	int r = raw_parts(value, 0, &p, NULL);

	if (r < 0)
		return r;
	for (struct wire w = wire_of(p.after); wire_next(&w);)
		n += w.field == LABELS;
	labels = arena_array(a, struct cache_pair, n);
	n = 0;
	for (struct wire w = wire_of(p.after); wire_next(&w);)
		if (w.field == LABELS)
			labels[n++] = label_of(w.bytes, a);
	*ret = labels;
	*ret_n = n;
	return 0;
}
