/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side apply: merge what the manager wants, remove what it no longer wants, refuse what
 * others own. Works on document trees; the result is decoded at the end. */
#include "apiserver/fieldmanager/fieldmanager_impl.h"

#include <stdlib.h>
#include "apiserver/fieldmanager/last_applied.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"

/* --- the body -------------------------------------------------------------------------------- */

static const char *body_version(const struct jvalue *body)
{
	return jvalue_get_str(body, "apiVersion", "");
}

static int check_kind(const struct apply *ap, struct err *err)
{
	const char *version = body_version(ap->body), *kind = jvalue_get_str(ap->body, "kind", "");
	const char *slash = strchr(version, '/');
	int group = slash ? (int)(slash - version) : 0;

	if (strcmp(version, ap->version) == 0 && strcmp(kind, ap->res->kind) == 0)
		return 0;
	return err_set(err, ERR_BAD_REQUEST, "invalid object type: %.*s/%s, Kind=%s", group,
	               version, slash ? slash + 1 : version, kind);
}

/* "ns/name; apps/v1, Kind=Deployment" */
static const char *body_id(const struct apply *ap)
{
	const struct jvalue *meta = jvalue_get(ap->body, "metadata");

	return arena_printf(ap->a, "%s/%s; %s%s, Kind=%s", jvalue_get_str(meta, "namespace", ""),
	                    jvalue_get_str(meta, "name", ""), ap->res->group[0] ? "" : "/",
	                    ap->version, ap->res->kind);
}

static int check_body(const struct apply *ap, struct err *err)
{
	const struct jvalue *managed =
	    jvalue_get(jvalue_get(ap->body, "metadata"), "managedFields");
	_cleanup_buf_ struct buf faults = BUF_INIT;
	int r = check_kind(ap, err);
	size_t n;

	if (r < 0)
		return r;
	if (managed && managed->kind != JVALUE_NULL)
		return err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
	n = field_check(ap->body, ap->type, ap->a, &faults);
	if (!n)
		return 0;
	return err_set(err, ERR_UNKNOWN, "failed to create typed patch object (%s): %s%s",
	               body_id(ap), n > 1 ? "errors:\n" : "",
	               (const char *)faults.data + (n > 1 ? 0 : 2));
}

/* --- pruning --------------------------------------------------------------------------------- */

static struct field_set tree_fields(const struct apply *ap, const struct jvalue *tree)
{
	struct field_set set = field_set_of(value_of_tree(tree, ap->a), ap->type, NULL, ap->a);

	return field_set_with_parents(&set, ap->type, ap->a);
}

static struct jvalue *without(const struct apply *ap, const struct jvalue *tree,
                              struct field_set gone)
{
	struct jvalue *left = field_remove(tree, &gone, ap->type, ap->a);

	return left ? left : jvalue_object(ap->a);
}

/* Removes what this manager applied the last time and no more, unless somebody else owns it. */
static struct jvalue *prune(const struct apply *ap, struct jvalue *merged, struct field_set last)
{
	struct arena *a = ap->a;
	struct field_set owned = {0}, all, left;
	struct jvalue *pruned;

	if (field_set_empty(&last))
		return merged;
	for (size_t i = 0; i < ap->managed.n; i++)
		owned = field_set_union(owned, managed_set(&ap->managed, &ap->managed.at[i]), a);
	last = field_set_with_parents(&last, ap->type, a);
	owned = field_set_with_parents(&owned, ap->type, a);
	all = tree_fields(ap, merged);

	/* All that it had goes; what anybody owns comes back; so does what it never had. */
	pruned = without(ap, merged, last);
	left = field_set_union(tree_fields(ap, pruned), owned, a);
	pruned = without(ap, merged, field_set_difference(all, left, a));
	left = field_set_difference(all, tree_fields(ap, pruned), a);
	return without(ap, merged, field_set_intersection(left, last, a));
}

/* --- conflicts ------------------------------------------------------------------------------- */

static const char *print_manager(const struct apply *ap, const struct managed_entry *e)
{
	const char *version = ap->req->shown_version ? ap->req->shown_version : e->api_version;
	struct arena *a = ap->a;
	const char *text = arena_printf(a, "\"%s\"", e->manager);

	if (e->subresource[0])
		text = arena_printf(a, "%s with subresource \"%s\"", text, e->subresource);
	return e->apply ? text : arena_printf(a, "%s using %s", text, version);
}

struct collecting {
	struct fieldmanager_conflicts *to;
	const char *manager;
	struct arena *a;
};

