/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/last_applied.h"

#include <stdlib.h>

#define ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

enum { ANNOTATIONS_MAX_BYTES = 256 * 1024 };

static bool is_kubectl(const struct apply *ap)
{
	return strcmp(ap->req->manager, "kubectl") == 0;
}

/* --- conflicts that are none ----------------------------------------------------------------- */

struct paths {
	const char **at;
	size_t n;
	struct arena *a;
};

static void add_path(void *arg, const char *path)
{
	struct paths *p = arg;

	p->at = arena_grow(p->a, p->at, p->n * sizeof(*p->at), (p->n + 1) * sizeof(*p->at));
	p->at[p->n++] = arena_strdup(p->a, path);
}

static int path_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The fields of the annotation that the live object has as they were applied. */
static bool applied_fields(const struct apply *ap, struct field_set *ret)
{
	const struct jvalue *annotations =
	    jvalue_get(jvalue_get(ap->live, "metadata"), "annotations");
	const char *text = jvalue_get_str(annotations, ANNOTATION, "");
	_cleanup_buf_ struct buf faults = BUF_INIT;
	struct value applied;
	struct field_diff d;
	struct jvalue *tree;

	if (!*text || jvalue_parse(slice_str(text), ap->a, NULL, &tree, NULL) < 0 ||
	    strcmp(jvalue_get_str(tree, "apiVersion", ""), ap->version) != 0 ||
	    field_check(tree, ap->type, ap->a, &faults) > 0)
		return false;
	applied = value_of_tree(tree, ap->a);
	d = field_diff_of(applied, value_of_tree(ap->live, ap->a), ap->type, NULL, ap->a);
	*ret = field_set_difference(field_set_of(applied, ap->type, NULL, ap->a),
	                            fieldmanager_touched(&d, ap->a), ap->a);
	return true;
}

bool last_applied_allows(const struct apply *ap, struct fieldmanager_conflicts *conflicts)
{
	struct paths allowed = {.a = ap->a};
	struct field_set set;
	size_t n = 0;

	if (!is_kubectl(ap) || !applied_fields(ap, &set))
		return false;
	field_set_each(&set, add_path, &allowed);
	qsort(allowed.at, allowed.n, sizeof(*allowed.at), path_cmp);
	for (size_t i = 0; i < conflicts->n; i++)
		if (!allowed.n || !bsearch(&conflicts->at[i].path, allowed.at, allowed.n,
		                           sizeof(*allowed.at), path_cmp))
			conflicts->at[n++] = conflicts->at[i];
	conflicts->n = n;
	return n == 0;
}

/* --- the annotation -------------------------------------------------------------------------- */

static MetaV1__ObjectMeta__AnnotationsEntry **find_annotation(MetaV1__ObjectMeta *meta)
{
	for (size_t i = 0; i < meta->n_annotations; i++)
		if (strcmp(meta->annotations[i]->key, ANNOTATION) == 0)
			return &meta->annotations[i];
	return NULL;
}

static size_t annotations_bytes(const MetaV1__ObjectMeta *meta)
{
	size_t n = 0;

	for (size_t i = 0; i < meta->n_annotations; i++)
		n += strlen(meta->annotations[i]->key) + strlen(meta->annotations[i]->value);
	return n;
}

/* The body without the annotation itself, a line of JSON. */
static const char *body_text(const struct apply *ap)
{
	struct jvalue *body = jvalue_copy(ap->a, ap->body);
	struct jvalue *meta = jvalue_get(body, "metadata");
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (jvalue_get(meta, "annotations"))
		jvalue_del(jvalue_get(meta, "annotations"), ANNOTATION);
	jvalue_write_sorted(body, &out);
	buf_byte(&out, '\n');
	return arena_strndup(ap->a, out.data, out.len);
}

void last_applied_update(const struct apply *ap, struct object *obj)
{
	MetaV1__ObjectMeta *meta = obj->meta;
	MetaV1__ObjectMeta__AnnotationsEntry **entry = find_annotation(meta);

	if (!is_kubectl(ap) || !entry || !(*entry)->value[0])
		return;
	(*entry)->value = (char *)body_text(ap);
	if (annotations_bytes(meta) <= ANNOTATIONS_MAX_BYTES)
		return;
	memmove(entry, entry + 1,
	        (size_t)(meta->annotations + meta->n_annotations - entry - 1) * sizeof(*entry));
	meta->n_annotations--;
}
