/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/codec.h"

#include <stdio.h>
#include "common/codec/yaml.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"
#include "proto/pb_wire.h"
#include "proto/walk.h"

static const uint8_t magic[4] = {'k', '8', 's', 0};

bool unknown_is(struct slice body)
{
	return body.len >= sizeof(magic) && memcmp(body.data, magic, sizeof(magic)) == 0;
}

static int malformed(struct err *err)
{
	return err_set(err, ERR_BAD_REQUEST,
	               "couldn't get version/kind; protobuf parse error: malformed envelope");
}

/* Text fields by number into slots; other fields are skipped, field `raw_number` is kept. */
static bool read_texts(struct slice in, struct arena *a, uint32_t first, const char **slots,
                       size_t n_slots, uint32_t sub_number, struct slice *sub, uint32_t raw_number,
                       struct slice *raw)
{
	struct wire w = wire_of(in);
	uint32_t number, type;
	struct slice s;

	while (w.p < w.end) {
		if (!wire_tag(&w, &number, &type))
			return false;
		if (type != WIRE_BYTES) {
			if (!wire_skip(&w, type))
				return false;
			continue;
		}
		if (!wire_bytes(&w, &s))
			return false;
		if (number == sub_number && sub) {
			*sub = s;
		} else if (number == raw_number && raw) {
			*raw = s;
		} else if (number >= first && number - first < n_slots) {
			if (!wire_text_ok(s))
				return false;
			slots[number - first] = arena_strndup(a, s.data, s.len);
		}
	}
	return true;
}

int unknown_open(struct slice body, struct arena *a, struct unknown *ret, struct err *err)
{
	const char *meta[2] = {"", ""}, *content[2] = {"", ""};
	struct slice type_meta = SLICE_EMPTY, raw = SLICE_EMPTY;

	if (!unknown_is(body))
		return err_set(err, ERR_BAD_REQUEST,
		               "provided data does not appear to be a protobuf message, expected "
		               "prefix [107 56 115 0]");
	if (!read_texts(slice_skip(body, sizeof(magic)), a, 3, content, 2, 1, &type_meta, 2,
	                &raw) ||
	    !read_texts(type_meta, a, 1, meta, 2, 0, NULL, 0, NULL))
		return malformed(err);
	*ret = (struct unknown){.meta = {.api_version = meta[0], .kind = meta[1]},
	                        .raw = raw,
	                        .content_encoding = content[0],
	                        .content_type = content[1]};
	return 0;
}

static size_t varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

static void add_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_byte(out, (uint8_t)(v | 0x80));
	buf_byte(out, (uint8_t)v);
}

static void add_header(struct buf *out, uint8_t tag, size_t n)
{
	buf_byte(out, tag);
	add_varint(out, n);
}

static void add_text(struct buf *out, uint8_t tag, const char *s)
{
	size_t n = strlen(s);

	add_header(out, tag, n);
	buf_add(out, s, n);
}

/* Everything before the bytes of `raw`, and what stands behind them. */
static void wrap_head(const struct type_meta *meta, size_t raw_len, struct buf *out)
{
	size_t version = strlen(meta->api_version), kind = strlen(meta->kind);

	buf_add(out, magic, sizeof(magic));
	add_header(out, 0x0a, 2 + varint_size(version) + version + varint_size(kind) + kind);
	add_text(out, 0x0a, meta->api_version);
	add_text(out, 0x12, meta->kind);
	add_header(out, 0x12, raw_len);
}

static void wrap_tail(struct buf *out)
{
	buf_add(out, (const uint8_t[]){0x1a, 0, 0x22, 0}, 4);
}

void unknown_wrap(const struct type_meta *meta, struct slice raw, struct buf *out)
{
	buf_reserve(out, raw.len + 256);
	wrap_head(meta, raw.len, out);
	buf_slice(out, raw);
	wrap_tail(out);
}

/* The schema's own apiVersion and kind, where the caller has none. */
static struct type_meta meta_of(const struct schema_message *schema, const struct type_meta *meta,
                                char text[128])
{
	if (meta)
		return *meta;
	if (!schema->kind)
		return (struct type_meta){"", ""};
	snprintf(text, 128, "%s%s%s", schema->group, *schema->group ? "/" : "", schema->version);
	return (struct type_meta){.api_version = text, .kind = schema->kind};
}

/* Type meta of bodies. */

/* One of the two strings of a JSON body; null leaves it empty. */
static bool read_meta_text(struct json_reader *r, struct slice key, struct slice *ret,
                           struct err *wrong)
{
	static const char *const words[] = {[JSON_BOOL] = "bool",
	                                    [JSON_NUMBER] = "number",
	                                    [JSON_ARRAY] = "array",
	                                    [JSON_OBJECT] = "object"};
	enum json_type type = json_peek(r);

	if (type == JSON_STRING)
		return json_read_string(r, ret);
	if (type > JSON_NULL && wrong->code == ERR_OK)
		err_set(wrong, ERR_BAD_REQUEST,
		        "json: cannot unmarshal %s into Go struct field .%.*s of type string",
		        words[type], SLICE_FMT(key));
	return json_read_raw(r, NULL);
}

