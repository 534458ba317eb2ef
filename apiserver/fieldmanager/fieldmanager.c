/* SPDX-License-Identifier: Apache-2.0 */
/* Updates: everything but apply. */
#include "apiserver/fieldmanager/fieldmanager_impl.h"

#include "apiserver/registry/strategy.h"
#include "common/codec/utf8.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"

/* --- the manager ----------------------------------------------------------------------------- */

const char *fieldmanager_name(const char *option, const char *user_agent, struct arena *a)
{
	char *name, *out;
	size_t n;

	if (option && *option)
		return option;
	if (!user_agent)
		return "";
	n = MIN(strcspn(user_agent, "/"), (size_t)MANAGER_NAME_MAX);
	while (n && ((uint8_t)user_agent[n] & 0xc0) == 0x80)
		n--; /* not in the middle of a character */
	name = out = arena_strndup(a, user_agent, n);
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)user_agent[i] >= 0x20 && user_agent[i] != 0x7f)
			*out++ = user_agent[i];
	*out = 0;
	return utf8_valid(slice_of(name, (size_t)(out - name))) ? name : "";
}

const char *fieldmanager_version(const struct resource_info *res, struct arena *a)
{
	return res->group[0] ? arena_printf(a, "%s/%s", res->group, res->version) : res->version;
}

struct managed_entry fieldmanager_self(const struct fieldmanager_request *req, bool apply,
                                       const struct resource_info *res, struct arena *a)
{
	return (struct managed_entry){.manager = *req->manager ? req->manager : "unknown",
	                              .api_version = fieldmanager_version(res, a),
	                              .subresource = req->subresource,
	                              .apply = apply,
	                              .decoded = true,
	                              .changed = true};
}

const MetaV1__Time *fieldmanager_time(int64_t seconds, struct arena *a)
{
	MetaV1__Time *t = arena_new(a, MetaV1__Time);

	meta_v1__time__init(t);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = seconds;
	return t;
}

/* --- fields that are nobody's ---------------------------------------------------------------- */

static bool is_pod(const struct resource_info *res)
{
	return !res->group[0] && strcmp(res->resource, "pods") == 0;
}

struct field_skip fieldmanager_skip(const struct resource_info *res, const char *subresource,
                                    struct arena *a)
{
	/* clang-format off */
	static const char *const system[] = {
		"apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid",
		"metadata.creationTimestamp", "metadata.selfLink", "metadata.clusterName",
		"metadata.generation", "metadata.managedFields", "metadata.resourceVersion",
	};
	/* clang-format on */
	enum { N_SYSTEM = sizeof(system) / sizeof(*system), MORE = 4 };
	const struct strategy *status = registry_strategy(res, "status");
	const char **skip = arena_array(a, const char *, N_SYSTEM + MORE);
	size_t n = N_SYSTEM;

	memcpy(skip, system, sizeof(system));
	if (strcmp(subresource, "status") != 0) {
		if (resource_find(res->group, res->version, res->resource, "status"))
			skip[n++] = "status";
	} else {
		skip[n++] = "spec";
		if (status && status->keeps_metadata)
			skip[n++] = "metadata";
		if (status && status->keeps_labels)
			skip[n++] = "metadata.labels";
		if (is_pod(res)) {
			skip[n++] = "metadata.deletionTimestamp";
			skip[n++] = "metadata.ownerReferences";
		}
	}
	return (struct field_skip){.unwritten = skip + N_SYSTEM, .unowned = skip};
}

struct field_set fieldmanager_strip(struct field_set set, struct arena *a)
{
	struct field_node node = {.elem = {ELEM_FIELD, SLICE_LIT("metadata")}, .member = true};

	return field_set_difference(set, (struct field_set){.at = &node, .n = 1}, a);
}

/* --- updates --------------------------------------------------------------------------------- */

struct field_set fieldmanager_touched(const struct field_diff *d, struct arena *a)
{
	return field_set_union(field_set_union(d->added, d->modified, a), d->removed, a);
}

void fieldmanager_disown(const struct managed *m, struct managed_entry *e, struct field_versions *v)
{
	const struct field_diff *d = field_versions_diff(v, e->api_version);
	struct field_set touched, before, left;

	if (!d) {
		managed_put_set(e, FIELD_SET_EMPTY); /* of a version that is no more */
		return;
	}
	touched = fieldmanager_touched(d, m->a);
	if (field_set_empty(&touched) || !managed_may_touch(e, &touched))
		return;
	before = managed_set(m, e);
	left = field_set_difference(before, touched, m->a);
	if (!field_set_equal(&left, &before))
		managed_put_set(e, left);
}

void fieldmanager_take(struct managed *m, const struct managed_entry *self,
                       struct field_versions *v)
{
	const struct field_diff *d = &v->at[0].diff;
	struct field_set taken =
	    fieldmanager_strip(field_set_union(d->added, d->modified, m->a), m->a);
	struct managed_entry *mine;

