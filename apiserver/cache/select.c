/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/select.h"

#include "common/codec/fields.h"
#include "common/codec/labels.h"

static const char *label_get(const void *o, const char *key)
{
	return cache_object_label(o, key);
}

static bool fields_match(const struct field_selector *s, const struct cache_object *o)
{
	for (size_t i = 0; i < s->n; i++) {
		struct slice value = cache_object_field(o, s->at[i].field);

		if (slice_eq_str(value, s->at[i].value) == s->at[i].not_equal)
			return false;
	}
	return true;
}

static bool key_matches(const struct cache_selection *s, const struct cache_object *o)
{
	struct slice key = cache_object_key(o);

	return slice_has_prefix(key, s->key_prefix) && (!s->key.len || slice_eq(key, s->key));
}

bool cache_selection_matches(const struct cache_selection *s, const struct cache_object *o)
{
	return key_matches(s, o) && (!s->labels || label_selector_match(s->labels, label_get, o)) &&
	       (!s->fields || fields_match(s->fields, o));
}

bool cache_selection_is_range(const struct cache_selection *s)
{
	return !s->key.len && (!s->labels || label_selector_empty(s->labels)) &&
	       (!s->fields || !s->fields->n);
}

bool cache_selection_event(const struct cache_selection *s, const struct cache_event *e,
                           enum cache_event_type *ret_type, bool *ret_prev)
{
	bool is = e->object && cache_selection_matches(s, e->object);
	bool was = e->prev && cache_selection_matches(s, e->prev);

	*ret_prev = !is;
	*ret_type = !is ? CACHE_DELETED : was ? CACHE_MODIFIED : CACHE_ADDED;
	return is || was;
}