static int json_type_meta(struct slice body, struct arena *a, struct type_meta *ret,
                          struct err *err)
{
	struct json_reader r;
	struct slice key, version = SLICE_EMPTY, kind = SLICE_EMPTY;
	struct err wrong = ERR_INIT;

	json_reader_init(&r, body, a);
	enum json_type type = json_peek(&r);
	if (type == JSON_OBJECT) {
		json_object_begin(&r);
		while (json_object_next(&r, &key)) {
			if (slice_eq(key, SLICE_LIT("kind")))
				read_meta_text(&r, key, &kind, &wrong);
			else if (slice_eq(key, SLICE_LIT("apiVersion")))
				read_meta_text(&r, key, &version, &wrong);
			else
				json_read_raw(&r, NULL);
		}
	} else {
		json_read_raw(&r, NULL);
		if (type > JSON_NULL)
			err_set(
			    &wrong, ERR_BAD_REQUEST,
			    "json: cannot unmarshal a value that is not an object into Go value "
			    "of type struct");
	}
	json_end(&r);
	int k = json_reader_status(&r, err);
	if (k == 0 && wrong.code != ERR_OK)
		k = err_set(err, ERR_BAD_REQUEST, "%s", wrong.text);
	if (k < 0)
		return err_prefix(err, "couldn't get version/kind; json parse error"), k;
	*ret = (struct type_meta){.api_version = arena_strndup(a, version.data, version.len),
	                          .kind = arena_strndup(a, kind.data, kind.len)};
	return 0;
}

/* YAML goes through JSON: everything behind it has one way to see a document. */
static int yaml_to_json(struct slice body, struct arena *a, struct json_report *report,
                        struct buf *out, struct err *err)
{
	struct jvalue *tree;
	struct json_report ignored = {.arena = a};
	int k = yaml_parse(body, a, report ? report : &ignored, &tree, err);

	if (k < 0)
		return err_prefix(err, "error converting YAML to JSON"), k;
	jvalue_write(tree, out);
	return 0;
}

int object_type_meta(enum object_format format, struct slice body, struct arena *a,
                     struct type_meta *ret, struct err *err)
{
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct unknown u;
	int k;

	switch (format) {
	case OBJECT_PROTOBUF:
		k = unknown_open(body, a, &u, err);
		if (k == 0)
			*ret = u.meta;
		return k;
	case OBJECT_YAML:
		k = yaml_to_json(body, a, NULL, &json, err);
		return k < 0 ? k : json_type_meta(buf_view(&json), a, ret, err);
	case OBJECT_JSON:
		break;
	}
	return json_type_meta(body, a, ret, err);
}

int object_decode(enum object_format format, const struct schema_message *schema, struct slice body,
                  struct arena *a, struct json_report *report, ProtobufCMessage **ret,
                  struct type_meta *ret_meta, struct err *err)
{
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct unknown u;
	int k;

	switch (format) {
	case OBJECT_PROTOBUF:
		k = unknown_open(body, a, &u, err);
		if (k < 0)
			return k;
		if (ret_meta)
			*ret_meta = u.meta;
		/* The envelope may hold JSON as well: that is how custom resources travel. */
		if (strcmp(u.content_type, "application/json") == 0)
			return json_decode(schema, u.raw, a, report, ret, NULL, err);
		return pb_decode(schema, u.raw, a, ret, err);
	case OBJECT_YAML:
		k = yaml_to_json(body, a, report, &json, err);
		return k < 0 ? k
		             : json_decode(schema, buf_view(&json), a, report, ret, ret_meta, err);
	case OBJECT_JSON:
		break;
	}
	return json_decode(schema, body, a, report, ret, ret_meta, err);
}

void object_encode(enum object_format format, const struct schema_message *schema,
                   const ProtobufCMessage *msg, const struct type_meta *meta, struct buf *out)
{
	_cleanup_buf_ struct buf raw = BUF_INIT;
	_cleanup_arena_ struct arena arena = {0};
	char text[128];
	struct type_meta own;

	switch (format) {
	case OBJECT_PROTOBUF:
		own = meta_of(schema, meta, text);
		pb_encode(schema, msg, &raw);
		unknown_wrap(&own, buf_view(&raw), out);
		break;
	case OBJECT_YAML:
		yaml_write(json_encode_tree(schema, msg, meta, &arena), out);
		break;
	case OBJECT_JSON:
		json_encode(schema, msg, meta, out);
		break;
	}
}

int object_transcode(enum object_format format, const struct schema_message *schema,
                     struct slice pb, const struct type_meta *meta, bool nested, struct buf *out,
                     struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	ProtobufCMessage *msg;
	char text[128];
	struct type_meta own;
	int k;

	if (format == OBJECT_PROTOBUF) {
		own = meta_of(schema, meta, text);
		unknown_wrap(&own, pb, out);
		return 0;
	}
	k = pb_decode(schema, pb, &arena, &msg, err);
	if (k < 0)
		return k;
	own = (struct type_meta){"", ""};
	object_encode(format, schema, msg, nested ? &own : meta, out);
	return 0;
}
