/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "kubelet/stats/stats.h"

/* JSON: a member begins with a comma unless it is the first of its object. */

static void name_of(struct buf *b, const char *name)
{
	if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
		buf_byte(b, ',');
	buf_printf(b, "\"%s\":", name);
}

static void number(struct buf *b, const char *name, uint64_t v)
{
	name_of(b, name);
	json_write_u64(b, v);
}

static void text(struct buf *b, const char *name, const char *v)
{
	name_of(b, name);
	json_write_cstr(b, v);
}

static void time_at(struct buf *b, const char *name, int64_t ns)
{
	char s[RFC3339_BYTES];
	rfc3339_format(ns / 1000000000, s);
	text(b, name, ns ? s : "");
}

static void open_object(struct buf *b, const char *name, int64_t time_ns)
{
	name_of(b, name);
	buf_byte(b, '{');
	if (time_ns)
		time_at(b, "time", time_ns);
}

static void item(struct buf *b)
{
	if (b->data[b->len - 1] != '[')
		buf_byte(b, ',');
	buf_byte(b, '{');
}

static void write_usage(struct buf *b, const struct usage *u, int64_t now, uint64_t capacity)
{
	if (u->u.has_cpu) {
		open_object(b, "cpu", now);
		if (u->has_rate)
			number(b, "usageNanoCores", u->nano_cores);
		number(b, "usageCoreNanoSeconds", u->u.cpu_ns);
		buf_byte(b, '}');
	}
	if (!u->u.has_memory)
		return;
	uint64_t limit = u->u.memory_limit_bytes ? u->u.memory_limit_bytes : capacity;
	open_object(b, "memory", now);
	if (limit)
		number(b, "availableBytes",
		       limit > u->u.working_set_bytes ? limit - u->u.working_set_bytes : 0);
	number(b, "usageBytes", u->u.memory_bytes);
	number(b, "workingSetBytes", u->u.working_set_bytes);
	number(b, "rssBytes", u->u.rss_bytes);
	number(b, "pageFaults", u->u.page_faults);
	number(b, "majorPageFaults", u->u.major_faults);
	buf_byte(b, '}');
}

static void write_swap(struct buf *b, const struct usage *u, int64_t now, uint64_t capacity)
{
	if (!u->u.has_swap)
		return;
	open_object(b, "swap", now);
	if (capacity)
		number(b, "swapAvailableBytes",
		       capacity > u->u.swap_bytes ? capacity - u->u.swap_bytes : 0);
	number(b, "swapUsageBytes", u->u.swap_bytes);
	buf_byte(b, '}');
}

static void fs_members(struct buf *b, const struct fs_usage *f)
{
	if (f->has_fs) {
		number(b, "availableBytes", f->available_bytes);
		number(b, "capacityBytes", f->capacity_bytes);
	}
	if (f->has_used)
		number(b, "usedBytes", f->used_bytes);
	if (f->has_fs) {
		number(b, "inodesFree", f->inodes_free);
		number(b, "inodes", f->inodes);
	}
	if (f->has_used)
		number(b, "inodesUsed", f->inodes_used);
}

static void write_fs(struct buf *b, const char *name, const struct fs_usage *f, int64_t now)
{
	if (!f->has_fs && !f->has_used)
		return;
	open_object(b, name, now);
	fs_members(b, f);
	buf_byte(b, '}');
}

static void net_members(struct buf *b, const struct net_usage *n)
{
	text(b, "name", n->name);
	number(b, "rxBytes", n->rx_bytes);
	number(b, "rxErrors", n->rx_errors);
	number(b, "txBytes", n->tx_bytes);
	number(b, "txErrors", n->tx_errors);
}

static void write_net(struct buf *b, const struct net_usage *nets, size_t n, int64_t now)
{
	if (!n)
		return;
	open_object(b, "network", now);
	net_members(b, &nets[0]);
	name_of(b, "interfaces");
	buf_byte(b, '[');
	for (size_t i = 0; i < n; i++) {
		item(b);
		net_members(b, &nets[i]);
		buf_byte(b, '}');
	}
	buf_str(b, "]}");
}

