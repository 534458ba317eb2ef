/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/replicaset/kinds.h"

#include "proto/schema_messages.h"

/* ReplicaSets */

static const AppsV1__ReplicaSet *view_set(const ProtobufCMessage *msg, struct arena *a)
{
	return (const AppsV1__ReplicaSet *)msg;
}

static const ProtobufCMessage *set_with_status(const ProtobufCMessage *msg,
                                               AppsV1__ReplicaSetStatus *status, struct arena *a)
{
	AppsV1__ReplicaSet *copy = arena_memdup(a, msg, sizeof(*copy));
	copy->status = status;
	return &copy->base;
}

const struct set_kind set_kind_replicaset = {
    .api_version = "apps/v1",
    .kind = "ReplicaSet",
    .account = "replicaset-controller",
    .component = "replicaset-controller",
    .queue = "replicaset",
    .resource = {"apps", "v1", "replicasets"},
    .schema = &apps_v1__replica_set_schema,
    .view = view_set,
    .with_status = set_with_status,
};

/* ReplicationControllers */

static MetaV1__LabelSelector *view_selector(const CoreV1__ReplicationControllerSpec *spec,
                                            struct arena *a)
{
	MetaV1__LabelSelector *s = arena_new(a, MetaV1__LabelSelector);
	*s = (MetaV1__LabelSelector)META_V1__LABEL_SELECTOR__INIT;
	s->n_match_labels = spec->n_selector;
	s->match_labels =
	    arena_array(a, MetaV1__LabelSelector__MatchLabelsEntry *, spec->n_selector);
	for (size_t i = 0; i < spec->n_selector; i++) {
		MetaV1__LabelSelector__MatchLabelsEntry *e =
		    arena_new(a, MetaV1__LabelSelector__MatchLabelsEntry);
		*e = (MetaV1__LabelSelector__MatchLabelsEntry)
		    META_V1__LABEL_SELECTOR__MATCH_LABELS_ENTRY__INIT;
		e->key = spec->selector[i]->key;
		e->value = spec->selector[i]->value;
		s->match_labels[i] = e;
	}
	return s;
}

static AppsV1__ReplicaSetCondition *
view_condition(const CoreV1__ReplicationControllerCondition *from, struct arena *a)
{
	AppsV1__ReplicaSetCondition *c = arena_new(a, AppsV1__ReplicaSetCondition);
	*c = (AppsV1__ReplicaSetCondition)APPS_V1__REPLICA_SET_CONDITION__INIT;
	c->type = from->type;
	c->status = from->status;
	c->last_transition_time = from->last_transition_time;
	c->reason = from->reason;
	c->message = from->message;
	return c;
}

static AppsV1__ReplicaSetStatus *view_status(const CoreV1__ReplicationControllerStatus *rc,
                                             struct arena *a)
{
	AppsV1__ReplicaSetStatus *s = arena_new(a, AppsV1__ReplicaSetStatus);
	*s = (AppsV1__ReplicaSetStatus)APPS_V1__REPLICA_SET_STATUS__INIT;
	s->replicas = rc->replicas;
	s->fully_labeled_replicas = rc->fully_labeled_replicas;
	s->ready_replicas = rc->ready_replicas;
	s->available_replicas = rc->available_replicas;
	s->observed_generation = rc->observed_generation;
	s->has_terminating_replicas = 1; /* this kind does not count them */
	s->n_conditions = rc->n_conditions;
	s->conditions = arena_array(a, AppsV1__ReplicaSetCondition *, rc->n_conditions);
	for (size_t i = 0; i < rc->n_conditions; i++)
		s->conditions[i] = view_condition(rc->conditions[i], a);
	return s;
}

static const AppsV1__ReplicaSet *view_controller(const ProtobufCMessage *msg, struct arena *a)
{
	const CoreV1__ReplicationController *rc = (const CoreV1__ReplicationController *)msg;
	AppsV1__ReplicaSet *rs = arena_new(a, AppsV1__ReplicaSet);
	AppsV1__ReplicaSetSpec *spec = arena_new(a, AppsV1__ReplicaSetSpec);
	*rs = (AppsV1__ReplicaSet)APPS_V1__REPLICA_SET__INIT;
	*spec = (AppsV1__ReplicaSetSpec)APPS_V1__REPLICA_SET_SPEC__INIT;
	spec->has_replicas = rc->spec->has_replicas;
	spec->replicas = rc->spec->replicas;
	spec->min_ready_seconds = rc->spec->min_ready_seconds;
	spec->selector = view_selector(rc->spec, a);
	spec->template_ = rc->spec->template_;
	rs->metadata = rc->metadata;
	rs->spec = spec;
	rs->status = view_status(rc->status, a);
	return rs;
}

static CoreV1__ReplicationControllerCondition *
condition_back(const AppsV1__ReplicaSetCondition *from, struct arena *a)
{
	CoreV1__ReplicationControllerCondition *c =
	    arena_new(a, CoreV1__ReplicationControllerCondition);
	*c =
	    (CoreV1__ReplicationControllerCondition)CORE_V1__REPLICATION_CONTROLLER_CONDITION__INIT;
	c->type = from->type;
	c->status = from->status;
	c->last_transition_time = from->last_transition_time;
	c->reason = from->reason;
	c->message = from->message;
	return c;
}

static const ProtobufCMessage *controller_with_status(const ProtobufCMessage *msg,
                                                      AppsV1__ReplicaSetStatus *status,
                                                      struct arena *a)
{
	CoreV1__ReplicationController *rc =
	    arena_memdup(a, msg, sizeof(CoreV1__ReplicationController));
	CoreV1__ReplicationControllerStatus *s = arena_memdup(a, rc->status, sizeof(*s));
	s->has_replicas = s->has_fully_labeled_replicas = s->has_ready_replicas = 1;
	s->has_available_replicas = s->has_observed_generation = 1;
	s->replicas = status->replicas;
	s->fully_labeled_replicas = status->fully_labeled_replicas;
	s->ready_replicas = status->ready_replicas;
	s->available_replicas = status->available_replicas;
	s->observed_generation = status->observed_generation;
	s->n_conditions = status->n_conditions;
	s->conditions =
	    arena_array(a, CoreV1__ReplicationControllerCondition *, status->n_conditions);
	for (size_t i = 0; i < status->n_conditions; i++)
		s->conditions[i] = condition_back(status->conditions[i], a);
	rc->status = s;
	return &rc->base;
}

const struct set_kind set_kind_replicationcontroller = {
    .api_version = "v1",
    .kind = "ReplicationController",
    .account = "replication-controller",
    .component = "replication-controller",
    .queue = "replicationmanager",
    .resource = {"", "v1", "replicationcontrollers"},
    .schema = &core_v1__replication_controller_schema,
    .view = view_controller,
    .with_status = controller_with_status,
};
