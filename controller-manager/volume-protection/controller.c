/* SPDX-License-Identifier: Apache-2.0 */
/* Claims and volumes that are being deleted go when nobody uses them any longer (kubernetes
 * pkg/controller/volume/{pvcprotection,pvprotection}): their finalizer, which admission has set, is
 * taken away. A claim is in use while a pod on a node names it, a volume while it is bound. */
#include "common/base/heap.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "proto/core_v1.pb-c.h"
#include "proto/schema_messages.h"

enum { WORKERS = 2 };

#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
#define VOLUME_FINALIZER "kubernetes.io/pv-protection"

struct protection {
	struct client *client;
	struct informer *objects, *pods; /* no pods for volumes */
	unsigned pods_by_ns, objects_by_ns;
	struct workqueue *queue;
};

/* Whether there was such a finalizer. */
static bool drop_finalizer(MetaV1__ObjectMeta *meta, const char *finalizer)
{
	size_t n = 0;
	bool found = false;
	for (size_t i = 0; i < meta->n_finalizers; i++) {
		if (strcmp(meta->finalizers[i], finalizer))
			meta->finalizers[n++] = meta->finalizers[i];
		else
			found = true;
	}
	meta->n_finalizers = n;
	return found;
}

static void write_object(struct protection *p, const char *key,
                         const struct client_resource *resource,
                         const struct schema_message *schema, const MetaV1__ObjectMeta *meta,
                         const ProtobufCMessage *msg)
{
	struct client_target t = {
	    .resource = *resource, .ns = meta->namespace_, .name = meta->name};
	client_write_msg(p->client, false, &t, schema, msg, work_done, work_begin(p->queue, key));
}

/* Claims */

static const struct client_resource claims_resource = {"", "v1", "persistentvolumeclaims"};
static const struct client_resource volumes_resource = {"", "v1", "persistentvolumes"};

static bool pod_names(const CoreV1__Pod *pod, const char *claim)
{
	for (size_t i = 0; i < pod->spec->n_volumes; i++) {
		const CoreV1__Volume *v = pod->spec->volumes[i];
		const CoreV1__VolumeSource *s = v->volume_source;
		if (s->persistent_volume_claim &&
		    !strcmp(s->persistent_volume_claim->claim_name, claim))
			return true;
		/* The claim of an ephemeral volume is named after pod and volume. */
		size_t n = strlen(pod->metadata->name);
		if (s->ephemeral && !strncmp(claim, pod->metadata->name, n) && claim[n] == '-' &&
		    !strcmp(claim + n + 1, v->name))
			return true;
	}
	return false;
}

static bool claim_is_used(struct protection *p, const struct informer_object *claim)
{
	size_t n;
	bool used = false;
	const struct informer_object *const *pods =
	    informer_lookup(p->pods, p->pods_by_ns, claim->ns, &n);
	for (size_t i = 0; i < n && !used; i++) {
		_cleanup_arena_ struct arena a = {0};
		const CoreV1__Pod *pod =
		    (void *)informer_object_decode(pods[i], &core_v1__pod_schema, &a);
		used = pod && *pod->spec->node_name && pod_names(pod, claim->name);
	}
	return used;
}

static void process_claim(struct workqueue *q, const char *key, void *arg)
{
	struct protection *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(p->objects, key);
	CoreV1__PersistentVolumeClaim *c =
	    o && o->deleting
	        ? (void *)informer_object_decode(o, &core_v1__persistent_volume_claim_schema, &a)
	        : NULL;
	if (c && drop_finalizer(c->metadata, CLAIM_FINALIZER) && !claim_is_used(p, o))
		write_object(p, key, &claims_resource, &core_v1__persistent_volume_claim_schema,
		             c->metadata, &c->base);
	else
		workqueue_done(q, key);
}

/* Volumes */

static void process_volume(struct workqueue *q, const char *key, void *arg)
{
	struct protection *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(p->objects, key);
	CoreV1__PersistentVolume *v =
	    o && o->deleting
	        ? (void *)informer_object_decode(o, &core_v1__persistent_volume_schema, &a)
	        : NULL;
	if (v && drop_finalizer(v->metadata, VOLUME_FINALIZER) && strcmp(v->status->phase, "Bound"))
		write_object(p, key, &volumes_resource, &core_v1__persistent_volume_schema,
		             v->metadata, &v->base);
	else
		workqueue_done(q, key);
}

/* Events */

static void on_object(const struct informer_object *o, void *arg)
{
	if (o->deleting)
		workqueue_add(((struct protection *)arg)->queue, o->key);
}

static void on_object_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	on_object(o, arg);
}

static void on_pod_delete(const struct informer_object *pod, void *arg)
{
	struct protection *p = arg;
	size_t n;
	const struct informer_object *const *claims =
	    informer_lookup(p->objects, p->objects_by_ns, pod->ns, &n);
	for (size_t i = 0; i < n; i++)
		on_object(claims[i], p);
}

static struct protection *make(struct manager *m, const char *account, const char *queue,
                               const struct client_resource *resource, workqueue_fn process)
{
	struct protection *p = heap_new(struct protection);
	p->client = manager_client(m, account);
	p->queue = manager_queue(m, queue, WORKERS, process, p);
	p->objects = informers_get(m->informers, resource, NULL, NULL, NULL);
	informer_add_handler(p->objects,
	                     &(struct informer_handler){on_object, on_object_update, NULL, p});
	return p;
}

static void *make_claims(struct manager *m)
{
	struct protection *p =
	    make(m, "pvc-protection-controller", "pvcprotection", &claims_resource, process_claim);
	p->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	p->objects_by_ns = informer_add_index(p->objects, "ns", informer_index_ns);
	p->pods_by_ns = informer_add_index(p->pods, "ns", informer_index_ns);
	informer_add_handler(p->pods, &(struct informer_handler){NULL, NULL, on_pod_delete, p});
	return p;
}

static void *make_volumes(struct manager *m)
{
	return make(m, "pv-protection-controller", "pvprotection", &volumes_resource,
	            process_volume);
}

static void run(void *self)
{
	workqueue_start(((struct protection *)self)->queue);
}

static void free_self(void *self)
{
	struct protection *p = self;
	workqueue_free(p->queue);
	free(p);
}

const struct controller controller_claim_protection = {
    .name = "persistentvolumeclaim-protection-controller",
    .make = make_claims,
    .run = run,
    .free = free_self};
const struct controller controller_volume_protection = {
    .name = "persistentvolume-protection-controller",
    .make = make_volumes,
    .run = run,
    .free = free_self};
