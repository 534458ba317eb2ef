/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the Deployment controller: Deployments, ReplicaSets and pods in; ReplicaSets made,
 * scaled and deleted, status. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/claim.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/owner.h"
#include "controller-manager/base/work.h"
#include "controller-manager/deployment/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

#define ANNOTATION(name) "deployment.kubernetes.io/" name

struct deployments {
	struct manager *m;
	struct client *client;
	struct informer *deployments, *sets, *pods;
	unsigned sets_by_owner, sets_by_uid, sets_orphans, pods_by_owner, by_uid, by_ns;
	struct workqueue *queue;
	struct recorder *recorder;
};

static const struct client_resource sets_resource = {"apps", "v1", "replicasets"};

/* Annotations */

/* The numbers by which a later change of spec.replicas is told from a rollout. */
static void annotate_numbers(const AppsV1__Deployment *d, MetaV1__ObjectMeta *meta, struct arena *a)
{
	int32_t surge, unavailable;
	deployment_limits(d, &surge, &unavailable);
	meta_set_annotation(meta, a, ANNOTATION("desired-replicas"),
	                    arena_printf(a, "%d", d->spec->replicas));
	meta_set_annotation(meta, a, ANNOTATION("max-replicas"),
	                    arena_printf(a, "%d", d->spec->replicas + surge));
}

/* The Deployment's annotations go to its new set, but for kubectl's and the controller's own. */
static void copy_annotations(const AppsV1__Deployment *d, MetaV1__ObjectMeta *meta, struct arena *a)
{
	static const char *const not_copied[] = {"kubectl.kubernetes.io/last-applied-configuration",
	                                         ANNOTATION("revision"),
	                                         ANNOTATION("revision-history"),
	                                         ANNOTATION("desired-replicas"),
	                                         ANNOTATION("max-replicas"),
	                                         "deprecated.deployment.rollback.to"};
	for (size_t i = 0; i < d->metadata->n_annotations; i++) {
		const MetaV1__ObjectMeta__AnnotationsEntry *e = d->metadata->annotations[i];
		bool copy = true;
		for (size_t k = 0; k < ARRAY_LEN(not_copied); k++)
			copy &= strcmp(e->key, not_copied[k]) != 0;
		if (copy)
			meta_set_annotation(meta, a, e->key, e->value);
	}
}

/* Writes */

struct creation {
	struct deployments *s;
	struct work *work;
	struct buf collide; /* the Deployment with a higher collision count */
	char *ns, *name, *uid, *hash_owner;
	int32_t replicas; /* of the new set */
};

static struct recorder_ref ref_of(const char *ns, const char *name, const char *uid)
{
	return (struct recorder_ref){
	    .api_version = "apps/v1", .kind = "Deployment", .ns = ns, .name = name, .uid = uid};
}

/* A set of that name that is not ours and not alike: the next hash is another one. */
static void on_created(const struct client_result *r, void *arg)
{
	struct creation *c = arg;
	if (r->code == ERR_ALREADY_EXISTS) {
		struct client_target t = {.resource = {"apps", "v1", "deployments"},
		                          .ns = c->ns,
		                          .name = c->name,
		                          .subresource = "status"};
		const struct informer_object *there =
		    informer_get(c->s->sets, c->ns, c->hash_owner);
		if (there && strcmp(there->owner_uid, c->uid)) {
			work_hold(c->work);
			client_update(c->s->client, &t, buf_view(&c->collide), NULL, work_done,
			              c->work);
		} else {
			c->work->failed = true; /* the informer is behind: try again */
		}
	} else {
		struct recorder_ref ref = ref_of(c->ns, c->name, c->uid);
		work_answer(c->work, r);
		if (r->code == ERR_OK && c->replicas > 0)
			recorder_event(c->s->recorder, &ref, false, "ScalingReplicaSet", NULL,
			               "Scaled up replica set %s from 0 to %d", c->hash_owner,
			               c->replicas);
	}
	work_end(c->work);
	buf_deinit(&c->collide);
	free(c->ns);
	free(c->name);
	free(c->uid);
	free(c->hash_owner);
	free(c);
}

