/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a scheduling plugin is: a const table of pure functions, one for each extension point that
 * it takes part in (kube-scheduler framework; KEP-624). Plugins keep no state of their own: what
 * they compute once a cycle goes into the cycle's arena, what they are configured with into `args`.
 *
 * A cycle calls, in this order: pre_filter, filter (each node), post_filter (when no node fits),
 * pre_score, score (each node that fits), normalize, reserve, permit, pre_bind, bind, post_bind.
 * The queue calls pre_enqueue, queue_sort and the hints of `events`. */
#include "common/base/rng.h"
#include "common/codec/jvalue.h"
#include "scheduler/core/cluster.h"

enum status_code {
	STATUS_SUCCESS,
	STATUS_SKIP,          /* pre_filter, pre_score: leave this plugin's filter or score out */
	STATUS_UNSCHEDULABLE, /* removing pods from the node could help */
	STATUS_UNRESOLVABLE,  /* nothing that happens to other pods helps */
	STATUS_WAIT,          /* permit: not yet */
	STATUS_ERROR,
};

enum {
	SCORE_MAX = 100,
	REASONS_MAX = 16,
	PLUGINS_MAX = 64, /* of a profile: plugins are bits of a mask */
};

/* Why; texts are const or in the arena. Functions accept NULL: nobody wants to know. */
struct reasons {
	struct arena *arena;
	size_t n;
	const char *at[REASONS_MAX];
};

static inline void reasons_add(struct reasons *r, const char *text)
{
	if (r && r->n < REASONS_MAX)
		r->at[r->n++] = text;
}

struct framework;
struct cycle;

/* What every function of a plugin is given. */
struct plugin_call {
	struct cycle *cycle;
	const struct pod_info *pod;
	struct cluster *cluster;
	const struct symbols *symbols;
	const void *args;   /* of the plugin; NULL when it has none */
	void **state;       /* what pre_filter computed, in the cycle's arena */
	void **score_state; /* what pre_score computed */
	struct arena *arena;
	struct rng *rng;
};

/* pre_filter may say that only these nodes can fit. */
struct node_subset {
	bool limited;
	size_t n;
	const char **names; /* sorted, in the arena */
};

/* How a node was refused. */
struct node_status {
	uint8_t code;   /* enum status_code; 0: it was not, or not looked at */
	uint8_t plugin; /* number in the profile */
};

struct preemption {
	const char *node;
	size_t n_victims;
	const struct pod_info **victims; /* most important first */
};

struct post_filter_result {
	const char *message; /* "" or why it did not help; of the FailedScheduling message */
	bool set_nominated;  /* nominated_node tells what it is from now on, "" for none */
	const char *nominated_node;
	struct preemption preemption; /* n_victims 0: none */
};

/* What the shell writes to bind a pod. */
enum bind_action {
	BIND_NONE,
	BIND_BINDING, /* POST pods/binding */
};

enum hint {
	HINT_SKIP,
	HINT_QUEUE,
};

struct hint_call {
	const struct cluster *cluster;
	const struct symbols *symbols;
	const void *args;
	const struct pod_info *pod; /* the one that waits */
};

/* NULL hint: always HINT_QUEUE. `kinds` are bits of enum event_kind. */
struct plugin_event {
	unsigned kinds;
	enum hint (*hint)(const struct hint_call *c, const struct event *e);
};

struct plugin {
	const char *name;
	int64_t weight; /* when the configuration says nothing */

	/* Parses pluginConfig args (NULL: the defaults) into the arena. NULL: it takes none. */
	int (*parse_args)(const struct jvalue *args, struct symbols *s, struct arena *a,
	                  const void **ret, struct err *err);

