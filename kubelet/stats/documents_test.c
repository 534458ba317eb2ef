/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of one snapshot, and what is read from files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/codec/jvalue.h"
#include "kubelet/stats/stats.h"

static struct container_usage container = {
    .id = "c1",
    .name = "a",
    .image = "busybox",
    .cgroup = "/kubepods/podu/c1",
    .use = {.started_ns = 5000000000,
            .has_rate = true,
            .nano_cores = 7,
            .u = {.has_cpu = true,
                  .has_memory = true,
                  .cpu_ns = 1500000000,
                  .memory_bytes = 300,
                  .working_set_bytes = 200,
                  .memory_limit_bytes = 1000}},
    .root = {.has_used = true, .used_bytes = 11, .inodes_used = 2},
};
static struct volume_usage volume = {.name = "v", .fs = {.has_used = true, .used_bytes = 12}};
static struct net_usage net = {.name = "eth0", .rx_bytes = 21, .tx_bytes = 22};

static struct stats_snapshot snapshot(struct pod_usage *pod)
{
	*pod = (struct pod_usage){
	    .ns = "ns",
	    .name = "p",
	    .uid = "u",
	    .cgroup = "/kubepods/podu",
	    .containers = &container,
	    .n_containers = 1,
	    .volumes = &volume,
	    .n_volumes = 1,
	    .nets = &net,
	    .n_nets = 1,
	};
	pod->use.u.pids = 3;
	return (struct stats_snapshot){
	    .time_ns = 1000000000000,
	    .node_name = "n1",
	    .memory_capacity = 4096,
	    .node = {.u = {.has_cpu = true, .cpu_ns = 2000000000, .has_memory = true}},
	    .cpus = 2,
	    .pids = 5,
	    .pids_max = 100,
	    .pods = pod,
	    .n_pods = 1,
	};
}

static void summary(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct pod_usage pod;
	struct stats_snapshot x = snapshot(&pod);
	struct jvalue *doc = NULL;
	struct err err;
	static const struct {
		const char *path;
		int64_t value;
	} cases[] = {
	    {"node.cpu.usageCoreNanoSeconds", 2000000000},
	    {"node.rlimit.curproc", 5},
	    {"node.memory.availableBytes", 4096},
	    {"pod.network.rxBytes", 21},
	    {"pod.process_stats.process_count", 3},
	    {"c.cpu.usageNanoCores", 7},
	    {"c.memory.availableBytes", 800},
	    {"c.memory.workingSetBytes", 200},
	    {"c.rootfs.usedBytes", 11},
	    {"v.usedBytes", 12},
	};
	stats_summary_write(&x, false, &b);
	if (jvalue_parse(buf_view(&b), &a, NULL, &doc, &err))
		fail_msg("%s in %s", err.text, (const char *)b.data);
	struct jvalue *p = jvalue_at(jvalue_get(doc, "pods"), 0);
	jvalue_set(&a, doc, "pod", p);
	jvalue_set(&a, doc, "c", jvalue_at(jvalue_get(p, "containers"), 0));
	jvalue_set(&a, doc, "v", jvalue_at(jvalue_get(p, "volume"), 0));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct jvalue *v = jvalue_path(doc, cases[i].path);
		if (!v || v->i != cases[i].value)
			fail_msg("%s: %s", cases[i].path, (const char *)b.data);
	}
	assert_string_equal(jvalue_path(doc, "c.startTime")->str, "1970-01-01T00:00:05Z");
	buf_clear(&b);
	stats_summary_write(&x, true, &b);
	if (jvalue_parse(buf_view(&b), &a, NULL, &doc, &err))
		fail_msg("%s", err.text);
	assert_null(jvalue_path(doc, "node.rlimit"));
	assert_non_null(jvalue_path(doc, "node.cpu"));
}

static void metrics(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct pod_usage pod;
	struct stats_snapshot x = snapshot(&pod);
	static const char *const lines[] = {
	    "\ncontainer_cpu_usage_seconds_total{container=\"a\",namespace=\"ns\",pod=\"p\"} 1.5 "
	    "1000000\n",
	    "\nnode_cpu_usage_seconds_total 2 1000000\n",
	    "\ncontainer_start_time_seconds{container=\"a\",namespace=\"ns\",pod=\"p\"} 5 "
	    "1000000\n",
	    "\ncontainer_memory_working_set_bytes{container=\"a\",id=\"/kubepods/podu/c1\",image="
	    "\"busybox\",name=\"c1\",namespace=\"ns\",pod=\"p\"} 200 1000000\n",
	    "\ncontainer_network_receive_bytes_total{container=\"\",interface=\"eth0\",id="
	    "\"/kubepods/podu\",image=\"\",name=\"\",namespace=\"ns\",pod=\"p\"} 21 1000000\n",
	    "\nmachine_cpu_cores 2\n",
	};
	stats_resource_write(&x, &b);
	stats_cadvisor_write(&x, &b);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!strstr((const char *)b.data, lines[i]))
			fail_msg("no %s in\n%s", lines[i], (const char *)b.data);
}

static void interfaces(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct net_usage *nets;
	size_t n;
	stats_parse_net("Inter-|   Receive\n face |bytes\n"
	                "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
	                "  eth0:10 2 3 4 0 0 0 0 20 5 6 7 0 0 0 0\n"
	                "  bad: 1 2\n",
	                &a, &nets, &n);
	assert_int_equal(n, 1);
	assert_string_equal(nets[0].name, "eth0");
	assert_int_equal(nets[0].rx_bytes, 10);
	assert_int_equal(nets[0].rx_dropped, 4);
	assert_int_equal(nets[0].tx_bytes, 20);
	assert_int_equal(nets[0].tx_errors, 6);
}

static void sizes(void **state)
{
	char dir[] = "/tmp/stats-test-XXXXXX", file[64], link_[64];
	uint64_t bytes = 0, inodes = 0;
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/a", dir);
	snprintf(link_, sizeof(link_), "%s/b", dir);
	FILE *f = fopen(file, "we");
	char block[8192] = {1};
	fwrite(block, 1, sizeof(block), f);
	fclose(f);
	assert_int_equal(link(file, link_), 0);
	stats_du(dir, &bytes, &inodes);
	assert_int_equal(inodes, 2); /* the folder and the file, its second name not */
	assert_true(bytes >= sizeof(block));
	unlink(file);
	unlink(link_);
	rmdir(dir);
	struct fs_usage fs = {0};
	stats_fs("/", &fs);
	assert_true(fs.has_fs && fs.capacity_bytes > 0 && fs.has_used);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(summary),
	    cmocka_unit_test(metrics),
	    cmocka_unit_test(interfaces),
	    cmocka_unit_test(sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