static void create_set(struct deployments *s, struct work *w, const AppsV1__Deployment *d,
                       const struct deployment_plan *plan, struct arena *a)
{
	AppsV1__ReplicaSet *rs = (AppsV1__ReplicaSet *)pb_new(&apps_v1__replica_set_schema, a);
	CoreV1__PodTemplateSpec *template = arena_memdup(a, d->spec->template_, sizeof(*template));
	MetaV1__ObjectMeta *labels = template->metadata =
	    arena_memdup(a, template->metadata, sizeof(*labels));
	meta_set_label(labels, a, "pod-template-hash", plan->hash);
	MetaV1__LabelSelector *selector = arena_memdup(a, d->spec->selector, sizeof(*selector));
	MetaV1__LabelSelector__MatchLabelsEntry *e =
	    arena_new(a, MetaV1__LabelSelector__MatchLabelsEntry);
	*e = (MetaV1__LabelSelector__MatchLabelsEntry)
	    META_V1__LABEL_SELECTOR__MATCH_LABELS_ENTRY__INIT;
	e->key = arena_strdup(a, "pod-template-hash");
	e->value = arena_strdup(a, plan->hash);
	MetaV1__LabelSelector__MatchLabelsEntry **list =
	    arena_alloc(a, (selector->n_match_labels + 1) * sizeof(e));
	if (selector->n_match_labels)
		memcpy(list, selector->match_labels, selector->n_match_labels * sizeof(e));
	list[selector->n_match_labels++] = e;
	selector->match_labels = list;

	rs->metadata->name = arena_strdup(a, plan->name);
	rs->metadata->namespace_ = d->metadata->namespace_;
	rs->metadata->n_labels = labels->n_labels;
	rs->metadata->labels = labels->labels;
	copy_annotations(d, rs->metadata, a);
	annotate_numbers(d, rs->metadata, a);
	meta_set_annotation(rs->metadata, a, ANNOTATION("revision"), plan->revision);
	owner_set(rs->metadata, "apps/v1", "Deployment", d->metadata->name, d->metadata->uid, a);
	rs->spec->has_replicas = 1;
	rs->spec->replicas = plan->create_replicas;
	rs->spec->has_min_ready_seconds = 1;
	rs->spec->min_ready_seconds = d->spec->min_ready_seconds;
	rs->spec->selector = selector;
	rs->spec->template_ = template;

	struct creation *c = heap_new(struct creation);
	*c = (struct creation){.s = s,
	                       .work = w,
	                       .ns = heap_strdup(d->metadata->namespace_),
	                       .name = heap_strdup(d->metadata->name),
	                       .uid = heap_strdup(d->metadata->uid),
	                       .hash_owner = heap_strdup(plan->name),
	                       .replicas = plan->create_replicas};
	AppsV1__Deployment collided = *d;
	AppsV1__DeploymentStatus status = *d->status;
	status.has_collision_count = 1;
	status.collision_count++;
	collided.status = &status;
	pb_encode(&apps_v1__deployment_schema, &collided.base, &c->collide);
	struct client_target t = {.resource = sets_resource, .ns = d->metadata->namespace_};
	work_hold(w);
	client_write_msg(s->client, true, &t, &apps_v1__replica_set_schema, &rs->base, on_created,
	                 c);
}

static bool annotations_differ(const MetaV1__ObjectMeta *x, const MetaV1__ObjectMeta *y)
{
	if (x->n_annotations != y->n_annotations)
		return true;
	for (size_t i = 0; i < x->n_annotations; i++) {
		const char *other = meta_annotation(y, x->annotations[i]->key);
		if (!other || strcmp(other, x->annotations[i]->value))
			return true;
	}
	return false;
}

/* A set that is rolled back to gets a new revision and remembers the ones that it had. */
static void set_revision(MetaV1__ObjectMeta *meta, struct arena *a, const char *revision)
{
	const char *was = meta_annotation(meta, ANNOTATION("revision"));
	const char *history = meta_annotation(meta, ANNOTATION("revision-history"));
	if (was && *was)
		meta_set_annotation(meta, a, ANNOTATION("revision-history"),
		                    history && *history ? arena_printf(a, "%s,%s", history, was)
		                                        : was);
	meta_set_annotation(meta, a, ANNOTATION("revision"), revision);
}

/* A set that is being scaled, for the event of it. */
struct scaling {
	struct deployments *s;
	struct work *work;
	char *ns, *name, *uid, *set;
	int32_t from, to;
};

static void on_scaled(const struct client_result *r, void *arg)
{
	struct scaling *x = arg;
	struct recorder_ref ref = ref_of(x->ns, x->name, x->uid);
	if (r->code == ERR_OK)
		recorder_event(x->s->recorder, &ref, false, "ScalingReplicaSet", NULL,
		               "Scaled %s replica set %s from %d to %d",
		               x->to > x->from ? "up" : "down", x->set, x->from, x->to);
	work_answer(x->work, r);
	work_end(x->work);
	free(x->ns);
	free(x->name);
	free(x->uid);
	free(x->set);
	free(x);
}

