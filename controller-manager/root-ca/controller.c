/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher of the root CA: every active namespace has a ConfigMap kube-root-ca.crt with the
 * certificate authority of the apiserver, which is put right when somebody changes it. */
#include <stdio.h>
#include "common/base/log.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/work.h"
#include "proto/core_v1.pb-c.h"
#include "proto/meta_labels.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

#define NAME "kube-root-ca.crt"
#define KEY "ca.crt"
#define DESCRIPTION_KEY "kubernetes.io/description"
#define DESCRIPTION                                                                         \
	"Contains a CA bundle that can be used to verify the kube-apiserver when using "    \
	"internal endpoints such as the internal service IP or kubernetes.default.svc. No " \
	"other usage is guaranteed across distributions of Kubernetes clusters."
enum { WORKERS = 4, CA_LIMIT_BYTES = 512 << 10 };

struct publisher {
	struct client *client;
	struct informer *namespaces, *maps;
	struct workqueue *queue;
	char *ca;
};

static const struct client_resource maps_resource = {"", "v1", "configmaps"};

static bool is_right(const struct publisher *p, const CoreV1__ConfigMap *cm)
{
	const char *there = pb_map_get(cm->data, cm->n_data, KEY);
	const char *text = meta_annotation(cm->metadata, DESCRIPTION_KEY);
	return cm->n_data == 1 && there && !strcmp(there, p->ca) && text && *text;
}

static void fill(const struct publisher *p, CoreV1__ConfigMap *cm, struct arena *a)
{
	CoreV1__ConfigMap__DataEntry *e = arena_new(a, CoreV1__ConfigMap__DataEntry);
	*e = (CoreV1__ConfigMap__DataEntry)CORE_V1__CONFIG_MAP__DATA_ENTRY__INIT;
	e->key = arena_strdup(a, KEY);
	e->value = p->ca;
	cm->n_data = 1;
	cm->data = arena_memdup(a, &e, sizeof(e));
	meta_set_annotation(cm->metadata, a, DESCRIPTION_KEY, DESCRIPTION);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct publisher *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *ns = informer_get_key(p->namespaces, key);
	const struct informer_object *o = informer_get(p->maps, key, NAME);
	CoreV1__ConfigMap *cm =
	    o ? (CoreV1__ConfigMap *)informer_object_decode(o, &core_v1__config_map_schema, &a)
	      : NULL;
	if (!ns || ns->deleting || (cm && is_right(p, cm))) {
		workqueue_done(q, key);
		return;
	}
	struct client_target t = {.resource = maps_resource, .ns = key, .name = cm ? NAME : NULL};
	bool create = !cm;
	if (create) {
		cm = (CoreV1__ConfigMap *)pb_new(&core_v1__config_map_schema, &a);
		cm->metadata->name = arena_strdup(&a, NAME);
		cm->metadata->namespace_ = arena_strdup(&a, key);
	}
	fill(p, cm, &a);
	client_write_msg(p->client, create, &t, &core_v1__config_map_schema, &cm->base,
	                 work_created, work_begin(q, key));
}

static void on_namespace(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct publisher *)arg)->queue, o->key);
}

static void on_namespace_update(const struct informer_object *old, const struct informer_object *o,
                                void *arg)
{
	on_namespace(o, arg);
}

static void on_map_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	workqueue_add(((struct publisher *)arg)->queue, o->ns);
}

static void on_map_delete(const struct informer_object *old, void *arg)
{
	workqueue_add(((struct publisher *)arg)->queue, old->ns);
}

/* NULL when it cannot be read, which is told. */
static char *read_ca(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, CA_LIMIT_BYTES);
	if (!text)
		abort();
	size_t n = f ? fread(text, 1, CA_LIMIT_BYTES - 1, f) : 0;
	if (f)
		fclose(f);
	if (!n) {
		log_error(NULL, "The root CA could not be read; it is not published",
		          LOG_STR("file", path));
		free(text);
		return NULL;
	}
	return text;
}

static void *make(struct manager *m)
{
	char *ca = *m->o.root_ca_file ? read_ca(m->o.root_ca_file) : NULL;
	if (!ca)
		return NULL;
	struct publisher *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->ca = ca;
	p->client = manager_client(m, "root-ca-cert-publisher");
	p->queue = manager_queue(m, "root_ca_cert_publisher", WORKERS, process, p);
	p->namespaces = informers_get(
	    m->informers, &(struct client_resource){"", "v1", "namespaces"}, NULL, NULL, NULL);
	p->maps = informers_get(m->informers, &maps_resource, NULL, NULL, "metadata.name=" NAME);
	informer_add_handler(
	    p->namespaces, &(struct informer_handler){on_namespace, on_namespace_update, NULL, p});
	informer_add_handler(p->maps,
	                     &(struct informer_handler){NULL, on_map_update, on_map_delete, p});
	return p;
}

static void run(void *self)
{
	workqueue_start(((struct publisher *)self)->queue);
}

static void free_self(void *self)
{
	struct publisher *p = self;
	free(p->ca);
	workqueue_free(p->queue);
	free(p);
}

const struct controller controller_root_ca = {.name = "root-ca-certificate-publisher-controller",
                                              .make = make,
                                              .run = run,
                                              .free = free_self};
