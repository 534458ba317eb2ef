/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/meta_labels.h"

#include <assert.h>
#include "proto/meta_v1.pb-c.h"

/* The layout that protobuf-c gives every entry of a map<string, string>. */
struct pb_map_entry {
	ProtobufCMessage base;
	const char *key, *value;
};

static_assert(sizeof(struct pb_map_entry) == sizeof(MetaV1__ObjectMeta__LabelsEntry), "layout");

struct entries {
	const struct pb_map_entry *const *at;
	size_t n;
};

const char *pb_map_get(const void *entries, size_t n, const char *key)
{
	const struct pb_map_entry *const *at = entries;

	for (size_t i = 0; i < n; i++)
		if (strcmp(at[i]->key, key) == 0)
			return at[i]->value;
	return NULL;
}

static const char *entries_get(const void *labels, const char *key)
{
	const struct entries *e = labels;

	return pb_map_get(e->at, e->n, key);
}

bool pb_map_match(const struct label_selector *sel, const void *entries, size_t n)
{
	struct entries e = {entries, n};

	return label_selector_match(sel, entries_get, &e);
}

struct label_selector pb_map_selector(const void *entries, size_t n, struct arena *a)
{
	const struct pb_map_entry *const *at = entries;
	struct label_pair *pairs = arena_array(a, struct label_pair, n);

	for (size_t i = 0; i < n; i++)
		pairs[i] = (struct label_pair){at[i]->key, at[i]->value};
	return label_selector_from_set(&(struct label_set){pairs, n}, a);
}

bool meta_labels_match(const struct label_selector *sel, const struct MetaV1__ObjectMeta *meta)
{
	return meta ? pb_map_match(sel, meta->labels, meta->n_labels) : pb_map_match(sel, NULL, 0);
}

const char *meta_label(const struct MetaV1__ObjectMeta *meta, const char *key)
{
	return meta ? pb_map_get(meta->labels, meta->n_labels, key) : NULL;
}

const char *meta_annotation(const struct MetaV1__ObjectMeta *meta, const char *key)
{
	return meta ? pb_map_get(meta->annotations, meta->n_annotations, key) : NULL;
}

static int add_expression(struct label_selector *sel, struct arena *a,
                          const struct MetaV1__LabelSelectorRequirement *r, struct err *err)
{
	static const struct {
		const char *name;
		enum label_op op;
	} ops[] = {{"In", LABEL_IN},
	           {"NotIn", LABEL_NOT_IN},
	           {"Exists", LABEL_EXISTS},
	           {"DoesNotExist", LABEL_NOT_EXISTS}};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (r->operator_ && strcmp(r->operator_, ops[i].name) == 0)
			return label_selector_require(sel, a, r->key, ops[i].op,
			                              (const char *const *)r->values, r->n_values,
			                              err);
	return err_set(err, ERR_INVALID, "\"%s\" is not a valid label selector operator",
	               r->operator_ ? r->operator_ : "");
}

int meta_label_selector(const struct MetaV1__LabelSelector *ls, struct arena *a,
                        struct label_selector *ret, struct err *err)
{
	struct label_selector sel = {0};
	int k;

	if (!ls) {
		*ret = (struct label_selector){.nothing = true};
		return 0;
	}
	for (size_t i = 0; i < ls->n_match_labels; i++) {
		const char *value = ls->match_labels[i]->value;

		k = label_selector_require(&sel, a, ls->match_labels[i]->key, LABEL_EQUALS, &value,
		                           1, err);
		if (k < 0)
			return k;
	}
	for (size_t i = 0; i < ls->n_match_expressions; i++) {
		k = add_expression(&sel, a, ls->match_expressions[i], err);
		if (k < 0)
			return k;
	}
	label_selector_sort(&sel);
	*ret = sel;
	return 0;
}
