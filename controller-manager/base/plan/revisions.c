/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/revisions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "controller-manager/base/plan/hash.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/owner.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { NAME_PREFIX_MAX = 223 };

#define BEGIN "{\"spec\":{\"template\":"
#define PATCH "\"$patch\":\"replace\""
#define END "}}"

/* A patch that puts the template back. */
static struct slice data_of(const CoreV1__PodTemplateSpec *template, struct arena *a)
{
	static const struct type_meta none = {"", ""};
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_str(&b, BEGIN);
	json_encode(&core_v1__pod_template_spec_schema, &template->base, &none, &b);
	b.len--; /* the closing brace */
	if (b.data[b.len - 1] != '{')
		buf_str(&b, ",");
	buf_str(&b, PATCH "}" END);
	return slice_of(arena_memdup(a, b.data, b.len), b.len);
}

static struct slice raw_of(const AppsV1__ControllerRevision *r)
{
	return r->data ? slice_of(r->data->raw.data, r->data->raw.len) : SLICE_EMPTY;
}

CoreV1__PodTemplateSpec *revision_template(const AppsV1__ControllerRevision *r, struct arena *a)
{
	struct jvalue *tree;
	ProtobufCMessage *msg;
	if (jvalue_parse(raw_of(r), a, NULL, &tree, NULL))
		return NULL;
	const struct jvalue *template = jvalue_get(jvalue_get(tree, "spec"), "template");
	if (!template || json_decode_tree(&core_v1__pod_template_spec_schema, template, a, NULL,
	                                  &msg, NULL, NULL))
		return NULL;
	return (CoreV1__PodTemplateSpec *)msg;
}

/* The same but for the order of members: the server may write them anew. */
static bool same_data(const AppsV1__ControllerRevision *r, struct slice data, struct arena *a)
{
	struct jvalue *x, *y;
	return slice_eq(raw_of(r), data) ||
	       (!jvalue_parse(raw_of(r), a, NULL, &x, NULL) &&
	        !jvalue_parse(data, a, NULL, &y, NULL) && jvalue_equal(x, y));
}

static int revision_cmp(const void *x, const void *y)
{
	const AppsV1__ControllerRevision *a = *(AppsV1__ControllerRevision *const *)x;
	const AppsV1__ControllerRevision *b = *(AppsV1__ControllerRevision *const *)y;
	return a->revision != b->revision ? (a->revision < b->revision ? -1 : 1)
	                                  : strcmp(a->metadata->name, b->metadata->name);
}

const char *revision_hash(const AppsV1__ControllerRevision *r, const char *hash_label)
{
	const char *hash = meta_label(r->metadata, hash_label);
	return hash ? hash : "";
}

static AppsV1__ControllerRevision *new_revision(const struct revisions_input *in, struct slice data,
                                                const char *hash, int64_t number, struct arena *a)
{
	AppsV1__ControllerRevision *r =
	    (AppsV1__ControllerRevision *)pb_new(&apps_v1__controller_revision_schema, a);
	MetaV1__ObjectMeta *meta = r->metadata;
	meta->name = arena_printf(a, "%.*s-%s", NAME_PREFIX_MAX, in->owner->name, hash);
	meta->namespace_ = in->owner->namespace_;
	meta->labels = (MetaV1__ObjectMeta__LabelsEntry **)(uintptr_t)in->labels;
	meta->n_labels = in->n_labels;
	meta_set_label(meta, a, in->hash_label, hash);
	meta->annotations = in->owner->annotations;
	meta->n_annotations = in->owner->n_annotations;
	owner_set(meta, in->api_version, in->kind, in->owner->name, in->owner->uid, a);
	r->data = arena_new(a, Runtime__RawExtension);
	*r->data = (Runtime__RawExtension)RUNTIME__RAW_EXTENSION__INIT;
	r->data->has_raw = 1;
	r->data->raw.data = (uint8_t *)(uintptr_t)data.data;
	r->data->raw.len = data.len;
	r->has_revision = 1;
	r->revision = number;
	return r;
}

void revisions_plan(const struct revisions_input *in, struct arena *a, struct revisions_plan *ret)
{
	struct slice data = data_of(in->template, a);
	const AppsV1__ControllerRevision *found = NULL;
	int64_t newest = 0;
	*ret = (struct revisions_plan){
	    .old = arena_array(a, const AppsV1__ControllerRevision *, in->n_revisions)};
	for (size_t i = 0; i < in->n_revisions; i++)
		ret->old[i] = in->revisions[i];
	if (in->n_revisions)
		qsort(ret->old, in->n_revisions, sizeof(*ret->old), revision_cmp);
	for (size_t i = 0; i < in->n_revisions; i++) {
		newest = MAX(newest, ret->old[i]->revision);
		if (same_data(ret->old[i], data, a))
			found = ret->old[i];
	}
	for (size_t i = 0; i < in->n_revisions; i++)
		if (ret->old[i] != found)
			ret->old[ret->n_old++] = ret->old[i];
	if (!found) {
		ret->hash = name_hash(data, in->collisions, a);
		ret->current = new_revision(in, data, ret->hash, newest + 1, a);
		ret->create = true;
		return;
	}
	ret->hash = revision_hash(found, in->hash_label);
	ret->current = arena_memdup(a, found, sizeof(*found));
	if (found->revision < newest) {
		ret->current->revision = newest + 1;
		ret->update = true;
	}
}

size_t revisions_beyond(const struct revisions_plan *p, int32_t limit,
                        bool (*is_live)(const AppsV1__ControllerRevision *r, void *arg), void *arg,
                        struct arena *a, const AppsV1__ControllerRevision ***ret)
{
	const AppsV1__ControllerRevision **list =
	    arena_array(a, const AppsV1__ControllerRevision *, p->n_old);
	size_t n = 0, keep = limit > 0 ? (size_t)limit : 0;
	for (size_t i = 0; i < p->n_old; i++)
		if (!is_live(p->old[i], arg))
			list[n++] = p->old[i];
	*ret = list;
	return n > keep ? n - keep : 0;
}
