/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/managed.h"

#include <stdlib.h>
#include "proto/pb_decode.h"
#include "proto/schema.h"

static const char FIELDS_V1[] = "FieldsV1";

static struct slice raw_of(const MetaV1__ManagedFieldsEntry *e)
{
	return e->fields_v1 && e->fields_v1->raw.len
	           ? slice_of(e->fields_v1->raw.data, e->fields_v1->raw.len)
	           : SLICE_LIT("{}");
}

static int64_t seconds_of(const struct managed_entry *e)
{
	return e->time ? e->time->seconds : 0;
}

/* --- reading --------------------------------------------------------------------------------- */

static int check_entry(const MetaV1__ManagedFieldsEntry *e, size_t i, struct err *err)
{
	if (strcmp(e->operation, "Apply") != 0 && strcmp(e->operation, "Update") != 0)
		return err_set(err, ERR_BAD_REQUEST, "operation must be `Apply` or `Update`");
	if (!e->api_version[0])
		return err_set(err, ERR_BAD_REQUEST, "apiVersion must not be empty");
	if (!e->fields_type[0])
		return err_set(err, ERR_BAD_REQUEST,
		               "missing fieldsType in managed fields entry %zu", i);
	if (strcmp(e->fields_type, FIELDS_V1) != 0)
		return err_set(err, ERR_BAD_REQUEST,
		               "invalid fieldsType \"%s\" in managed fields entry %zu",
		               e->fields_type, i);
	return 0;
}

int managed_read(MetaV1__ManagedFieldsEntry *const *entries, size_t n, bool decode, struct arena *a,
                 struct managed *ret, struct err *err)
{
	*ret = (struct managed){.a = a};
	for (size_t i = 0; i < n; i++) {
		const MetaV1__ManagedFieldsEntry *e = entries[i];
		struct managed_entry entry = {.manager = e->manager,
		                              .api_version = e->api_version,
		                              .subresource = e->subresource,
		                              .apply = strcmp(e->operation, "Apply") == 0,
		                              .time = e->time,
		                              .source = e,
		                              .decoded = decode,
		                              .changed = decode};
		struct managed_entry *twin;
		int r = check_entry(e, i, err);

		if (r == 0 && decode)
			r = field_set_read(raw_of(e), a, &entry.set, err);
		if (r < 0)
			return r;
		twin = managed_find(ret, &entry);
		if (twin)
			*twin = entry;
		else
			managed_add(ret, &entry);
	}
	return 0;
}

/* --- entries --------------------------------------------------------------------------------- */

struct field_set managed_set(const struct managed *m, struct managed_entry *e)
{
	if (!e->decoded) {
		/* It was read before it was stored: what cannot be read is nobody's. */
		if (field_set_read(raw_of(e->source), m->a, &e->set, NULL) < 0)
			e->set = FIELD_SET_EMPTY;
		e->decoded = true;
	}
	return e->set;
}

void managed_put_set(struct managed_entry *e, struct field_set set)
{
	e->set = set;
	e->decoded = e->changed = true;
}

bool managed_may_touch(const struct managed_entry *e, const struct field_set *s)
{
	struct slice raw = e->decoded ? SLICE_EMPTY : raw_of(e->source);

	if (e->decoded)
		return true;
	for (uint32_t i = 0; i < s->n; i++) {
		struct slice name = s->at[i].elem.text;

		if (memmem(raw.data, raw.len, name.data, name.len))
			return true;
	}
	return raw.len <= 2; /* an empty one is to vanish */
}

struct managed_entry *managed_find(const struct managed *m, const struct managed_entry *id)
{
	for (size_t i = 0; i < m->n; i++) {
		struct managed_entry *e = &m->at[i];

		if (e->apply == id->apply && strcmp(e->manager, id->manager) == 0 &&
		    strcmp(e->subresource, id->subresource) == 0 &&
		    (e->apply || strcmp(e->api_version, id->api_version) == 0))
			return e;
	}
	return NULL;
}

struct managed_entry *managed_add(struct managed *m, const struct managed_entry *e)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 8;

		m->at = arena_grow(m->a, m->at, m->cap * sizeof(*m->at), cap * sizeof(*m->at));
		m->cap = cap;
	}
	m->at[m->n] = *e;
	return &m->at[m->n++];
}

static void drop(struct managed *m, size_t i)
{
	memmove(&m->at[i], &m->at[i + 1], (m->n - i - 1) * sizeof(*m->at));
	m->n--;
}

void managed_drop_empty(struct managed *m)
{
	for (size_t i = m->n; i-- > 0;)
		if (m->at[i].decoded && field_set_empty(&m->at[i].set))
			drop(m, i);
}

/* --- the limit ------------------------------------------------------------------------------- */

static int age_cmp(const void *a, const void *b)
{
	const struct managed_entry *x = *(struct managed_entry *const *)a;
	const struct managed_entry *y = *(struct managed_entry *const *)b;
	int order;

	if (seconds_of(x) != seconds_of(y))
		return seconds_of(x) < seconds_of(y) ? -1 : 1;
	order = strcmp(x->manager, y->manager);
	if (!order)
		order = strcmp(x->api_version, y->api_version);
	return order ? order : strcmp(x->subresource, y->subresource);
}