static struct scaling *scaling_new(struct deployments *s, struct work *w,
                                   const MetaV1__ObjectMeta *d, const struct deployment_scale *to)
{
	struct scaling *x = heap_new(struct scaling);
	*x = (struct scaling){.s = s,
	                      .work = w,
	                      .ns = heap_strdup(d->namespace_),
	                      .name = heap_strdup(d->name),
	                      .uid = heap_strdup(d->uid),
	                      .set = heap_strdup(to->set->metadata->name),
	                      .from = to->set->spec->replicas,
	                      .to = to->replicas};
	return x;
}

static void scale_set(struct deployments *s, struct work *w, const AppsV1__Deployment *d,
                      const struct deployment_scale *to, struct arena *a)
{
	AppsV1__ReplicaSet rs = *to->set;
	AppsV1__ReplicaSetSpec spec = *rs.spec;
	rs.metadata = arena_memdup(a, rs.metadata, sizeof(*rs.metadata));
	if (to->newest) {
		copy_annotations(d, rs.metadata, a);
		spec.has_min_ready_seconds = 1;
		spec.min_ready_seconds = d->spec->min_ready_seconds;
	}
	annotate_numbers(d, rs.metadata, a);
	if (to->revision)
		set_revision(rs.metadata, a, to->revision);
	spec.has_replicas = 1;
	spec.replicas = to->replicas;
	rs.spec = &spec;
	if (!to->scaled && spec.min_ready_seconds == to->set->spec->min_ready_seconds &&
	    !annotations_differ(rs.metadata, to->set->metadata))
		return;
	struct client_target t = {
	    .resource = sets_resource, .ns = rs.metadata->namespace_, .name = rs.metadata->name};
	work_hold(w);
	client_write_msg(s->client, false, &t, &apps_v1__replica_set_schema, &rs.base,
	                 to->scaled ? on_scaled : work_done,
	                 to->scaled ? (void *)scaling_new(s, w, d->metadata, to) : w);
}

static void remove_set(struct deployments *s, struct work *w, const AppsV1__ReplicaSet *rs)
{
	struct client_target t = {
	    .resource = sets_resource, .ns = rs->metadata->namespace_, .name = rs->metadata->name};
	struct client_delete_options o = {.grace_period_seconds = -1, .uid = rs->metadata->uid};
	work_hold(w);
	client_delete(s->client, &t, &o, work_done, w);
}

static void write_own(struct deployments *s, struct work *w, AppsV1__Deployment *d,
                      const struct deployment_plan *plan, struct arena *a)
{
	struct client_target t = {.resource = {"apps", "v1", "deployments"},
	                          .ns = d->metadata->namespace_,
	                          .name = d->metadata->name};
	/* The annotation first: its event brings the status' turn. */
	if (plan->own_revision) {
		AppsV1__Deployment copy = *d;
		copy.metadata = arena_memdup(a, d->metadata, sizeof(*d->metadata));
		meta_set_annotation(copy.metadata, a, ANNOTATION("revision"), plan->own_revision);
		work_hold(w);
		client_write_msg(s->client, false, &t, &apps_v1__deployment_schema, &copy.base,
		                 work_done, w);
	} else if (plan->status_differs) {
		AppsV1__Deployment copy = *d;
		copy.status = plan->status;
		t.subresource = "status";
		work_hold(w);
		client_write_msg(s->client, false, &t, &apps_v1__deployment_schema, &copy.base,
		                 work_done, w);
	}
}

/* Claiming ReplicaSets */

static size_t claim_sets(struct deployments *s, struct work *w, const AppsV1__Deployment *d,
                         struct arena *a, AppsV1__ReplicaSet ***ret)
{
	struct label_selector selector;
	if (meta_label_selector(d->spec->selector, a, &selector, NULL))
		return 0;
	const struct claim c = {.client = s->client,
	                        .resource = sets_resource,
	                        .schema = &apps_v1__replica_set_schema,
	                        .objects = s->sets,
	                        .by_owner = s->sets_by_owner,
	                        .orphans = s->sets_orphans,
	                        .api_version = "apps/v1",
	                        .kind = "Deployment",
	                        .owner = d->metadata,
	                        .selector = &selector};
	return claim_objects(&c, w, a, ret);
}