static void write_node(const struct stats_snapshot *x, bool few, struct buf *b)
{
	open_object(b, "node", 0);
	text(b, "nodeName", x->node_name);
	name_of(b, "systemContainers");
	buf_byte(b, '[');
	for (size_t i = 0; i < x->n_systems; i++) {
		item(b);
		text(b, "name", x->systems[i].name);
		time_at(b, "startTime", x->systems[i].use.started_ns);
		write_usage(b, &x->systems[i].use, x->time_ns, 0);
		buf_byte(b, '}');
	}
	buf_byte(b, ']');
	time_at(b, "startTime", x->node.started_ns);
	write_usage(b, &x->node, x->time_ns, x->memory_capacity);
	if (!few) {
		write_net(b, x->nets, x->n_nets, x->time_ns);
		write_fs(b, "fs", &x->node_fs, x->time_ns);
		open_object(b, "runtime", 0);
		write_fs(b, "imageFs", &x->image_fs, x->time_ns);
		write_fs(b, "containerFs", &x->image_fs, x->time_ns);
		buf_byte(b, '}');
		open_object(b, "rlimit", x->time_ns);
		number(b, "maxpid", (uint64_t)x->pids_max);
		number(b, "curproc", (uint64_t)x->pids);
		buf_byte(b, '}');
		write_swap(b, &x->node, x->time_ns, x->swap_capacity);
	}
	buf_byte(b, '}');
}

static void write_container(const struct container_usage *c, int64_t now, bool few, struct buf *b)
{
	item(b);
	text(b, "name", c->name);
	time_at(b, "startTime", c->use.started_ns);
	write_usage(b, &c->use, now, 0);
	if (!few) {
		write_fs(b, "rootfs", &c->root, now);
		write_fs(b, "logs", &c->logs, now);
		write_swap(b, &c->use, now, 0);
	}
	buf_byte(b, '}');
}

static void write_pod(const struct pod_usage *p, int64_t now, bool few, struct buf *b)
{
	item(b);
	open_object(b, "podRef", 0);
	text(b, "name", p->name);
	text(b, "namespace", p->ns);
	text(b, "uid", p->uid);
	buf_byte(b, '}');
	time_at(b, "startTime", p->use.started_ns);
	name_of(b, "containers");
	buf_byte(b, '[');
	for (size_t i = 0; i < p->n_containers; i++)
		write_container(&p->containers[i], now, few, b);
	buf_byte(b, ']');
	write_usage(b, &p->use, now, 0);
	if (!few) {
		write_net(b, p->nets, p->n_nets, now);
		if (p->n_volumes) {
			name_of(b, "volume");
			buf_byte(b, '[');
			for (size_t i = 0; i < p->n_volumes; i++) {
				item(b);
				time_at(b, "time", now);
				fs_members(b, &p->volumes[i].fs);
				text(b, "name", p->volumes[i].name);
				buf_byte(b, '}');
			}
			buf_byte(b, ']');
		}
		write_fs(b, "ephemeral-storage", &p->ephemeral, now);
		open_object(b, "process_stats", 0);
		number(b, "process_count", p->use.u.pids);
		buf_byte(b, '}');
		write_swap(b, &p->use, now, 0);
	}
	buf_byte(b, '}');
}

void stats_summary_write(const struct stats_snapshot *x, bool only_cpu_and_memory, struct buf *out)
{
	buf_byte(out, '{');
	write_node(x, only_cpu_and_memory, out);
	name_of(out, "pods");
	buf_byte(out, '[');
	for (size_t i = 0; i < x->n_pods; i++)
		write_pod(&x->pods[i], x->time_ns, only_cpu_and_memory, out);
	buf_str(out, "]}");
}

/* Prometheus */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static long long stamp(const struct stats_snapshot *x)
{
	return (long long)(x->time_ns / 1000000);
}

typedef bool (*value_fn)(const struct usage *u, double *ret);

static bool cpu_of(const struct usage *u, double *ret)
{
	*ret = seconds(u->u.cpu_ns);
	return u->u.has_cpu;
}

static bool memory_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.working_set_bytes;
	return u->u.has_memory;
}

static bool swap_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.swap_bytes;
	return u->u.has_swap;
}

static bool start_of(const struct usage *u, double *ret)
{
	*ret = (double)u->started_ns / 1e9;
	return u->started_ns > 0;
}

static void node_metric(const struct stats_snapshot *x, struct buf *b, const char *name,
                        const char *type, const char *help, value_fn value)
{
	double v;
	if (!value(&x->node, &v))
		return;
	head(b, name, type, help);
	buf_printf(b, "%s %.17g %lld\n", name, v, stamp(x));
}