static void collect(void *arg, const char *path)
{
	struct collecting *c = arg;
	struct fieldmanager_conflicts *to = c->to;

	to->at = arena_grow(c->a, to->at, to->n * sizeof(*to->at), (to->n + 1) * sizeof(*to->at));
	to->at[to->n++] = (struct fieldmanager_conflict){c->manager, arena_strdup(c->a, path)};
}

static int by_manager(const void *a, const void *b)
{
	const struct managed_entry *x = *(struct managed_entry *const *)a;
	const struct managed_entry *y = *(struct managed_entry *const *)b;
	int order = strcmp(x->manager, y->manager);

	if (!order)
		order = (int)y->apply - (int)x->apply;
	if (!order)
		order = strcmp(x->subresource, y->subresource);
	return order ? order : strcmp(x->api_version, y->api_version);
}

static struct fieldmanager_conflicts find_conflicts(const struct apply *ap,
                                                    struct field_versions *v)
{
	struct managed_entry **others = arena_array(ap->a, struct managed_entry *, ap->managed.n);
	struct fieldmanager_conflicts ret = {0};
	size_t n = 0;

	for (size_t i = 0; i < ap->managed.n; i++)
		if (&ap->managed.at[i] != ap->mine)
			others[n++] = &ap->managed.at[i];
	qsort(others, n, sizeof(*others), by_manager);
	for (size_t i = 0; i < n; i++) {
		struct collecting c = {&ret, print_manager(ap, others[i]), ap->a};
		const struct field_diff *d = field_versions_diff(v, others[i]->api_version);
		struct field_set both;

		if (!d)
			continue;
		both = field_set_union(d->added, d->modified, ap->a);
		if (field_set_empty(&both) || !managed_may_touch(others[i], &both))
			continue;
		both = field_set_intersection(managed_set(&ap->managed, others[i]), both, ap->a);
		field_set_each(&both, collect, &c);
	}
	return ret;
}

void fieldmanager_conflict_text(const struct fieldmanager_conflicts *c, struct buf *out)
{
	if (c->n == 1) {
		buf_printf(out, "Apply failed with 1 conflict: conflict with %s: %s",
		           c->at[0].manager, c->at[0].path);
		return;
	}
	buf_printf(out, "Apply failed with %zu conflicts: ", c->n);
	for (size_t i = 0; i < c->n; i++) {
		if (!i || strcmp(c->at[i - 1].manager, c->at[i].manager) != 0)
			buf_printf(out, "%sconflicts with %s:", i ? "\n" : "", c->at[i].manager);
		buf_printf(out, "\n- %s", c->at[i].path);
	}
}

/* --- applying -------------------------------------------------------------------------------- */

static struct managed_entry *claim(struct apply *ap, struct field_set *ret_last)
{
	struct managed_entry self = fieldmanager_self(ap->req, true, ap->res, ap->a);
	struct managed_entry *mine = managed_find(&ap->managed, &self);

	*ret_last = mine ? managed_set(&ap->managed, mine) : FIELD_SET_EMPTY;
	if (!mine)
		mine = managed_add(&ap->managed, &self);
	mine->api_version = self.api_version;
	return mine;
}

static void disown(struct apply *ap, struct field_versions *v)
{
	for (size_t i = 0; i < ap->managed.n; i++)
		if (&ap->managed.at[i] != ap->mine)
			fieldmanager_disown(&ap->managed, &ap->managed.at[i], v);
}

/* Equal sets keep the bytes that they were read from. */
static void put_mine(struct apply *ap, struct field_set set, struct field_set last)
{
	managed_put_set(ap->mine, set);
	ap->mine->changed = !ap->mine->source || !field_set_equal(&set, &last);
}

/* Merges, prunes and settles who owns what: the new tree in ap->result. */
static int merge(struct apply *ap, bool force, struct fieldmanager_conflicts *ret_conflicts,
                 struct err *err)
{
	struct field_skip skip = fieldmanager_skip(ap->res, ap->req->subresource, ap->a);
	struct field_versions v = {
	    .req = ap->req, .res = ap->res, .skip = skip.unowned, .old_tree = ap->live, .a = ap->a};
	struct field_set last, set;
	struct value before = value_of_tree(ap->live, ap->a), now;

