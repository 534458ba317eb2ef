/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/static/manifest.h"

#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

#include "proto/codec.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { UID_BYTES = 16, NAME_MAX_BYTES = 253 };

#define TEXT(s) ((char *)(uintptr_t)(s))
#define NEW(a, type, schema) ((type *)pb_new(&schema, a))

const char *pod_annotation(const CoreV1__Pod *pod, const char *key)
{
	const MetaV1__ObjectMeta *m = pod->metadata;
	for (size_t i = 0; i < m->n_annotations; i++)
		if (!strcmp(m->annotations[i]->key, key))
			return m->annotations[i]->value;
	return "";
}

bool pod_is_mirror(const CoreV1__Pod *pod)
{
	return *pod_annotation(pod, ANNOTATION_CONFIG_MIRROR) != 0;
}

static void annotate(CoreV1__Pod *pod, struct arena *a, const char *key, const char *value)
{
	MetaV1__ObjectMeta *m = pod->metadata;
	for (size_t i = 0; i < m->n_annotations; i++)
		if (!strcmp(m->annotations[i]->key, key)) {
			m->annotations[i]->value = TEXT(value);
			return;
		}
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    arena_new(a, MetaV1__ObjectMeta__AnnotationsEntry);
	*e = (MetaV1__ObjectMeta__AnnotationsEntry)META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	e->key = TEXT(key);
	e->value = TEXT(value);
	m->annotations = arena_grow(a, m->annotations, m->n_annotations * sizeof(e),
	                            (m->n_annotations + 1) * sizeof(e));
	m->annotations[m->n_annotations++] = e;
}

/* Defaults: those of the apiserver that running a pod depends on. */

static void default_text(char **field, const char *value)
{
	if (!*field || !**field)
		*field = TEXT(value);
}

#define DEFAULT_INT(m, field, v)              \
	do {                                  \
		if (!(m)->has_##field) {      \
			(m)->has_##field = 1; \
			(m)->field = (v);     \
		}                             \
	} while (0)

static void default_http(CoreV1__HTTPGetAction *h)
{
	if (!h)
		return;
	default_text(&h->path, "/");
	default_text(&h->scheme, "HTTP");
}

static void default_probe(CoreV1__Probe *p)
{
	if (!p)
		return;
	p->timeout_seconds = p->timeout_seconds ? p->timeout_seconds : 1;
	p->period_seconds = p->period_seconds ? p->period_seconds : 10;
	p->success_threshold = p->success_threshold ? p->success_threshold : 1;
	p->failure_threshold = p->failure_threshold ? p->failure_threshold : 3;
	p->has_timeout_seconds = p->has_period_seconds = 1;
	p->has_success_threshold = p->has_failure_threshold = 1;
	if (p->handler)
		default_http(p->handler->http_get);
}

static void default_hook(CoreV1__LifecycleHandler *h)
{
	if (h)
		default_http(h->http_get);
}

/* What is limited and not requested is requested. */
static void default_requests(CoreV1__ResourceRequirements *r, struct arena *a)
{
	for (size_t i = 0; r && i < r->n_limits; i++) {
		bool there = false;
		for (size_t k = 0; k < r->n_requests; k++)
			there |= !strcmp(r->requests[k]->key, r->limits[i]->key);
		if (there)
			continue;
		CoreV1__ResourceRequirements__RequestsEntry *e =
		    arena_new(a, CoreV1__ResourceRequirements__RequestsEntry);
		*e = (CoreV1__ResourceRequirements__RequestsEntry)
		    CORE_V1__RESOURCE_REQUIREMENTS__REQUESTS_ENTRY__INIT;
		e->key = r->limits[i]->key;
		e->value = r->limits[i]->value;
		r->requests = arena_grow(a, r->requests, r->n_requests * sizeof(e),
		                         (r->n_requests + 1) * sizeof(e));
		r->requests[r->n_requests++] = e;
	}
}

static const char *pull_policy(const char *image)
{
	const char *slash = strrchr(image, '/'), *name = slash ? slash : image;
	const char *tag = strrchr(name, ':');
	if (strchr(image, '@'))
		return "IfNotPresent";
	return !tag || !strcmp(tag, ":latest") ? "Always" : "IfNotPresent";
}

static void default_container(CoreV1__Container *c, bool host_network, struct arena *a)
{
	default_text(&c->termination_message_path, "/dev/termination-log");
	default_text(&c->termination_message_policy, "File");
	default_text(&c->image_pull_policy, pull_policy(c->image));
	for (size_t i = 0; i < c->n_ports; i++) {
		default_text(&c->ports[i]->protocol, "TCP");
		if (host_network && !c->ports[i]->host_port) {
			c->ports[i]->has_host_port = 1;
			c->ports[i]->host_port = c->ports[i]->container_port;
		}
	}
	for (size_t i = 0; i < c->n_env; i++)
		if (c->env[i]->value_from && c->env[i]->value_from->field_ref)
			default_text(&c->env[i]->value_from->field_ref->api_version, "v1");
	default_probe(c->liveness_probe);
	default_probe(c->readiness_probe);
	default_probe(c->startup_probe);
	if (c->lifecycle) {
		default_hook(c->lifecycle->post_start);
		default_hook(c->lifecycle->pre_stop);
	}
	default_requests(c->resources, a);
}