static void container_metric(const struct stats_snapshot *x, struct buf *b, const char *name,
                             const char *type, const char *help, value_fn value)
{
	double v;
	head(b, name, type, help);
	for (size_t i = 0; i < x->n_pods; i++)
		for (size_t k = 0; k < x->pods[i].n_containers; k++)
			if (value(&x->pods[i].containers[k].use, &v))
				buf_printf(
				    b,
				    "%s{container=\"%s\",namespace=\"%s\",pod=\"%s\"} %.17g %lld\n",
				    name, x->pods[i].containers[k].name, x->pods[i].ns,
				    x->pods[i].name, v, stamp(x));
}

static void pod_metric(const struct stats_snapshot *x, struct buf *b, const char *name,
                       const char *type, const char *help, value_fn value)
{
	double v;
	head(b, name, type, help);
	for (size_t i = 0; i < x->n_pods; i++)
		if (value(&x->pods[i].use, &v))
			buf_printf(b, "%s{namespace=\"%s\",pod=\"%s\"} %.17g %lld\n", name,
			           x->pods[i].ns, x->pods[i].name, v, stamp(x));
}

void stats_resource_write(const struct stats_snapshot *x, struct buf *b)
{
	container_metric(x, b, "container_cpu_usage_seconds_total", "counter",
	                 "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
	                 cpu_of);
	container_metric(x, b, "container_memory_working_set_bytes", "gauge",
	                 "[STABLE] Current working set of the container in bytes", memory_of);
	container_metric(x, b, "container_start_time_seconds", "gauge",
	                 "[STABLE] Start time of the container since unix epoch in seconds",
	                 start_of);
	container_metric(x, b, "container_swap_usage_bytes", "gauge",
	                 "[ALPHA] Current amount of the container swap usage in bytes", swap_of);
	node_metric(x, b, "node_cpu_usage_seconds_total", "counter",
	            "[STABLE] Cumulative cpu time consumed by the node in core-seconds", cpu_of);
	node_metric(x, b, "node_memory_working_set_bytes", "gauge",
	            "[STABLE] Current working set of the node in bytes", memory_of);
	node_metric(x, b, "node_swap_usage_bytes", "gauge",
	            "[ALPHA] Current swap usage of the node in bytes", swap_of);
	pod_metric(x, b, "pod_cpu_usage_seconds_total", "counter",
	           "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", cpu_of);
	pod_metric(x, b, "pod_memory_working_set_bytes", "gauge",
	           "[STABLE] Current working set of the pod in bytes", memory_of);
	pod_metric(x, b, "pod_swap_usage_bytes", "gauge",
	           "[ALPHA] Current amount of the pod swap usage in bytes", swap_of);
	head(b, "resource_scrape_error", "gauge",
	     "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
	buf_str(b, "resource_scrape_error 0\n");
}

/* cAdvisor's labels: all series have them all, empty where they do not apply. */
struct labels {
	const char *container, *id, *image, *name, *ns, *pod;
};

static void labelled(struct buf *b, const char *metric, const char *more, const struct labels *l,
                     double v, long long ms)
{
	buf_printf(b,
	           "%s{container=\"%s\",%sid=\"%s\",image=\"%s\",name=\"%s\",namespace=\"%s\","
	           "pod=\"%s\"} %.17g %lld\n",
	           metric, l->container, more, l->id, l->image, l->name, l->ns, l->pod, v, ms);
}

static bool usage_bytes_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.memory_bytes;
	return u->u.has_memory;
}

static bool rss_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.rss_bytes;
	return u->u.has_memory;
}

static bool limit_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.memory_limit_bytes;
	return u->u.has_memory;
}

static bool ooms_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.oom_kills;
	return u->u.has_memory;
}

static bool pids_of(const struct usage *u, double *ret)
{
	*ret = (double)u->u.pids;
	return u->u.has_pids;
}

static void cadvisor_metric(const struct stats_snapshot *x, struct buf *b, const char *name,
                            const char *type, const char *help, const char *more, value_fn value)
{
	double v;
	head(b, name, type, help);
	if (value(&x->node, &v))
		labelled(b, name, more, &(struct labels){"", "/", "", "", "", ""}, v, stamp(x));
	for (size_t i = 0; i < x->n_systems; i++)
		if (value(&x->systems[i].use, &v))
			labelled(b, name, more,
			         &(struct labels){"", x->systems[i].cgroup, "", "", "", ""}, v,
			         stamp(x));
	for (size_t i = 0; i < x->n_pods; i++) {
		const struct pod_usage *p = &x->pods[i];
		if (value(&p->use, &v))
			labelled(b, name, more,
			         &(struct labels){"", p->cgroup, "", "", p->ns, p->name}, v,
			         stamp(x));
		for (size_t k = 0; k < p->n_containers; k++) {
			const struct container_usage *c = &p->containers[k];
			if (value(&c->use, &v))
				labelled(b, name, more,
				         &(struct labels){c->name, c->cgroup, c->image, c->id,
				                          p->ns, p->name},
				         v, stamp(x));
		}
	}
}

