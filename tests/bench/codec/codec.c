/* SPDX-License-Identifier: Apache-2.0 */
/* Microseconds a call of the object walkers: `codec-bench FILE.json [ROUNDS]`. Not a test: timings
 * are for people who compare two builds on one machine. */
#include <stdio.h>
#include "common/base/clock.h"
#include "proto/codec.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"

struct bench {
	const struct schema_message *schema;
	struct slice json, pb;
	ProtobufCMessage *msg;
	struct arena arena;
	struct buf out;
};

static void do_json_decode(struct bench *b)
{
	struct json_report rep = {.arena = &b->arena};
	ProtobufCMessage *msg;

	arena_reset(&b->arena);
	ERR_IGNORE(json_decode(b->schema, b->json, &b->arena, &rep, &msg, NULL, NULL)); /* timed */
}

static void do_json_encode(struct bench *b)
{
	buf_clear(&b->out);
	json_encode(b->schema, b->msg, NULL, &b->out);
}

static void do_pb_decode(struct bench *b)
{
	ProtobufCMessage *msg;

	arena_reset(&b->arena);
	ERR_IGNORE(pb_decode(b->schema, b->pb, &b->arena, &msg, NULL)); /* timed */
}

static void do_pb_encode(struct bench *b)
{
	buf_clear(&b->out);
	pb_encode(b->schema, b->msg, &b->out);
}

static void do_copy(struct bench *b)
{
	arena_reset(&b->arena);
	msg_copy(b->schema, b->msg, &b->arena);
}

static void do_transcode(struct bench *b)
{
	buf_clear(&b->out);
	ERR_IGNORE(object_transcode(OBJECT_JSON, b->schema, b->pb, NULL, false, &b->out, NULL));
}

static int load(const char *path, struct arena *a, struct bench *b, struct err *err)
{
	struct buf text = BUF_INIT, pb = BUF_INIT;
	struct type_meta meta;
	char chunk[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	if (!f)
		return err_set(err, ERR_IO, "cannot open %s", path);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&text, chunk, n);
	fclose(f);
	b->json = slice_of(arena_memdup(a, text.data, text.len), text.len);
	buf_deinit(&text);
	int k = object_type_meta(OBJECT_JSON, b->json, a, &meta, err);
	if (k < 0)
		return k;
	const char *slash = strchr(meta.api_version, '/');
	b->schema = schema_by_gvk(
	    slash ? arena_strndup(a, meta.api_version, (size_t)(slash - meta.api_version)) : "",
	    slash ? slash + 1 : meta.api_version, meta.kind);
	if (!b->schema)
		return err_set(err, ERR_NOT_FOUND, "no schema for %s", meta.kind);
	k = json_decode(b->schema, b->json, a, NULL, &b->msg, NULL, err);
	if (k < 0)
		return k;
	pb_encode(b->schema, b->msg, &pb);
	b->pb = slice_of(arena_memdup(a, pb.data, pb.len), pb.len);
	buf_deinit(&pb);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(struct bench *);
	} cases[] = {{"json decode", do_json_decode},
	             {"json encode", do_json_encode},
	             {"protobuf decode", do_pb_decode},
	             {"protobuf encode", do_pb_encode},
	             {"copy", do_copy},
	             {"transcode", do_transcode}};
	_cleanup_arena_ struct arena a = {0};
	struct bench b = {0};
	struct err err = ERR_INIT;
	int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20000;

	if (argc < 2 || load(argv[1], &a, &b, &err) < 0) {
		fprintf(stderr, "usage: codec-bench FILE.json [ROUNDS]\n%s\n", err.text);
		return 1;
	}
	printf("%s: %zu bytes of JSON, %zu of protobuf\n", b.schema->name, b.json.len, b.pb.len);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t start = clock_mono_ns();

		for (int r = 0; r < rounds; r++)
			cases[i].fn(&b);
		printf("%-16s %8.2f us\n", cases[i].name,
		       (double)(clock_mono_ns() - start) / 1e3 / rounds);
	}
	arena_deinit(&b.arena);
	buf_deinit(&b.out);
	return 0;
}
