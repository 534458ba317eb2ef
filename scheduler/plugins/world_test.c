/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/plugins/world_test.h"

#include <assert.h>
#include <stdio.h>

#include "proto/json_decode.h"
#include "proto/schema_messages.h"

static void must(int r, const struct err *err)
{
	if (r)
		fprintf(stderr, "%s\n", err->text);
	assert(!r);
}

void world_init(struct world *w, const struct jvalue *config)
{
	struct err err = ERR_INIT;
	*w = (struct world){0};
	w->cluster = cluster_new();
	rng_init(&w->rng, 1);
	struct jvalue *doc = NULL;
	if (config) {
		doc = jvalue_copy(&w->arena, config);
		jvalue_set(&w->arena, doc, "apiVersion",
		           jvalue_str(&w->arena, "kubescheduler.config.k8s.io/v1"));
		jvalue_set(&w->arena, doc, "kind",
		           jvalue_str(&w->arena, "KubeSchedulerConfiguration"));
	}
	must(profile_config_build(doc, plugins_registry, cluster_symbols(w->cluster), &w->arena,
	                          &w->config, &err),
	     &err);
}

void world_deinit(struct world *w)
{
	cycle_deinit(&w->cycle);
	cluster_free(w->cluster);
	arena_deinit(&w->arena);
}

struct jvalue *world_documents(const char *path, struct arena *a)
{
	struct err err = ERR_INIT;
	FILE *f = fopen(path, "r");
	assert(f);
	_cleanup_buf_ struct buf text = BUF_INIT;
	char part[4096];
	size_t n;
	while ((n = fread(part, 1, sizeof(part), f)))
		buf_add(&text, part, n);
	fclose(f);
	struct jvalue *docs;
	must(yaml_parse_all(buf_view(&text), a, &docs, &err), &err);
	return docs;
}

/* Members of `from` go into `to`, objects into objects. */
static void merge(struct arena *a, struct jvalue *to, const struct jvalue *from)
{
	for (uint32_t i = 0; jvalue_is(from, JVALUE_OBJECT) && i < from->n; i++) {
		struct jvalue *have = jvalue_get(to, from->members[i].key);
		if (jvalue_is(have, JVALUE_OBJECT) &&
		    jvalue_is(from->members[i].value, JVALUE_OBJECT))
			merge(a, have, from->members[i].value);
		else
			jvalue_set(a, to, from->members[i].key, from->members[i].value);
	}
}

static struct jvalue *child(struct arena *a, struct jvalue *obj, const char *key)
{
	struct jvalue *v = jvalue_get(obj, key);
	if (!v) {
		v = jvalue_object(a);
		jvalue_set(a, obj, key, v);
	}
	return v;
}

static void set_if(struct arena *a, struct jvalue *to, const char *key, const struct jvalue *v,
                   const char *from)
{
	struct jvalue *value = jvalue_get(v, from);
	if (value)
		jvalue_set(a, to, key, value);
}

static struct jvalue *new_object(struct arena *a, const struct jvalue *v)
{
	struct jvalue *o = jvalue_object(a), *meta = child(a, o, "metadata");
	set_if(a, meta, "name", v, "name");
	jvalue_set(a, meta, "uid",
	           jvalue_str(a, arena_printf(a, "uid-%s", jvalue_get_str(v, "name", ""))));
	set_if(a, meta, "labels", v, "labels");
	return o;
}

static ProtobufCMessage *decode(const struct schema_message *schema, struct arena *a,
                                const struct jvalue *v, struct jvalue *o)
{
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	merge(a, child(a, o, "metadata"), jvalue_get(v, "metadata"));
	merge(a, child(a, o, "spec"), jvalue_get(v, "spec"));
	merge(a, child(a, o, "status"), jvalue_get(v, "status"));
	must(json_decode_tree(schema, o, a, NULL, &msg, NULL, &err), &err);
	return msg;
}

CoreV1__Pod *world_pod_object(struct arena *a, const struct jvalue *v)
{
	struct jvalue *o = new_object(a, v), *spec = child(a, o, "spec");
	jvalue_set(a, child(a, o, "metadata"), "namespace",
	           jvalue_str(a, jvalue_get_str(v, "ns", "default")));
	set_if(a, spec, "nodeName", v, "node");
	set_if(a, spec, "priority", v, "priority");
	struct jvalue *c = jvalue_object(a), *list = jvalue_array(a);
	struct jvalue *requests = child(a, child(a, c, "resources"), "requests");
	jvalue_set(a, c, "name", jvalue_str(a, "c"));
	jvalue_set(a, c, "image", jvalue_str(a, jvalue_get_str(v, "image", "app")));
	set_if(a, requests, "cpu", v, "cpu");
	set_if(a, requests, "memory", v, "memory");
	set_if(a, c, "ports", v, "ports");
	jvalue_append(a, list, c);
	jvalue_set(a, spec, "containers", list);
	return (CoreV1__Pod *)decode(&core_v1__pod_schema, a, v, o);
}