static void network_metric(const struct stats_snapshot *x, struct buf *b, const char *what,
                           size_t offset)
{
	char name[80];
	snprintf(name, sizeof(name), "container_network_%s_total", what);
	head(b, name, "counter", "Cumulative count of the network interface");
	for (size_t i = 0; i <= x->n_pods; i++) {
		const struct pod_usage *p = i < x->n_pods ? &x->pods[i] : NULL;
		const struct net_usage *nets = p ? p->nets : x->nets;
		for (size_t k = 0; k < (p ? p->n_nets : x->n_nets); k++) {
			char more[80];
			uint64_t v;
			memcpy(&v, (const char *)&nets[k] + offset, sizeof(v));
			snprintf(more, sizeof(more), "interface=\"%.32s\",", nets[k].name);
			struct labels l = {"", p ? p->cgroup : "/", "",
			                   "", p ? p->ns : "",      p ? p->name : ""};
			labelled(b, name, more, &l, (double)v, stamp(x));
		}
	}
}

void stats_cadvisor_write(const struct stats_snapshot *x, struct buf *b)
{
	cadvisor_metric(x, b, "container_cpu_usage_seconds_total", "counter",
	                "Cumulative cpu time consumed in seconds.", "cpu=\"total\",", cpu_of);
	cadvisor_metric(x, b, "container_memory_working_set_bytes", "gauge",
	                "Current working set in bytes.", "", memory_of);
	cadvisor_metric(x, b, "container_memory_usage_bytes", "gauge",
	                "Current memory usage in bytes, including all memory regardless of when it "
	                "was accessed",
	                "", usage_bytes_of);
	cadvisor_metric(x, b, "container_memory_rss", "gauge", "Size of RSS in bytes.", "", rss_of);
	cadvisor_metric(x, b, "container_memory_swap", "gauge", "Container swap usage in bytes.",
	                "", swap_of);
	cadvisor_metric(x, b, "container_spec_memory_limit_bytes", "gauge",
	                "Memory limit for the container.", "", limit_of);
	cadvisor_metric(x, b, "container_oom_events_total", "counter",
	                "Count of out of memory events observed for the container", "", ooms_of);
	cadvisor_metric(x, b, "container_processes", "gauge",
	                "Number of processes running inside the container.", "", pids_of);
	cadvisor_metric(x, b, "container_start_time_seconds", "gauge",
	                "Start time of the container since unix epoch in seconds.", "", start_of);
	network_metric(x, b, "receive_bytes", offsetof(struct net_usage, rx_bytes));
	network_metric(x, b, "receive_packets", offsetof(struct net_usage, rx_packets));
	network_metric(x, b, "receive_errors", offsetof(struct net_usage, rx_errors));
	network_metric(x, b, "receive_packets_dropped", offsetof(struct net_usage, rx_dropped));
	network_metric(x, b, "transmit_bytes", offsetof(struct net_usage, tx_bytes));
	network_metric(x, b, "transmit_packets", offsetof(struct net_usage, tx_packets));
	network_metric(x, b, "transmit_errors", offsetof(struct net_usage, tx_errors));
	network_metric(x, b, "transmit_packets_dropped", offsetof(struct net_usage, tx_dropped));
	head(b, "container_fs_usage_bytes", "gauge",
	     "Number of bytes that are consumed by the container on this filesystem.");
	for (size_t i = 0; i < x->n_pods; i++)
		for (size_t k = 0; k < x->pods[i].n_containers; k++) {
			const struct container_usage *c = &x->pods[i].containers[k];
			struct labels l = {c->name, c->cgroup,     c->image,
			                   c->id,   x->pods[i].ns, x->pods[i].name};
			if (c->root.has_used)
				labelled(b, "container_fs_usage_bytes", "device=\"\",", &l,
				         (double)c->root.used_bytes, stamp(x));
		}
	head(b, "machine_cpu_cores", "gauge", "Number of logical CPU cores.");
	buf_printf(b, "machine_cpu_cores %lld\n", (long long)x->cpus);
	head(b, "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
	buf_printf(b, "machine_memory_bytes %llu\n", (unsigned long long)x->memory_capacity);
}
