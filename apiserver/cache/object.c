/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/object.h"

#include <assert.h>

static size_t text_bytes(const char *s)
{
	return s ? strlen(s) + 1 : 1;
}

static void text_put(char **at, const char *s, size_t n)
{
	if (n)
		memcpy(*at, s, n);
	(*at)[n] = '\0';
	*at += n + 1;
}

static void text_put_str(char **at, const char *s)
{
	text_put(at, s, text_bytes(s) - 1);
}

static size_t labels_bytes(const struct cache_object_spec *spec)
{
	size_t bytes = 0;

	for (size_t i = 0; i < spec->n_labels; i++)
		bytes += text_bytes(spec->labels[i].key) + text_bytes(spec->labels[i].value);
	return bytes;
}

static size_t fields_bytes(const struct cache_object_spec *spec)
{
	size_t bytes = 0;

	for (size_t i = 0; spec->field_names && spec->field_names[i]; i++)
		bytes += text_bytes(spec->field_values[i]);
	return bytes;
}

struct cache_object *cache_object_new(const struct cache_object_spec *spec, struct blob *blob)
{
	size_t labels_at = spec->key.len + 1, fields_at = labels_at + labels_bytes(spec);
	size_t bytes = offsetof(struct cache_object, key) + fields_at + fields_bytes(spec);
	struct cache_object *o = malloc(MAX(bytes, sizeof(*o)));

	if (!o)
		abort();
	*o = (struct cache_object){.refs = 1,
	                           .key_len = (uint32_t)spec->key.len,
	                           .n_labels = (uint32_t)spec->n_labels,
	                           .labels_at = (uint32_t)labels_at,
	                           .fields_at = (uint32_t)fields_at,
	                           .weight = spec->weight,
	                           .mod_revision = spec->mod_revision,
	                           .create_revision = spec->create_revision,
	                           .blob = blob_ref(blob),
	                           .field_names = spec->field_names};
	char *text = o->key;

	text_put(&text, (const char *)spec->key.data, spec->key.len);
	for (size_t i = 0; i < spec->n_labels; i++) {
		text_put_str(&text, spec->labels[i].key);
		text_put_str(&text, spec->labels[i].value);
	}
	for (size_t i = 0; spec->field_names && spec->field_names[i]; i++)
		text_put_str(&text, spec->field_values[i]);
	assert(text == (char *)o + bytes);
	return o;
}

struct cache_object *cache_object_ref(const struct cache_object *o)
{
	struct cache_object *mine = (struct cache_object *)o;

	if (mine)
		atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
	return mine;
}

void cache_object_unref(const struct cache_object *o)
{
	struct cache_object *mine = (struct cache_object *)o;

	if (!mine || atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) != 1)
		return;
	blob_unref(mine->blob);
	free(mine);
}

static const char *text_next(const char *s)
{
	return s + strlen(s) + 1;
}

const char *cache_object_label(const struct cache_object *o, const char *key)
{
	const char *at = o->key + o->labels_at;

	for (uint32_t i = 0; i < o->n_labels; i++) {
		const char *value = text_next(at);

		if (strcmp(at, key) == 0)
			return value;
		at = text_next(value);
	}
	return NULL;
}

struct slice cache_object_field(const struct cache_object *o, const char *name)
{
	const char *at = o->key + o->fields_at;

	if (strcmp(name, "metadata.name") == 0)
		return cache_object_name(o);
	if (strcmp(name, "metadata.namespace") == 0)
		return cache_object_namespace(o);
	for (size_t i = 0; o->field_names && o->field_names[i]; i++, at = text_next(at))
		if (strcmp(o->field_names[i], name) == 0)
			return slice_str(at);
	return SLICE_EMPTY;
}

struct slice cache_object_namespace(const struct cache_object *o)
{
	const char *slash = memchr(o->key, '/', o->key_len);

	return slash ? slice_of(o->key, (size_t)(slash - o->key)) : SLICE_EMPTY;
}

struct slice cache_object_name(const struct cache_object *o)
{
	const char *slash = memchr(o->key, '/', o->key_len);

	return slash ? slice_skip(cache_object_key(o), (size_t)(slash - o->key) + 1)
	             : cache_object_key(o);
}
