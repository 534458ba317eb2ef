/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/random_json.h"

enum { POOL = 5, ITEMS_MAX = 3, DEPTH_MAX = 14 };

struct maker {
	struct rng *r;
	struct arena *a;
	unsigned share;
};

static bool percent(struct rng *r, unsigned n)
{
	return rng_below(r, 100) < n;
}

struct jvalue *random_json(struct rng *r, unsigned depth, struct arena *a)
{
	static const char *const texts[] = {"", "a", "b", "~/", "\xc3\xa4\"\\", "0"};
	uint64_t kind = rng_below(r, depth ? 7 : 5), n = rng_below(r, 4);
	struct jvalue *v;

	switch (kind) {
	case 0:
		return jvalue_null(a);
	case 1:
		return jvalue_bool(a, n & 1);
	case 2:
		return jvalue_int(a, (int64_t)n - 1);
	case 3:
		return jvalue_double(a, (double)n + 0.5);
	case 4:
		return jvalue_str(a, texts[rng_below(r, ARRAY_LEN(texts))]);
	case 5:
		v = jvalue_array(a);
		for (uint64_t i = 0; i < n; i++)
			jvalue_append(a, v, random_json(r, depth - 1, a));
		return v;
	}
	v = jvalue_object(a);
	for (uint64_t i = 0; i < n; i++)
		jvalue_set(a, v, texts[rng_below(r, ARRAY_LEN(texts))],
		           random_json(r, depth - 1, a));
	return v;
}

static struct jvalue *make_message(struct maker *m, const struct schema_message *message,
                                   unsigned depth);

/* The scalar number `n` of a type; different for different n. */
static struct jvalue *scalar(struct maker *m, const struct schema_field *f, uint64_t n)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return jvalue_str(m->a, arena_printf(m->a, "s%d", (int)n));
	case PROTOBUF_C_TYPE_BYTES:
		return jvalue_str(m->a,
		                  (const char *[]){"czA=", "czE=", "czI=", "czM=", "czQ="}[n]);
	case PROTOBUF_C_TYPE_BOOL:
		return jvalue_bool(m->a, true);
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FLOAT:
		return jvalue_double(m->a, (double)n + 0.5);
	default:
		return jvalue_int(m->a, (int64_t)n + 1);
	}
}

static struct jvalue *parse(struct maker *m, const char *text)
{
	struct jvalue *v;

	return jvalue_parse(slice_str(text), m->a, NULL, &v, NULL) < 0 ? NULL : v;
}

/* Of messages that are no object of their fields: their texts, with a number in. */
static struct jvalue *special(struct maker *m, const struct schema_message *message, uint64_t n)
{
	static const char *const formats[] = {
	    [SCHEMA_TIME] = "\"2024-01-01T00:00:0%dZ\"",
	    [SCHEMA_MICRO_TIME] = "\"2024-01-01T00:00:00.00000%dZ\"",
	    [SCHEMA_DURATION] = "\"1h0m%ds\"",
	    [SCHEMA_QUANTITY] = "\"1%dm\"",
	    [SCHEMA_INT_OR_STRING] = "\"s%d\"",
	    [SCHEMA_RAW_EXTENSION] = "{\"k\":{\"n\":%d}}",
	    [SCHEMA_FIELDS_V1] = "{\"f:x%d\":{}}",
	    [SCHEMA_JSON] = "{\"k\":%d}",
	    [SCHEMA_JSON_SCHEMA_OR_BOOL] = "{\"type\":\"s%d\"}",
	    [SCHEMA_JSON_SCHEMA_OR_ARRAY] = "{\"type\":\"s%d\"}",
	    [SCHEMA_JSON_SCHEMA_OR_STRING_ARRAY] = "[\"s%d\"]",
	    [SCHEMA_STRING_LIST] = "[\"s%d\",\"t\"]",
	};
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (message->special == SCHEMA_INT_OR_STRING && percent(m->r, 50))
		return jvalue_int(m->a, (int64_t)n + 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	buf_printf(&text, formats[message->special], (int)n + 1);
#pragma GCC diagnostic pop
	return parse(m, (const char *)text.data);
}

static struct jvalue *element(struct maker *m, const struct schema_field *f, uint64_t n,
                              unsigned depth)
{
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return scalar(m, f, n);
	if (f->message->special != SCHEMA_PLAIN)
		return special(m, f->message, n);
	return make_message(m, f->message, depth);
}

static void set_key(struct maker *m, struct jvalue *item, const struct schema_message *message,
                    const char *name, uint64_t n)
{
	const struct schema_json *j = schema_json_find(message, name, strlen(name));

	if (j)
		jvalue_set(m->a, item, name, element(m, j->field, n, 0));
}

/* The keys of server-side apply and that of strategic merges; what has a default may be left out,
 * but for the first. */
static void set_keys(struct maker *m, struct jvalue *item, const struct schema_field *list,
                     uint64_t n)
{
	const struct schema_extra *e = list->extra;

	for (size_t i = 0; e->list_map_keys && e->list_map_keys[i]; i++) {
		const char *key = e->list_map_keys[i];
		const struct schema_json *j = schema_json_find(list->message, key, strlen(key));

		if (i && j && j->field->extra->default_json && percent(m->r, 50))
			jvalue_del(item, key);
		else
			set_key(m, item, list->message, key, n);
	}
	if (e->patch_merge_key)
		set_key(m, item, list->message, e->patch_merge_key, n);
}

static struct jvalue *make_list(struct maker *m, const struct schema_field *f, unsigned depth)
{
	struct jvalue *list = jvalue_array(m->a);
	uint64_t n = 1 + rng_below(m->r, ITEMS_MAX), at = rng_below(m->r, POOL);
	uint64_t step = percent(m->r, 50) ? 1 : 2; /* POOL is prime: no number comes twice */

