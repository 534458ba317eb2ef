/* SPDX-License-Identifier: Apache-2.0 */
/* What is written for a pod (testdata/pods.txt; REWRITE=1 writes the file anew), names, and the
 * trees of both versions on plain folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kubelet/cgroup/tree.h"
#include "kubelet/core/status.h"
#include "proto/codec.h"
#include "proto/schema_messages.h"

static struct arena arena;
static const char *folder; /* testdata */

static void read_all(const char *path, struct buf *out)
{
	char chunk[4096];
	FILE *f = fopen(path, "re");
	if (!f)
		fail_msg("cannot read %s", path);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(out, chunk, n);
	fclose(f);
	buf_byte(out, 0);
	out->len--;
}

/* Pods */

static CoreV1__Pod *parse_pod(const char *yaml)
{
	ProtobufCMessage *msg = NULL;
	struct err err;
	const char *text = arena_printf(&arena, "apiVersion: v1\nkind: Pod\n%s", yaml);
	if (object_decode(OBJECT_YAML, &core_v1__pod_schema, slice_str(text), &arena, NULL, &msg,
	                  NULL, &err))
		fail_msg("%s: %s", yaml, err.text);
	return (CoreV1__Pod *)msg;
}

static void describe_writes(int version, const struct cgroup_limits *l, struct buf *out)
{
	struct cgroup_write w[CGROUP_WRITES_MAX];
	size_t n = cgroup_writes(version, l, w);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s=%s", i ? " " : "", w[i].file, w[i].value);
	buf_byte(out, '\n');
}

static void describe(const CoreV1__Pod *pod, struct buf *out)
{
	static const struct cgroup_policy policy = {
	    .cpu_quota = true, .pids = 100, .huge_sizes = {"2MB"}, .n_huge_sizes = 1};
	struct cgroup_limits l;
	pod_limits(pod, &policy, &l);
	buf_printf(out, "%s\nv1: ", pod_qos_class(pod));
	describe_writes(1, &l, out);
	buf_str(out, "v2: ");
	describe_writes(2, &l, out);
	for (size_t i = 0; i < pod->spec->n_containers; i++) {
		const CoreV1__Container *c = pod->spec->containers[i];
		container_limits(c, &policy, &l);
		buf_printf(out, "%s: shares=%llu quota=%lld memory=%lld oom=%lld\n", c->name,
		           (unsigned long long)l.cpu_shares, (long long)l.cpu_quota_us,
		           (long long)l.memory_bytes,
		           (long long)container_oom_score(pod, c, (int64_t)4 << 30));
	}
}

static void pods(void **state)
{
	const char *path = arena_printf(&arena, "%s/pods.txt", folder);
	_cleanup_buf_ struct buf text = BUF_INIT, want = BUF_INIT;
	read_all(path, &text);
	for (char *at = (char *)text.data, *next; at && *at; at = next) {
		next = strstr(at, "\n== ");
		if (next)
			*next++ = 0;
		char *yaml = strchr(at, '\n') + 1, *line = strstr(at, "\n----");
		assert_non_null(line);
		buf_printf(&want, "%.*s\n----\n", (int)(line - at), at);
		*line = 0;
		describe(parse_pod(yaml), &want);
		*line = '\n';
		if (next)
			next[-1] = '\n';
	}
	if (getenv("REWRITE")) {
		FILE *f = fopen(path, "we");
		fwrite(want.data, 1, want.len, f);
		fclose(f);
	}
	assert_string_equal((const char *)text.data, (const char *)want.data);
}

/* Numbers and names */

static void shares(void **state)
{
	static const struct {
		int64_t milli;
		uint64_t shares, weight;
	} cases[] = {
	    {0, 2, 1},
	    {1, 2, 1},
	    {100, 102, 4},
	    {1000, 1024, 39},
	    {4000, 4096, 157},
	    {64000, 65536, 2500},
	    {300000, 262144, 10000},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(cpu_shares_of(cases[i].milli), cases[i].shares);
		assert_int_equal(cpu_weight_of(cases[i].shares), cases[i].weight);
	}
}

