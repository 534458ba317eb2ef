/* SPDX-License-Identifier: Apache-2.0 */
/* Measures queue, cycle and bookkeeping of the scheduler's core without any I/O, on the workloads
 * of upstream's scheduler_perf:
 *
 *     core_bench [NODES [PODS]]
 *
 * A pod's way: extracted from its object, queued, taken, scheduled, assumed, confirmed. */
#include <stdio.h>
#include <time.h>

#include "common/codec/yaml.h"
#include "proto/json_decode.h"
#include "proto/schema_messages.h"
#include "scheduler/core/profile.h"
#include "scheduler/core/queue.h"
#include "scheduler/plugins/plugins.h"

struct workload {
	const char *name;
	const char *init, *pod; /* specs; init NULL: none are there before */
	size_t n_init, n_pods;
	int priority;
};

static const struct workload workloads[] = {
    {"SchedulingBasic", NULL, "", 0, 1, 0},
    {"TopologySpreading", NULL,
     "topologySpreadConstraints: [{maxSkew: 5, topologyKey: topology.kubernetes.io/zone, "
     "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {color: blue}}}]",
     0, 1, 0},
    {"PreferredTopologySpreading", NULL,
     "topologySpreadConstraints: [{maxSkew: 5, topologyKey: topology.kubernetes.io/zone, "
     "whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {color: blue}}}]",
     0, 1, 0},
    {"SchedulingPodAffinity", NULL,
     "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "
     "topology.kubernetes.io/zone, labelSelector: {matchLabels: {color: blue}}}]}}",
     0, 1, 0},
    {"SchedulingPodAntiAffinity", NULL,
     "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
     "[{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {color: blue}}}]}}",
     0, 3, 0},
    {"SchedulingPreferredPodAffinity", NULL,
     "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, "
     "podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: "
     "{color: blue}}}}]}}",
     0, 1, 0},
    {"SchedulingNodeAffinity", NULL,
     "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
     "{nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, "
     "values: [zone0, zone1]}]}]}}}",
     0, 1, 0},
    {"Preemption", "cpu: 900m", "cpu: '3'", 4, 10, 10},
};

struct bench {
	struct arena arena;
	struct cluster *cluster;
	struct profile_config config;
	struct queue *queue;
	struct cycle cycle;
	struct rng rng;
	size_t start, n_nodes;
	uint64_t now_ms;
};

static ProtobufCMessage *object(struct bench *b, const struct schema_message *schema,
                                const char *yaml)
{
	struct jvalue *v;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	if (yaml_parse(slice_str(yaml), &b->arena, NULL, &v, &err) ||
	    json_decode_tree(schema, v, &b->arena, NULL, &msg, NULL, &err)) {
		fprintf(stderr, "%s\n%s\n", yaml, err.text);
		exit(1);
	}
	return msg;
}

static void add_nodes(struct bench *b)
{
	for (size_t i = 0; i < b->n_nodes; i++) {
		const char *yaml = arena_printf(&b->arena,
		                                "{metadata: {name: node-%zu, uid: n%zu, labels: "
		                                "{kubernetes.io/hostname: node-%zu, "
		                                "topology.kubernetes.io/zone: zone%zu}}, status: "
		                                "{allocatable: {cpu: '4', memory: "
		                                "32Gi, pods: '110'}}}",
		                                i, i, i, i % 3);
		const CoreV1__Node *n = (void *)object(b, &core_v1__node_schema, yaml);
		cluster_set_node(b->cluster, node_spec_new(cluster_symbols(b->cluster), n), NULL);
	}
}

static CoreV1__Pod *pod_object(struct bench *b, const char *spec, int priority)
{
	const char *cpu = "100m", *rest = spec;
	if (!strncmp(spec, "cpu: ", 5)) {
		cpu = spec + 5;
		rest = "";
	}
	return (CoreV1__Pod *)object(
	    b, &core_v1__pod_schema,
	    arena_printf(
	        &b->arena,
	        "{metadata: {name: pod-0000000, namespace: default, uid: u, labels: {color: "
	        "blue}}, spec: {priority: %d, containers: [{name: c, image: pause, "
	        "resources: {requests: {cpu: %s, memory: 50Mi}}}], %s}}",
	        priority, cpu, rest));
}

/* One pod from its object to its node; false: it found none. */
static bool schedule(struct bench *b, CoreV1__Pod *object, size_t number)
{
	snprintf(object->metadata->name, 12, "pod-%07zu", number);
	const struct framework *f = b->config.profiles;
	struct pod_info *p = pod_info_new(cluster_symbols(b->cluster), object);
	queue_add(b->queue, p, f, b->now_ms);
	pod_info_unref(p);
	const struct queue_item *it = queue_pop(b->queue, b->now_ms);
	struct cycle_result r;
	cycle_begin(&b->cycle, f, b->cluster, it->pod, &b->rng, NULL);
	cycle_schedule(&b->cycle, &b->start, &r);
	bool found = r.code == STATUS_SUCCESS;
	if (found) {
		cluster_assume(b->cluster, b->cycle.pod, r.node->name);
		/* The confirmation is a new object. */
		object->spec->node_name = r.node->name;
		p = pod_info_new(cluster_symbols(b->cluster), object);
		object->spec->node_name = (char *)"";
		cluster_set_pod(b->cluster, p);
		queue_event(b->queue, &(struct event){.kinds = EVENT_POD_ADD, .pod = p}, b->now_ms);
		pod_info_unref(p);
	} else if (r.post.preemption.n_victims) {
		for (size_t i = 0; i < r.post.preemption.n_victims; i++)
			pod_info_unref(
			    cluster_remove_pod(b->cluster, r.post.preemption.victims[i]->key));
		cluster_assume(b->cluster, b->cycle.pod, r.post.preemption.node);
		found = true;
	}
	queue_done(b->queue, b->cycle.pod->key);
	return found;
}

/* Of this process: what else runs on the machine does not count. */
static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(const struct workload *w, size_t n_nodes, size_t n_pods)
{
	struct bench b = {.cluster = cluster_new(), .n_nodes = n_nodes, .now_ms = 1};
	struct err err = ERR_INIT;
	struct queue_config config = QUEUE_CONFIG_DEFAULT;
	if (profile_config_build(NULL, plugins_registry, cluster_symbols(b.cluster), &b.arena,
	                         &b.config, &err))
		abort();
	config.cluster = b.cluster;
	b.queue = queue_new(&config);
	rng_init(&b.rng, 1);
	add_nodes(&b);
	size_t number = 0, refused = 0;
	if (w->init) {
		CoreV1__Pod *init = pod_object(&b, w->init, 0);
		for (size_t i = 0; i < w->n_init * n_nodes; i++)
			schedule(&b, init, number++);
	}
	CoreV1__Pod *pod = pod_object(&b, w->pod, w->priority);
	size_t n = n_pods / w->n_pods;
	double began = cpu_seconds();
	for (size_t i = 0; i < n; i++)
		refused += !schedule(&b, pod, number++);
	double seconds = cpu_seconds() - began;
	printf("| %s | %zu | %zu | %.0f | %.1f | %zu |\n", w->name, n_nodes, n, (double)n / seconds,
	       seconds / (double)n * 1e6, refused);
	fflush(stdout);
	cycle_deinit(&b.cycle);
	queue_free(b.queue);
	cluster_free(b.cluster);
	arena_deinit(&b.arena);
}

int main(int argc, char **argv)
{
	size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
	size_t pods = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
	printf("| workload | nodes | pods | pods a CPU second | us a pod | without a node |\n");
	printf("|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(workloads); i++)
		run(&workloads[i], nodes, pods);
}