/* Pods of all sets but the newest that have not ended. */
static size_t count_old_pods(struct deployments *s, const struct deployment_input *in,
                             struct arena *a)
{
	const AppsV1__ReplicaSet *newest = deployment_new_set(in);
	size_t count = 0;
	for (size_t i = 0; i < in->n_sets; i++) {
		size_t n;
		if (in->sets[i] == newest)
			continue;
		const struct informer_object *const *pods =
		    informer_lookup(s->pods, s->pods_by_owner, in->sets[i]->metadata->uid, &n);
		for (size_t k = 0; k < n; k++) {
			const CoreV1__Pod *pod =
			    (void *)informer_object_decode(pods[k], &core_v1__pod_schema, a);
			count += pod && strcmp(pod->status->phase, "Succeeded") &&
			         strcmp(pod->status->phase, "Failed");
		}
	}
	return count;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct deployments *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->deployments, key);
	AppsV1__Deployment *d =
	    o ? (void *)informer_object_decode(o, &apps_v1__deployment_schema, &a) : NULL;
	if (!d) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	AppsV1__ReplicaSet **sets = NULL;
	struct deployment_input in = {.d = d, .now_s = clock_real_ns() / 1000000000};
	struct deployment_plan plan;
	in.n_sets = claim_sets(s, w, d, &a, &sets);
	in.sets = sets;
	if (d->spec->strategy && !strcmp(d->spec->strategy->type, "Recreate"))
		in.old_pods = count_old_pods(s, &in, &a);
	deployment_plan(&in, &a, &plan);
	if (plan.create)
		create_set(s, w, d, &plan, &a);
	for (size_t i = 0; i < plan.n_scale; i++)
		scale_set(s, w, d, &plan.scale[i], &a);
	for (size_t i = 0; i < plan.n_remove; i++)
		remove_set(s, w, plan.remove[i]);
	write_own(s, w, d, &plan, &a);
	if (plan.recheck_s)
		workqueue_add_after(q, key, (uint64_t)MAX(plan.recheck_s - in.now_s, 1) * 1000);
	work_end(w);
}

/* Events */

static void on_deployment(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct deployments *)arg)->queue, o->key);
}

static void on_deployment_update(const struct informer_object *old, const struct informer_object *o,
                                 void *arg)
{
	on_deployment(o, arg);
}

static void on_set(const struct informer_object *o, void *arg)
{
	struct deployments *s = arg;
	size_t n;
	const struct informer_object *const *list =
	    *o->owner_uid ? informer_lookup(s->deployments, s->by_uid, o->owner_uid, &n)
	                  : informer_lookup(s->deployments, s->by_ns, o->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, list[i]->key);
}

static void on_set_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	if (strcmp(old->owner_uid, o->owner_uid))
		on_set(old, arg);
	on_set(o, arg);
}

/* Recreate goes on when the last old pod has gone. */
static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct deployments *s = arg;
	size_t n;
	if (!*old->owner_uid)
		return;
	const struct informer_object *const *sets =
	    informer_lookup(s->sets, s->sets_by_uid, old->owner_uid, &n);
	for (size_t i = 0; i < n; i++)
		on_set(sets[i], arg);
}

static void *make(struct manager *m)
{
	struct deployments *s = heap_new(struct deployments);
	s->m = m;
	s->client = manager_client(m, "deployment-controller");
	s->recorder = recorder_new(m->client, controller_deployment.name, NULL);
	s->queue = manager_queue(m, "deployment", WORKERS, process, s);
	s->deployments = informers_get(
	    m->informers, &(struct client_resource){"apps", "v1", "deployments"}, NULL, NULL, NULL);
	s->sets = informers_get(m->informers, &sets_resource, NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->sets_by_owner = informer_add_index(s->sets, "owner", informer_index_owner);
	s->sets_orphans = informer_add_index(s->sets, "orphan", index_orphan);
	s->sets_by_uid = informer_add_index(s->sets, "uid", index_uid);
	s->pods_by_owner = informer_add_index(s->pods, "owner", informer_index_owner);
	s->by_uid = informer_add_index(s->deployments, "uid", index_uid);
	s->by_ns = informer_add_index(s->deployments, "ns", informer_index_ns);
	informer_add_handler(
	    s->deployments,
	    &(struct informer_handler){on_deployment, on_deployment_update, on_deployment, s});
	informer_add_handler(s->sets, &(struct informer_handler){on_set, on_set_update, on_set, s});
	informer_add_handler(s->pods, &(struct informer_handler){NULL, NULL, on_pod_delete, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct deployments *)self)->queue);
}

static void free_self(void *self)
{
	struct deployments *s = self;
	recorder_free(s->recorder);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_deployment = {
    .name = "deployment-controller", .make = make, .run = run, .free = free_self};
