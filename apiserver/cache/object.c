/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/object.h"

#include <assert.h>

static size_t pairs_bytes(const struct cache_pair *p, size_t n)
{
	size_t bytes = n * sizeof(*p);

	for (size_t i = 0; i < n; i++)
		bytes += strlen(p[i].key) + strlen(p[i].value) + 2;
	return bytes;
}

static const char *text_put(char **at, const char *s, size_t n)
{
	char *p = *at;

	memcpy(p, s, n);
	p[n] = '\0';
	*at += n + 1;
	return p;
}

static void pairs_put(struct cache_pair *to, char **text, const struct cache_pair *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to[i].key = text_put(text, from[i].key, strlen(from[i].key));
		to[i].value = text_put(text, from[i].value, strlen(from[i].value));
	}
}

struct cache_object *cache_object_new(const struct cache_object_spec *spec, struct blob *blob)
{
	size_t bytes = sizeof(struct cache_object) + pairs_bytes(spec->labels, spec->n_labels) +
	               pairs_bytes(spec->fields, spec->n_fields) + spec->key.len + 1;
	struct cache_object *o = malloc(bytes);

	if (!o)
		abort();
	struct cache_pair *pairs = (struct cache_pair *)(o + 1);
	char *text = (char *)(pairs + spec->n_labels + spec->n_fields);

	o->refs = 1;
	o->n_labels = (uint32_t)spec->n_labels;
	o->n_fields = (uint32_t)spec->n_fields;
	o->labels = pairs;
	o->fields = pairs + spec->n_labels;
	pairs_put(pairs, &text, spec->labels, spec->n_labels);
	pairs_put(pairs + spec->n_labels, &text, spec->fields, spec->n_fields);
	o->key_len = (uint32_t)spec->key.len;
	o->key = text_put(&text, (const char *)spec->key.data, spec->key.len);
	o->mod_revision = spec->mod_revision;
	o->create_revision = spec->create_revision;
	o->blob = blob_ref(blob);
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

static const char *pair_find(const struct cache_pair *p, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(p[i].key, key) == 0)
			return p[i].value;
	return NULL;
}

const char *cache_object_label(const struct cache_object *o, const char *key)
{
	return pair_find(o->labels, o->n_labels, key);
}

const char *cache_object_field(const struct cache_object *o, const char *key)
{
	return pair_find(o->fields, o->n_fields, key);
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