static void names(void **state)
{
	static const struct {
		enum cgroup_driver driver;
		const char *root, *qos, *uid, *path;
	} cases[] = {
	    {CGROUP_CGROUPFS, "", NULL, NULL, "/kubepods"},
	    {CGROUP_CGROUPFS, "/", "Guaranteed", "u-1", "/kubepods/podu-1"},
	    {CGROUP_CGROUPFS, "/a/b", "Burstable", "u-1", "/a/b/kubepods/burstable/podu-1"},
	    {CGROUP_CGROUPFS, "", "BestEffort", NULL, "/kubepods/besteffort"},
	    {CGROUP_SYSTEMD, "", NULL, NULL, "/kubepods.slice"},
	    {CGROUP_SYSTEMD, "", "Burstable", "u-1",
	     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice"},
	    {CGROUP_SYSTEMD, "/a-b", "Guaranteed", "u",
	     "/a_b.slice/a_b-kubepods.slice/a_b-kubepods-podu.slice"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *path =
		    cgroup_path(cases[i].driver, cases[i].root, cases[i].qos, cases[i].uid, &arena);
		assert_string_equal(path, cases[i].path);
		const char *uid = cgroup_path_uid(cases[i].driver, strrchr(path, '/') + 1, &arena);
		if (cases[i].uid)
			assert_string_equal(uid, cases[i].uid);
		else
			assert_null(uid);
	}
}

/* Trees */

static char root[64];

static int make_root(void **state)
{
	snprintf(root, sizeof(root), "/tmp/cgroup-test-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char *const paths[] = {root, NULL};
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (FTSENT *e; fts && (e = fts_read(fts));)
		if (e->fts_info != FTS_D)
			remove(e->fts_path);
	if (fts)
		fts_close(fts);
	return 0;
}

static const char *at(const char *path)
{
	return arena_printf(&arena, "%s%s", root, path);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(at(path), "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void expect(const char *path, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	read_all(at(path), &b);
	assert_string_equal((const char *)b.data, text);
}

static void find_versions(void **state)
{
	struct cgroup_tree t;
	cgroup_tree_parse(&t, "30 1 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
	                      "31 30 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
	                      "rw,cpu,cpuacct\n"
	                      "32 30 0:3 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup "
	                      "cgroup rw,memory\n"
	                      "33 30 0:4 / /sys/fs/cgroup/systemd rw - cgroup cgroup "
	                      "rw,xattr,name=systemd\n"
	                      "34 30 0:5 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	                      "35 30 0:3 / /other rw - cgroup cgroup rw,memory\n");
	assert_int_equal(t.version, 1);
	assert_int_equal(t.n, 4);
	assert_string_equal(t.mounts[3].path, "/sys/fs/cgroup/unified");
	assert_string_equal(cgroup_tree_mount(&t, "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
	assert_string_equal(cgroup_tree_mount(&t, "memory"), "/sys/fs/cgroup/memory");
	assert_null(cgroup_tree_mount(&t, "pids"));
	cgroup_tree_parse(&t, "30 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
	assert_int_equal(t.version, 2);
	assert_string_equal(cgroup_tree_mount(&t, "memory"), "/sys/fs/cgroup");
	cgroup_tree_parse(&t, "30 1 0:1 / / rw - ext4 /dev/sda rw\nnonsense\n - \n");
	assert_int_equal(t.version, 0);
}

static void version_1(void **state)
{
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	mkdir(at("/cpu"), 0755);
	mkdir(at("/cpuset"), 0755);
	put("/cpuset/cpuset.cpus", "0-1\n");
	cgroup_tree_parse(&t, arena_printf(&arena,
	                                   "1 1 0:1 / %s/cpu rw - cgroup c rw,cpu\n"
	                                   "1 1 0:1 / %s/cpuset rw - cgroup c rw,cpuset\n",
	                                   root, root));
	mkdir(at("/cpuset/kubepods"), 0755);
	put("/cpuset/kubepods/cpuset.cpus", "");
	assert_int_equal(cgroup_tree_make(&t, "/kubepods/podx", &err), 0);
	assert_true(cgroup_tree_has(&t, "/kubepods/podx"));
	assert_false(cgroup_tree_has(&t, "/kubepods/pody"));
	expect("/cpuset/kubepods/cpuset.cpus", "0-1\n");
	put("/cpu/kubepods/podx/cpu.shares", "");
	struct cgroup_limits l = {.cpu_shares = 512, .memory_bytes = 1000, .cpu_quota_us = 5000};
	/* Files that the kernel does not have are left out, as is the absent memory. */
	assert_int_equal(cgroup_tree_apply(&t, "/kubepods/podx", &l, &err), 0);
	expect("/cpu/kubepods/podx/cpu.shares", "512");
	assert_int_equal(access(at("/cpu/kubepods/podx/cpu.cfs_quota_us"), F_OK), -1);
	/* On the kernel's tree files do not keep a folder; here they stand for processes. */
	assert_int_equal(cgroup_tree_remove(&t, "/kubepods/podx", &err), -ERR_CONFLICT);
	unlink(at("/cpu/kubepods/podx/cpu.shares"));
	mkdir(at("/cpu/kubepods/podx/container"), 0755);
	assert_int_equal(cgroup_tree_remove(&t, "/kubepods/podx", &err), 0);
	assert_false(cgroup_tree_has(&t, "/kubepods/podx"));
	assert_int_equal(cgroup_tree_remove(&t, "/kubepods/podx", &err), 0);
}

static void version_2(void **state)
{
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	struct cgroup_usage u;
	put("/cgroup.controllers", "cpu memory pids\n");
	put("/cgroup.subtree_control", "");
	cgroup_tree_parse(&t, arena_printf(&arena, "1 1 0:1 / %s rw - cgroup2 c rw\n", root));
	assert_int_equal(t.version, 2);
	assert_int_equal(cgroup_tree_make(&t, "/kubepods/burstable", &err), 0);
	/* The kernel adds up what is written; a plain file shows the last write over the others. */
	expect("/cgroup.subtree_control", "+pidsry");
	put("/kubepods/burstable/cpu.max", "max 100000\n");
	put("/kubepods/burstable/memory.max", "max\n");
	put("/kubepods/burstable/cpu.weight", "100\n");
	struct cgroup_limits l = {
	    .cpu_shares = 1024, .cpu_quota_us = 150000, .cpu_period_us = 100000, .memory_bytes = 7};
	assert_int_equal(cgroup_tree_apply(&t, "/kubepods/burstable", &l, &err), 0);
	expect("/kubepods/burstable/cpu.max", "150000 100000");
	put("/kubepods/burstable/memory.current", "4096\n");
	put("/kubepods/burstable/memory.stat",
	    "anon 1000\nfile 3000\ninactive_file 96\npgfault 5\n");
	put("/kubepods/burstable/memory.events", "low 0\noom 2\noom_kill 1\n");
	put("/kubepods/burstable/cpu.stat", "usage_usec 250\nuser_usec 1\n");
	put("/kubepods/burstable/pids.current", "3\n");
	cgroup_tree_usage(&t, "/kubepods/burstable", &u);
	assert_true(u.has_cpu && u.has_memory && u.has_pids && !u.has_swap);
	assert_int_equal(u.cpu_ns, 250000);
	assert_int_equal(u.memory_bytes, 4096);
	assert_int_equal(u.working_set_bytes, 4000);
	assert_int_equal(u.rss_bytes, 1000);
	assert_int_equal(u.oom_kills, 1);
	assert_int_equal(u.pids, 3);
	cgroup_tree_usage(&t, "/nowhere", &u);
	assert_false(u.has_cpu || u.has_memory || u.has_pids);
}

static int end(void **state)
{
	arena_deinit(&arena);
	return 0;
}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "testdata";
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pods),
	    cmocka_unit_test(shares),
	    cmocka_unit_test(names),
	    cmocka_unit_test(find_versions),
	    cmocka_unit_test_setup_teardown(version_1, make_root, remove_root),
	    cmocka_unit_test_setup_teardown(version_2, make_root, remove_root),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