	/* May the pod enter the active queue? */
	enum status_code (*pre_enqueue)(const struct pod_info *pod, struct reasons *why);
	/* <0: a goes first. */
	int (*queue_sort)(const struct pod_info *a, uint64_t a_since_ms, const struct pod_info *b,
	                  uint64_t b_since_ms);
	enum status_code (*pre_filter)(const struct plugin_call *c, struct node_subset *subset,
	                               struct reasons *why);
	/* What pre_filter computed, as if pod p came to or left the node; the reverse call takes
	 * it back. */
	void (*add_pod)(const struct plugin_call *c, const struct node_info *n,
	                const struct pod_info *p);
	void (*remove_pod)(const struct plugin_call *c, const struct node_info *n,
	                   const struct pod_info *p);
	enum status_code (*filter)(const struct plugin_call *c, const struct node_info *n,
	                           struct reasons *why);
	/* statuses by the order of cluster_nodes. SUCCESS: the pod was nominated. */
	enum status_code (*post_filter)(const struct plugin_call *c,
	                                const struct node_status *statuses,
	                                struct post_filter_result *ret);
	enum status_code (*pre_score)(const struct plugin_call *c, struct node_info *const *nodes,
	                              size_t n);
	/* Larger is better; 0..SCORE_MAX after normalize, or at once without it. */
	int64_t (*score)(const struct plugin_call *c, const struct node_info *n);
	void (*normalize)(const struct plugin_call *c, struct node_info *const *nodes,
	                  int64_t *scores, size_t n);
	enum status_code (*reserve)(const struct plugin_call *c, const struct node_info *n,
	                            struct reasons *why);
	void (*unreserve)(const struct plugin_call *c, const struct node_info *n);
	/* WAIT: fills the time after which the pod is refused. */
	enum status_code (*permit)(const struct plugin_call *c, const struct node_info *n,
	                           uint32_t *timeout_ms, struct reasons *why);
	enum status_code (*pre_bind)(const struct plugin_call *c, const struct node_info *n,
	                             struct reasons *why);
	/* SKIP: another plugin binds it. */
	enum status_code (*bind)(const struct plugin_call *c, const struct node_info *n,
	                         enum bind_action *ret);
	void (*post_bind)(const struct plugin_call *c, const struct node_info *n);

	/* EnqueueExtensions: ends with kinds 0; NULL: nothing helps but time. */
	const struct plugin_event *events;
};

/* Scales scores to 0..SCORE_MAX by their largest (plugin helper DefaultNormalizeScore). */
void scores_normalize(int64_t *scores, size_t n, bool reverse);

/* A plugin as a profile uses it. */
struct plugin_use {
	const struct plugin *plugin;
	const void *args;
	unsigned number; /* in struct framework.uses: its bit, and its state's place */
	int64_t weight;  /* score */
};

struct plugin_uses {
	size_t n;
	struct plugin_use *at;
};

/* The extension points, as the configuration names them. */
#define EXTENSION_POINTS(X)                        \
	X(PRE_ENQUEUE, "preEnqueue", "PreEnqueue") \
	X(QUEUE_SORT, "queueSort", "QueueSort")    \
	X(PRE_FILTER, "preFilter", "PreFilter")    \
	X(FILTER, "filter", "Filter")              \
	X(POST_FILTER, "postFilter", "PostFilter") \
	X(PRE_SCORE, "preScore", "PreScore")       \
	X(SCORE, "score", "Score")                 \
	X(RESERVE, "reserve", "Reserve")           \
	X(PERMIT, "permit", "Permit")              \
	X(PRE_BIND, "preBind", "PreBind")          \
	X(BIND, "bind", "Bind")                    \
	X(POST_BIND, "postBind", "PostBind")

enum extension_point {
#define X(name, config, metric) POINT_##name,
	EXTENSION_POINTS(X)
#undef X
	    POINT_COUNT
};

/* One profile: a scheduler name and its plugins at each point, in their order. */
struct framework {
	const char *scheduler_name;
	int64_t percentage_of_nodes; /* 0: adaptive */
	struct plugin_uses uses;     /* all, by number */
	struct plugin_uses points[POINT_COUNT];
};

/* Does a plugin take part in a point? */
bool plugin_has_point(const struct plugin *p, enum extension_point point);
/* PreEnqueue of all plugins: SUCCESS, or what the first says that refuses. */
enum status_code framework_pre_enqueue(const struct framework *f, const struct pod_info *pod,
                                       const char **ret_plugin);