/* The first of a version gives its place to the bucket, the others of that version their fields:
 * one entry less for each but the first. */
void managed_cap(struct managed *m)
{
	struct managed_entry **old = arena_array(m->a, struct managed_entry *, m->n);
	size_t n = 0, left;

	for (size_t i = 0; i < m->n; i++)
		if (!m->at[i].apply)
			old[n++] = &m->at[i];
	if (n <= MANAGED_UPDATERS_MAX)
		return;
	qsort(old, n, sizeof(*old), age_cmp);
	left = n;
	for (size_t i = 1; i < n && left > MANAGED_UPDATERS_MAX; i++) {
		struct managed_entry *first = NULL;

		for (size_t j = 0; j < i && !first; j++)
			if (strcmp(old[j]->api_version, old[i]->api_version) == 0 &&
			    !(old[j]->decoded && field_set_empty(&old[j]->set)))
				first = old[j];
		if (!first)
			continue;
		managed_put_set(
		    first, field_set_union(managed_set(m, first), managed_set(m, old[i]), m->a));
		first->manager = "ancient-changes";
		first->subresource = "";
		first->time = old[i]->time;
		managed_put_set(old[i], FIELD_SET_EMPTY);
		left--;
	}
	managed_drop_empty(m);
}

/* --- writing --------------------------------------------------------------------------------- */

static int entry_cmp(const void *a, const void *b)
{
	const struct managed_entry *x = a, *y = b;

	if (x->apply != y->apply)
		return x->apply ? -1 : 1;
	return age_cmp(&a, &b);
}

static MetaV1__ManagedFieldsEntry *encode(const struct managed_entry *e, struct arena *a)
{
	const struct schema_message *schema = schema_of(&meta_v1__managed_fields_entry__descriptor);
	MetaV1__ManagedFieldsEntry *ret = (MetaV1__ManagedFieldsEntry *)pb_new(schema, a);
	const struct schema_message *fields = schema_of(&meta_v1__fields_v1__descriptor);
	_cleanup_buf_ struct buf out = BUF_INIT;

	ret->manager = (char *)e->manager;
	ret->operation = (char *)(e->apply ? "Apply" : "Update");
	ret->api_version = (char *)e->api_version;
	ret->subresource = (char *)e->subresource;
	ret->fields_type = (char *)FIELDS_V1;
	ret->time = (MetaV1__Time *)e->time;
	ret->fields_v1 = (MetaV1__FieldsV1 *)pb_new(fields, a);
	field_set_write(&e->set, &out);
	ret->fields_v1->has_raw = 1;
	ret->fields_v1->raw.data = arena_memdup(a, out.data, out.len);
	ret->fields_v1->raw.len = out.len;
	return ret;
}

/* What was read may serve again when only its place in the list is new. */
static bool as_read(const struct managed_entry *e)
{
	return e->source && !e->changed && e->source->time == e->time &&
	       strcmp(e->source->api_version, e->api_version) == 0;
}

void managed_write(const struct managed *m, MetaV1__ObjectMeta *meta)
{
	struct managed_entry *sorted = arena_memdup(m->a, m->at, m->n * sizeof(*sorted));

	if (m->n > 1)
		qsort(sorted, m->n, sizeof(*sorted), entry_cmp);
	meta->managed_fields = m->n ? arena_array(m->a, MetaV1__ManagedFieldsEntry *, m->n) : NULL;
	meta->n_managed_fields = 0;
	for (size_t i = 0; i < m->n; i++) {
		struct managed_entry *e = &sorted[i];

		if (e->decoded && field_set_empty(&e->set))
			continue;
		if (!as_read(e))
			managed_set(m, e);
		meta->managed_fields[meta->n_managed_fields++] =
		    as_read(e) ? (MetaV1__ManagedFieldsEntry *)e->source : encode(e, m->a);
	}
	if (!meta->n_managed_fields)
		meta->managed_fields = NULL;
}

static bool entries_equal(const MetaV1__ManagedFieldsEntry *x, const MetaV1__ManagedFieldsEntry *y)
{
	return x == y ||
	       (strcmp(x->manager, y->manager) == 0 && strcmp(x->operation, y->operation) == 0 &&
	        strcmp(x->api_version, y->api_version) == 0 &&
	        strcmp(x->subresource, y->subresource) == 0 && slice_eq(raw_of(x), raw_of(y)));
}

/* The order depends on the times, so that each looks for its like. */
bool managed_fields_equal(const MetaV1__ObjectMeta *x, const MetaV1__ObjectMeta *y)
{
	if (x->n_managed_fields != y->n_managed_fields)
		return false;
	for (size_t i = 0; i < x->n_managed_fields; i++) {
		bool found = false;

		for (size_t j = 0; j < y->n_managed_fields && !found; j++)
			found = entries_equal(x->managed_fields[i], y->managed_fields[j]);
		if (!found)
			return false;
	}
	return true;
}
