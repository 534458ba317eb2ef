/* SPDX-License-Identifier: Apache-2.0 */
/* Every field names a flag that exists; files are read strictly; flags win. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kubelet/config_fields.h"
#include "kubelet/config_file.h"
#include "kubelet/flags.h"

#define HEAD "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

static struct arena arena;

static int load(const char *text, struct err *err)
{
	char path[] = "/tmp/kubelet-config-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	*err = ERR_INIT;
	int r = config_file_load(path, kubelet_flags, KUBELET_FLAG_GROUPS, &arena, err);
	unlink(path);
	return r;
}

static void fields_have_flags(void **state)
{
	for (size_t i = 0; i < n_config_fields; i++) {
		const struct config_field *f = &config_fields[i];
		if (f->flag && !flags_find(kubelet_flags, KUBELET_FLAG_GROUPS, f->flag))
			fail_msg("%s: there is no flag %s", f->name, f->flag);
	}
}

static void bad_files(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
	    {HEAD "maxPodss: 5\n", "strict decoding error: unknown field \"maxPodss\""},
	    {HEAD "a: 1\nauthentication:\n  webhook:\n    x: 1\n",
	     "unknown field \"a\", unknown field \"authentication.webhook.x\""},
	    {HEAD "maxPods: 5\nmaxPods: 6\n", "maxPods"},
	    {HEAD "maxPods: many\n", "invalid"},
	    {"kind: KubeletConfiguration\n",
	     "no kind \"KubeletConfiguration\" is registered for version \"\""},
	    {"apiVersion: kubelet.config.k8s.io/v1beta1\n", "Object 'Kind' is missing"},
	    {"apiVersion: v1\nkind: Pod\n", "no kind \"Pod\" is registered for version \"v1\""},
	    {HEAD "evictionHard: 5\n", "evictionHard"},
	};
	struct err err;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_not_equal(load(cases[i].text, &err), 0);
		if (!strstr(err.text, cases[i].error))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void good_file(void **state)
{
	struct err err;
	struct flag *port = flags_find(kubelet_flags, KUBELET_FLAG_GROUPS, "port");
	assert_int_equal(flag_set(port, "4711", &arena, NULL), 0);
	port->set = true; /* as the command line does */
	int r = load(HEAD "port: 1\n"
	                  "maxPods: 50\n"
	                  "staticPodPath: /etc/kubernetes/manifests\n"
	                  "evictionHard: {memory.available: 200Mi}\n"
	                  "evictionSoftGracePeriod: {memory.available: 1m}\n"
	                  "kubeReserved: {cpu: 100m, memory: 1Gi}\n"
	                  "nodeStatusReportFrequency: 1m0s\n"
	                  "registerWithTaints: [{key: a, value: b, effect: NoSchedule},"
	                  " {key: c, effect: NoExecute}]\n"
	                  "logging: {anything: [1, 2]}\n",
	             &err);
	if (r)
		fail_msg("%s", err.text);
	const struct kubelet_config *c = &kubelet_config;
	assert_int_equal(c->port, 4711);
	assert_int_equal(c->max_pods, 50);
	assert_int_equal(c->status_report_ms, 60000);
	assert_string_equal(c->static_pod_path, "/etc/kubernetes/manifests");
	assert_string_equal(c->eviction_hard, "memory.available<200Mi");
	assert_string_equal(c->eviction_soft_grace, "memory.available=1m");
	assert_string_equal(flag_map_get(&c->kube_reserved, "cpu"), "100m");
	assert_int_equal(c->taints.n, 2);
	assert_string_equal(c->taints.at[0], "a=b:NoSchedule");
	assert_string_equal(c->taints.at[1], "c:NoExecute");

	_cleanup_buf_ struct buf b = BUF_INIT;
	config_file_write(kubelet_flags, KUBELET_FLAG_GROUPS, &b);
	static const char *const parts[] = {
	    "\"evictionHard\":{\"memory.available\":\"200Mi\"}",
	    "\"evictionSoftGracePeriod\":{\"memory.available\":\"1m\"}",
	    "{\"key\":\"a\",\"value\":\"b\",\"effect\":\"NoSchedule\"}",
	    "{\"key\":\"c\",\"effect\":\"NoExecute\"}",
	    "\"nodeStatusReportFrequency\":\"1m0s\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strstr((const char *)b.data, parts[i]))
			fail_msg("no %s in %s", parts[i], (const char *)b.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_have_flags),
	    cmocka_unit_test(bad_files),
	    cmocka_unit_test(good_file),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	flags_deinit(kubelet_flags, KUBELET_FLAG_GROUPS);
	arena_deinit(&arena);
	return r;
}