	if (f->type == PROTOBUF_C_TYPE_BOOL)
		n = 1;
	for (uint64_t i = 0; i < n; i++) {
		struct jvalue *item = element(m, f, (at + i * step) % POOL, depth);

		if (item->kind == JVALUE_OBJECT && f->message->special == SCHEMA_PLAIN)
			set_keys(m, item, f, (at + i * step) % POOL);
		jvalue_append(m->a, list, item);
	}
	return list;
}

static struct jvalue *make_map(struct maker *m, const struct schema_field *f, unsigned depth)
{
	struct jvalue *map = jvalue_object(m->a);
	uint64_t n = 1 + rng_below(m->r, ITEMS_MAX);

	for (uint64_t i = 0; i < n; i++)
		jvalue_set(m->a, map, arena_printf(m->a, "k%d", (int)rng_below(m->r, POOL)),
		           f->message->fields[1].flags & SCHEMA_REPEATED
		               ? make_list(m, &f->message->fields[1], depth)
		               : element(m, &f->message->fields[1], rng_below(m->r, POOL), depth));
	return map;
}

static bool is_metadata(const struct schema_message *message)
{
	return strcmp(message->full_name, "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta") == 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names;
}

static bool wanted(const struct schema_message *message, const char *name)
{
	static const char *const metadata[] = {"labels", "annotations", "finalizers",
	                                       "ownerReferences", NULL};
	/* The server makes these from others, whatever was sent. */
	static const char *const derived[] = {"podCIDRs", "serviceAccount", NULL};

	return is_metadata(message) ? is_one_of(name, metadata) : !is_one_of(name, derived);
}

static struct jvalue *api_version(const struct schema_message *kind, struct arena *a)
{
	return jvalue_str(a, kind->group[0] ? arena_printf(a, "%s/%s", kind->group, kind->version)
	                                    : kind->version);
}

/* What JSON always shows: as a zero or null, when nobody sets it. */
static bool always_there(const struct schema_field *f)
{
	bool inside =
	    f->type == PROTOBUF_C_TYPE_MESSAGE && !(f->flags & (SCHEMA_REPEATED | SCHEMA_POINTER));

	if (f->flags & SCHEMA_OMITZERO)
		return false;
	return inside || !(f->flags & SCHEMA_OMITEMPTY);
}

static struct jvalue *make_message(struct maker *m, const struct schema_message *message,
                                   unsigned depth)
{
	struct jvalue *v = jvalue_object(m->a);

	if (depth && message->kind) {
		jvalue_set(m->a, v, "apiVersion", api_version(message, m->a));
		jvalue_set(m->a, v, "kind", jvalue_str(m->a, message->kind));
	}
	for (size_t i = 0; i < message->n_json; i++) {
		const struct schema_json *j = &message->json[i];
		const struct schema_field *f = j->field;
		bool deep =
		    f->type == PROTOBUF_C_TYPE_MESSAGE && f->message->special <= SCHEMA_MAP_ENTRY;

		if (!wanted(message, j->name) || (deep && depth + 1 >= DEPTH_MAX) ||
		    !(always_there(f) || percent(m->r, m->share / (1 + depth / 3))))
			continue;
		struct jvalue *member = f->flags & SCHEMA_MAP ? make_map(m, f, depth + 1)
		                        : f->flags & SCHEMA_REPEATED
		                            ? make_list(m, f, depth + 1)
		                            : element(m, f, rng_below(m->r, POOL), depth + 1);
		/* An object of nothing is left out with its parent, where it may be. */
		if (member->n || always_there(f) ||
		    (member->kind != JVALUE_OBJECT && member->kind != JVALUE_ARRAY))
			jvalue_set(m->a, v, j->name, member);
	}
	return v;
}

struct jvalue *random_document(struct rng *r, const struct schema_message *kind, unsigned share,
                               struct arena *a)
{
	struct maker m = {r, a, share};
	struct jvalue *v = jvalue_object(a), *body = make_message(&m, kind, 0);
	struct jvalue *meta = jvalue_get(body, "metadata");

	jvalue_set(a, v, "apiVersion",
	           jvalue_str(a, kind->group[0]
	                             ? arena_printf(a, "%s/%s", kind->group, kind->version)
	                             : kind->version));
	jvalue_set(a, v, "kind", jvalue_str(a, kind->kind));
	if (!meta)
		meta = jvalue_object(a);
	jvalue_set(a, meta, "name", jvalue_str(a, "x"));
	jvalue_set(a, v, "metadata", meta);
	for (uint32_t i = 0; i < body->n; i++)
		if (strcmp(body->members[i].key, "status") != 0)
			jvalue_set(a, v, body->members[i].key, body->members[i].value);
	return v;
}