	ap->result = field_merge(ap->live, ap->body, ap->type, ap->a);
	ap->mine = claim(ap, &last);
	/* While pruning the name of the object counts as wanted, later it is nobody's. */
	set = field_set_of(value_of_tree(ap->body, ap->a), ap->type, skip.unwritten, ap->a);
	managed_put_set(ap->mine, set);
	ap->result = prune(ap, ap->result, last);
	set = field_set_of(value_of_tree(ap->body, ap->a), ap->type, skip.unowned, ap->a);
	put_mine(ap, fieldmanager_strip(set, ap->a), last);
	now = value_of_tree(ap->result, ap->a);
	v.now_tree = ap->result;
	v.at[v.n++] = (struct field_version){
	    ap->version, field_diff_of(before, now, ap->type, skip.unowned, ap->a)};
	*ret_conflicts = find_conflicts(ap, &v);
	if (ret_conflicts->n && !force)
		return err_set(err, ERR_CONFLICT, "Apply failed");
	disown(ap, &v);
	ap->changed = !value_equal(before, now);
	if (ap->changed)
		ap->mine->time = fieldmanager_time(ap->req->now_s, ap->a);
	managed_drop_empty(&ap->managed);
	return 0;
}

static int merge_or_upgrade(struct apply *ap, struct fieldmanager_conflicts *conflicts,
                            struct err *err)
{
	struct managed before = ap->managed;
	int r;

	before.at = arena_memdup(ap->a, before.at, before.n * sizeof(*before.at));
	before.cap = before.n;
	r = merge(ap, ap->req->force, conflicts, err);
	if (r != -ERR_CONFLICT || !last_applied_allows(ap, conflicts))
		return r;
	ap->managed = before;
	return merge(ap, true, conflicts, err);
}

/* An object that nobody's fields are known of belongs, as it is, to whom was there before. */
static void adopt(struct apply *ap)
{
	const struct schema_message *schema = ap->res->schema;
	struct fieldmanager_request before = *ap->req;
	struct field_versions v = {.req = ap->req, .res = ap->res, .a = ap->a};
	struct value empty, live = value_of_tree(ap->live, ap->a);
	struct managed_entry self;

	before.manager = "before-first-apply";
	self = fieldmanager_self(&before, false, ap->res, ap->a);
	self.time = fieldmanager_time(ap->req->now_s, ap->a);
	empty = value_of_message(schema, pb_new(schema, ap->a), ap->a);
	v.skip = fieldmanager_skip(ap->res, ap->req->subresource, ap->a).unowned;
	v.at[v.n++] = (struct field_version){ap->version,
	                                     field_diff_of(empty, live, ap->type, v.skip, ap->a)};
	fieldmanager_take(&ap->managed, &self, &v);
}

static int read_live(struct apply *ap, const struct object *old, struct err *err)
{
	const ProtobufCMessage *msg;
	struct object bare;
	int r = 0;

	ap->managed = (struct managed){.a = ap->a};
	if (old) {
		bare = fieldmanager_bare(old, ap->a);
		msg = bare.msg;
		r = managed_read(old->meta->managed_fields, old->meta->n_managed_fields, false,
		                 ap->a, &ap->managed, err);
		if (r < 0)
			return err_set(err, ERR_UNKNOWN, "failed to decode managed fields: %s",
			               err->text);
	} else {
		msg = pb_new(ap->res->schema, ap->a);
	}
	ap->live = json_encode_tree(ap->res->schema, msg, NULL, ap->a);
	if (old && !ap->managed.n)
		adopt(ap);
	return 0;
}

static int decode(const struct apply *ap, struct object *ret, struct err *err)
{
	ProtobufCMessage *msg;
	struct err why = ERR_INIT;

	if (json_decode_tree(ap->res->schema, ap->result, ap->a, NULL, &msg, NULL, &why) < 0)
		return err_set(err, ERR_UNKNOWN,
		               "failed to convert new object (%s) to proper version (%s): %s",
		               body_id(ap), ap->version, why.text);
	*ret = object_of(ap->res, ap->res->schema, msg);
	return 0;
}

int fieldmanager_apply(const struct fieldmanager_request *req, const struct jvalue *body,
                       const struct resource_info *res, const struct object *old, struct arena *a,
                       struct object *ret, struct fieldmanager_conflicts *ret_conflicts,
                       struct err *err)
{
	struct apply ap = {.req = req,
	                   .res = res,
	                   .version = fieldmanager_version(res, a),
	                   .type = field_type_root(res->schema),
	                   .body = body,
	                   .a = a};
	struct object obj;
	int r = check_body(&ap, err);

	if (r == 0)
		r = read_live(&ap, old, err);
	if (r == 0)
		r = merge_or_upgrade(&ap, ret_conflicts, err);
	if (r == 0)
		r = decode(&ap, &obj, err);
	if (r < 0)
		return r;
	last_applied_update(&ap, &obj);
	managed_write(&ap.managed, obj.meta);
	*ret = obj;
	return 0;
}
