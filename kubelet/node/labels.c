/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, annotations and taints of the Node object. */
#include <string.h>

#include "kubelet/node/internal.h"
#include "proto/schema_messages.h"

static bool set_label(MetaV1__ObjectMeta *m, struct arena *a, const char *key, const char *value)
{
	for (size_t i = 0; i < m->n_labels; i++)
		if (!strcmp(m->labels[i]->key, key)) {
			bool same = !strcmp(m->labels[i]->value, value);
			m->labels[i]->value = TEXT(value);
			return !same;
		}
	MetaV1__ObjectMeta__LabelsEntry *e = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);
	*e = (MetaV1__ObjectMeta__LabelsEntry)META_V1__OBJECT_META__LABELS_ENTRY__INIT;
	e->key = TEXT(key);
	e->value = TEXT(value);
	m->labels =
	    arena_grow(a, m->labels, m->n_labels * sizeof(e), (m->n_labels + 1) * sizeof(e));
	m->labels[m->n_labels++] = e;
	return true;
}

static bool annotate(MetaV1__ObjectMeta *m, struct arena *a, const char *key, const char *value)
{
	for (size_t i = 0; i < m->n_annotations; i++)
		if (!strcmp(m->annotations[i]->key, key)) {
			bool same = !strcmp(m->annotations[i]->value, value);
			m->annotations[i]->value = TEXT(value);
			return !same;
		}
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    arena_new(a, MetaV1__ObjectMeta__AnnotationsEntry);
	*e = (MetaV1__ObjectMeta__AnnotationsEntry)META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	e->key = TEXT(key);
	e->value = TEXT(value);
	m->annotations = arena_grow(a, m->annotations, m->n_annotations * sizeof(e),
	                            (m->n_annotations + 1) * sizeof(e));
	m->annotations[m->n_annotations++] = e;
	return true;
}

bool node_set_labels(const struct node *n, MetaV1__ObjectMeta *m, struct arena *a)
{
	const struct kubelet_config *c = n->k->config;
	bool changed = set_label(m, a, "kubernetes.io/hostname", c->node_name);
	changed |= set_label(m, a, "kubernetes.io/os", "linux");
	changed |= set_label(m, a, "kubernetes.io/arch", n->machine.architecture);
	changed |= set_label(m, a, "beta.kubernetes.io/os", "linux");
	changed |= set_label(m, a, "beta.kubernetes.io/arch", n->machine.architecture);
	for (size_t i = 0; i < c->node_labels.n; i++)
		changed |= set_label(m, a, c->node_labels.at[i].key, c->node_labels.at[i].value);
	/* Volumes are attached by the controller, not here. */
	changed |= annotate(m, a, "volumes.kubernetes.io/controller-managed-attach-detach", "true");
	return changed;
}

/* key=value:effect */
void node_add_taint(CoreV1__NodeSpec *s, struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text), *colon = strrchr(copy, ':');
	if (!colon)
		return;
	*colon = 0;
	char *eq = strchr(copy, '=');
	CoreV1__Taint *t = (CoreV1__Taint *)pb_new(&core_v1__taint_schema, a);
	if (eq) {
		*eq = 0;
		t->value = eq + 1;
	}
	t->key = copy;
	t->effect = colon + 1;
	s->taints =
	    arena_grow(a, s->taints, s->n_taints * sizeof(t), (s->n_taints + 1) * sizeof(t));
	s->taints[s->n_taints++] = t;
}