	for (size_t i = 0; i < m->n; i++)
		fieldmanager_disown(m, &m->at[i], v);
	if (!field_set_empty(&taken)) {
		mine = managed_find(m, self);
		if (!mine)
			mine = managed_add(m, self);
		managed_put_set(mine, field_set_union(managed_set(m, mine), taken, m->a));
		if (self->time)
			mine->time = self->time;
	}
	managed_drop_empty(m);
}

struct object fieldmanager_bare(const struct object *obj, struct arena *a)
{
	const struct schema_field *metadata = obj->schema->metadata;
	struct object bare = *obj;
	MetaV1__ObjectMeta *meta;

	bare.msg = arena_memdup(a, obj->msg, obj->schema->desc->sizeof_message);
	meta = bare.meta = arena_memdup(a, obj->meta, sizeof(*meta));
	memcpy((char *)bare.msg + metadata->offset, &meta, sizeof(meta));
	meta->n_managed_fields = 0;
	meta->managed_fields = NULL;
	return bare;
}

/* [] and [{}] say: forget them all. */
static bool is_reset(const MetaV1__ObjectMeta *meta)
{
	const MetaV1__ManagedFieldsEntry *e =
	    meta->n_managed_fields == 1 ? meta->managed_fields[0] : NULL;

	if (meta->n_managed_fields == 0)
		return meta->managed_fields; /* a list of none, not no list */
	return e && !e->manager[0] && !e->operation[0] && !e->api_version[0] && !e->time &&
	       !e->fields_type[0] && !e->fields_v1 && !e->subresource[0];
}

static bool same_entries(const MetaV1__ObjectMeta *x, const MetaV1__ObjectMeta *y)
{
	const struct schema_message *schema = schema_of(&meta_v1__managed_fields_entry__descriptor);

	if (x->n_managed_fields != y->n_managed_fields)
		return false;
	for (size_t i = 0; i < x->n_managed_fields; i++)
		if (!msg_equal(schema, &x->managed_fields[i]->base, &y->managed_fields[i]->base))
			return false;
	return true;
}

/* What the client sent counts when it can be read, on the resource itself; else what was there. A
 * client that sends back what it read (the usual case) costs nothing. */
static struct managed read_managed(const struct fieldmanager_request *req, const struct object *obj,
                                   const struct object *old, struct arena *a)
{
	struct managed m;

	if (!*req->subresource) {
		if (is_reset(obj->meta))
			return (struct managed){.a = a};
		if (!(old && same_entries(obj->meta, old->meta)) &&
		    managed_read(obj->meta->managed_fields, obj->meta->n_managed_fields, true, a,
		                 &m, NULL) == 0 &&
		    m.n)
			return m;
	}
	if (!old || managed_read(old->meta->managed_fields, old->meta->n_managed_fields, false, a,
	                         &m, NULL) < 0)
		return (struct managed){.a = a};
	return m;
}

void fieldmanager_update(const struct fieldmanager_request *req, struct object *obj,
                         const struct object *old, struct arena *a)
{
	struct managed_entry self = fieldmanager_self(req, false, obj->res, a);
	struct field_versions v = {.req = req, .res = obj->res, .now = obj->msg, .a = a};
	struct managed m;

	if (!obj->meta)
		return;
	m = read_managed(req, obj, old, a);
	obj->meta->n_managed_fields = 0;
	obj->meta->managed_fields = NULL;
	if (!m.n && old && old->meta->uid[0])
		return; /* nobody ever applied it, nor created it here: it is not tracked */
	v.old = old ? old->msg : pb_new(obj->schema, a);
	v.skip = fieldmanager_skip(obj->res, req->subresource, a).unowned;
	v.at[v.n++] = (struct field_version){
	    self.api_version, field_diff_of(value_of_message(obj->schema, v.old, a),
	                                    value_of_message(obj->schema, v.now, a),
	                                    field_type_root(obj->schema), v.skip, a)};
	/* Scaling leaves no time: there the entries of the Scale are merged into those of the
	 * workload, which does not know theirs. */
	if (strcmp(req->subresource, "scale") != 0)
		self.time = fieldmanager_time(req->now_s, a);
	fieldmanager_take(&m, &self, &v);
	managed_cap(&m);
	managed_write(&m, obj->meta);
}

void fieldmanager_keep_times(struct object *obj, const struct object *old, struct arena *a)
{
	struct object x, y;

	if (!obj->meta || obj->meta->n_managed_fields == 0 || same_entries(obj->meta, old->meta) ||
	    !managed_fields_equal(obj->meta, old->meta))
		return;
	x = fieldmanager_bare(obj, a);
	y = fieldmanager_bare(old, a);
	x.meta->resource_version = y.meta->resource_version;
	if (!msg_equal(obj->schema, x.msg, y.msg))
		return;
	obj->meta->n_managed_fields = old->meta->n_managed_fields;
	obj->meta->managed_fields = old->meta->managed_fields;
}