CoreV1__Node *world_node_object(struct arena *a, const struct jvalue *v)
{
	struct jvalue *o = new_object(a, v), *all = child(a, child(a, o, "status"), "allocatable");
	jvalue_set(a, all, "cpu", jvalue_str(a, jvalue_get_str(v, "cpu", "4")));
	jvalue_set(a, all, "memory", jvalue_str(a, jvalue_get_str(v, "memory", "8Gi")));
	jvalue_set(a, all, "pods", jvalue_str(a, jvalue_get_str(v, "pods", "110")));
	merge(a, all, jvalue_get(v, "allocatable"));
	set_if(a, child(a, o, "spec"), "taints", v, "taints");
	set_if(a, child(a, o, "status"), "images", v, "images");
	return (CoreV1__Node *)decode(&core_v1__node_schema, a, v, o);
}

struct pod_info *world_pod(struct world *w, const struct jvalue *v)
{
	_cleanup_arena_ struct arena a = {0};
	return pod_info_new(cluster_symbols(w->cluster), world_pod_object(&a, v));
}

struct node_spec *world_node(struct world *w, const struct jvalue *v)
{
	_cleanup_arena_ struct arena a = {0};
	return node_spec_new(cluster_symbols(w->cluster), world_node_object(&a, v));
}

static MetaV1__LabelSelector *selector_of(struct arena *a, const struct jvalue *v)
{
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	must(json_decode_tree(&meta_v1__label_selector_schema, v, a, NULL, &msg, NULL, &err), &err);
	return (MetaV1__LabelSelector *)msg;
}

static void fill_owners(struct world *w, const struct jvalue *doc)
{
	const struct jvalue *list = jvalue_get(doc, "owners");
	for (uint32_t i = 0; list && i < list->n; i++) {
		const struct jvalue *o = jvalue_at(list, i);
		cluster_set_owner(w->cluster, jvalue_get_str(o, "kind", ""),
		                  jvalue_get_str(o, "ns", "default"), jvalue_get_str(o, "name", ""),
		                  selector_of(&w->arena, jvalue_get(o, "selector")));
	}
	list = jvalue_get(doc, "namespaces");
	for (uint32_t i = 0; list && i < list->n; i++) {
		const CoreV1__Pod *named = world_pod_object(&w->arena, jvalue_at(list, i));
		cluster_set_namespace(w->cluster, named->metadata->name, named->metadata);
	}
	list = jvalue_get(doc, "budgets");
	for (uint32_t i = 0; list && i < list->n; i++) {
		struct err err = ERR_INIT;
		ProtobufCMessage *msg;
		must(json_decode_tree(&policy_v1__pod_disruption_budget_schema, jvalue_at(list, i),
		                      &w->arena, NULL, &msg, NULL, &err),
		     &err);
		cluster_set_budget(w->cluster, (PolicyV1__PodDisruptionBudget *)msg);
	}
}

void world_fill(struct world *w, const struct jvalue *doc)
{
	const struct jvalue *list = jvalue_get(doc, "nodes");
	for (uint32_t i = 0; list && i < list->n; i++)
		cluster_set_node(w->cluster, world_node(w, jvalue_at(list, i)), NULL);
	list = jvalue_get(doc, "pods");
	for (uint32_t i = 0; list && i < list->n; i++) {
		struct pod_info *p = world_pod(w, jvalue_at(list, i));
		if (*p->node_name)
			cluster_set_pod(w->cluster, p);
		else if (*p->nominated_node)
			cluster_nominate(w->cluster, p, p->nominated_node);
		pod_info_unref(p);
	}
	fill_owners(w, doc);
}

const struct framework *world_framework(const struct world *w)
{
	return w->config.profiles;
}

struct cycle_result world_schedule(struct world *w, const struct pod_info *p)
{
	struct cycle_result r;
	const struct framework *f = profile_of(&w->config, p->scheduler_name);
	assert(f);
	cycle_begin(&w->cycle, f, w->cluster, p, &w->rng, NULL);
	cycle_schedule(&w->cycle, &w->start, &r);
	return r;
}