static void set_defaults(CoreV1__PodSpec *s, struct arena *a)
{
	default_text(&s->restart_policy, "Always");
	default_text(&s->dns_policy, "ClusterFirst");
	default_text(&s->scheduler_name, "default-scheduler");
	DEFAULT_INT(s, termination_grace_period_seconds, 30);
	DEFAULT_INT(s, enable_service_links, true);
	if (!s->security_context)
		s->security_context =
		    NEW(a, CoreV1__PodSecurityContext, core_v1__pod_security_context_schema);
	for (size_t i = 0; i < s->n_containers; i++)
		default_container(s->containers[i], s->host_network, a);
	for (size_t i = 0; i < s->n_init_containers; i++)
		default_container(s->init_containers[i], s->host_network, a);
	for (size_t i = 0; i < s->n_volumes; i++) {
		CoreV1__VolumeSource *v = s->volumes[i]->volume_source;
		if (v && v->secret)
			DEFAULT_INT(v->secret, default_mode, 0644);
		if (v && v->config_map)
			DEFAULT_INT(v->config_map, default_mode, 0644);
		if (v && v->downward_api)
			DEFAULT_INT(v->downward_api, default_mode, 0644);
		if (v && v->projected)
			DEFAULT_INT(v->projected, default_mode, 0644);
	}
}

/* It runs whatever taints its node has. */
static void tolerate_all(CoreV1__PodSpec *s, struct arena *a)
{
	CoreV1__Toleration *t = NEW(a, CoreV1__Toleration, core_v1__toleration_schema);
	t->operator_ = (char *)"Exists";
	t->effect = (char *)"NoExecute";
	s->tolerations = arena_grow(a, s->tolerations, s->n_tolerations * sizeof(t),
	                            (s->n_tolerations + 1) * sizeof(t));
	s->tolerations[s->n_tolerations++] = t;
}

static const char *uid_of(struct slice text, const char *file, const char *node, struct arena *a)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	_cleanup_buf_ struct buf all = BUF_INIT;
	buf_printf(&all, "host:%s", node);
	buf_printf(&all, "file:%s", file);
	buf_slice(&all, text);
	SHA256(all.data, all.len, sum);
	char *hex = arena_alloc(a, 2 * UID_BYTES + 1);
	for (size_t i = 0; i < UID_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	return hex;
}

static int check(const CoreV1__Pod *pod, const struct type_meta *meta, struct err *err)
{
	if (strcmp(meta->kind, "Pod") || strcmp(meta->api_version, "v1"))
		return err_set(err, ERR_INVALID, "not a v1 Pod but %s %s", meta->api_version,
		               meta->kind);
	if (!*pod->metadata->name)
		return err_set(err, ERR_INVALID, "metadata.name: Required value");
	if (strlen(pod->metadata->name) > NAME_MAX_BYTES || strchr(pod->metadata->name, '/') ||
	    strchr(pod->metadata->namespace_, '/'))
		return err_set(err, ERR_INVALID, "metadata.name: Invalid value: \"%s\"",
		               pod->metadata->name);
	if (!pod->spec->n_containers)
		return err_set(err, ERR_INVALID, "spec.containers: Required value");
	for (size_t i = 0; i < pod->spec->n_containers + pod->spec->n_init_containers; i++) {
		const CoreV1__PodSpec *s = pod->spec;
		const CoreV1__Container *c = i < s->n_containers
		                                 ? s->containers[i]
		                                 : s->init_containers[i - s->n_containers];
		if (!*c->name || strchr(c->name, '/') || !c->image || !*c->image)
			return err_set(err, ERR_INVALID,
			               "spec.containers[%zu]: name and image are required", i);
	}
	return 0;
}

int manifest_parse(struct slice text, const char *file, const char *node, const char *seen,
                   struct arena *a, CoreV1__Pod **ret, struct err *err)
{
	ProtobufCMessage *msg = NULL;
	struct type_meta meta;
	int r = object_decode(OBJECT_YAML, &core_v1__pod_schema, text, a, NULL, &msg, &meta, err);
	CoreV1__Pod *pod = (CoreV1__Pod *)msg;
	if (!r)
		r = check(pod, &meta, err);
	if (r)
		return r;
	const char *uid = *pod->metadata->uid ? pod->metadata->uid : uid_of(text, file, node, a);
	pod->metadata->uid = TEXT(uid);
	pod->metadata->name = arena_printf(a, "%s-%s", pod->metadata->name, node);
	default_text(&pod->metadata->namespace_, "default");
	annotate(pod, a, ANNOTATION_CONFIG_HASH, uid);
	annotate(pod, a, ANNOTATION_CONFIG_SOURCE, "file");
	annotate(pod, a, ANNOTATION_CONFIG_SEEN, arena_strdup(a, seen));
	pod->spec->node_name = TEXT(node);
	set_defaults(pod->spec, a);
	tolerate_all(pod->spec, a);
	pod->status = NEW(a, CoreV1__PodStatus, core_v1__pod_status_schema);
	pod->status->phase = (char *)"Pending";
	*ret = pod;
	return 0;
}

CoreV1__Pod *manifest_mirror(const CoreV1__Pod *pod, const char *node, const char *node_uid,
                             struct arena *a)
{
	CoreV1__Pod *m = (CoreV1__Pod *)msg_copy(&core_v1__pod_schema, &pod->base, a);
	annotate(m, a, ANNOTATION_CONFIG_MIRROR, pod->metadata->uid);
	m->metadata->uid = (char *)"";
	MetaV1__OwnerReference *o = NEW(a, MetaV1__OwnerReference, meta_v1__owner_reference_schema);
	o->api_version = (char *)"v1";
	o->kind = (char *)"Node";
	o->name = TEXT(node);
	o->uid = TEXT(node_uid);
	o->has_controller = 1;
	o->controller = true;
	m->metadata->owner_references = arena_array(a, MetaV1__OwnerReference *, 1);
	m->metadata->owner_references[0] = o;
	m->metadata->n_owner_references = 1;
	return m;
}
