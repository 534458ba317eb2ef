/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, what a Node tells, and the servers of health checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "kube-proxy/node.h"
#include "kube-proxy/options.h"
#include "kube-proxy/service_health.h"
#include "proto/json_decode.h"
#include "proto/schema_messages.h"

#define HEAD "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

static int parse(struct proxy_config *c, struct arena *a, const char *yaml, struct err *err)
{
	*c = proxy_config;
	c->node_port_addresses = (flag_list){0};
	int r = proxy_config_parse(c, slice_str(yaml), a, err);
	return r ? r : proxy_config_check(c, err);
}

static void test_config_file(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct proxy_config c;
	struct layout_config l;
	assert_int_equal(parse(&c, &a,
	                       HEAD "mode: nftables\nclusterCIDR: 10.244.0.0/16,fd00::/48\n"
	                            "nftables: {masqueradeAll: true, minSyncPeriod: 2s, "
	                            "syncPeriod: 1m30s, masqueradeBit: 3}\n"
	                            "nodePortAddresses: [10.0.0.0/8, 'fd01::/16']\n"
	                            "iptables: {syncPeriod: 0s}\nfeatureGates: {A: true}\n"
	                            "clientConnection: {kubeconfig: /k}\n"
	                            "conntrack: {maxPerCore: 0, min: null}\n",
	                       &err),
	                 0);
	assert_int_equal(c.min_sync_ms, 2000);
	assert_int_equal(c.sync_ms, 90000);
	assert_int_equal(c.conntrack_max_per_core, 0);
	assert_int_equal(c.conntrack_min, 131072);
	assert_string_equal(c.kubeconfig, "/k");
	assert_false(proxy_config_primary_node_ports(&c));
	proxy_config_layout(&c, &l);
	assert_int_equal(l.pod_cidrs.n, 2);
	assert_int_equal(l.node_ports.n, 2);
	assert_true(l.masquerade_all);
	assert_int_equal(l.masquerade_bit, 3);
	layout_config_deinit(&l);
	vec_deinit(&c.node_port_addresses);
}

static void test_wrong_settings(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *says;
	} cases[] = {
	    {"kind: Pod\napiVersion: v1\n", "not a KubeProxyConfiguration"},
	    {HEAD "mode: iptables\n", "\"iptables\" is not supported: use nftables"},
	    {HEAD "mode: ipvs\n", "\"ipvs\" is not supported"},
	    {HEAD "clusterCIDR: 10.0.0.0\n", "invalid cluster CIDR"},
	    {HEAD "clusterCIDR: 10.0.0.0/8,10.0.0.0/8\n", "at most one network a family"},
	    {HEAD "nodePortAddresses: [x]\n", "invalid node port address \"x\""},
	    {HEAD "nodePortAddresses: [primary, 10.0.0.0/8]\n", "invalid node port address"},
	    {HEAD "nftables: {syncPeriod: 5}\n", "nftables.syncPeriod: must be a duration"},
	    {HEAD "nftables: {minSyncPeriod: 1m, syncPeriod: 2s}\n", "at least minSyncPeriod"},
	    {HEAD "nftables: {masqueradeBit: 32}\n", "within 0 and 31"},
	    {HEAD "detectLocalMode: Moon\n", "unknown detect-local-mode: Moon"},
	    {HEAD "detectLocalMode: BridgeInterface\n", "needs the bridge's name"},
	    {HEAD "bindAddress: 5\n", "bindAddress: must be a string"},
	    {"[1\n", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a = {0};
		struct err err = ERR_INIT;
		struct proxy_config c;
		assert_true(parse(&c, &a, cases[i].yaml, &err) < 0);
		assert_non_null(strstr(err.text, cases[i].says));
		vec_deinit(&c.node_port_addresses);
	}
}

static void facts_of(const char *json, const char *bind, struct node_facts *ret)
{
	_cleanup_arena_ struct arena a = {0};
	ProtobufCMessage *m;
	struct type_meta meta;
	struct err err = ERR_INIT;
	assert_int_equal(
	    json_decode(&core_v1__node_schema, slice_str(json), &a, NULL, &m, &meta, &err), 0);
	node_facts_init(ret, (void *)m, bind);
}

static void test_node(void **state)
{
	(void)state;
	struct node_facts f;
	char text[ADDR_TEXT_BYTES];
	facts_of(
	    "{\"metadata\":{\"name\":\"n\",\"labels\":{\"topology.kubernetes.io/zone\":\"a\"}},"
	    "\"spec\":{\"podCIDRs\":[\"10.244.0.0/24\",\"x\"]},\"status\":{\"addresses\":["
	    "{\"type\":\"Hostname\",\"address\":\"n\"},"
	    "{\"type\":\"ExternalIP\",\"address\":\"1.2.3.4\"},"
	    "{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"},"
	    "{\"type\":\"InternalIP\",\"address\":\"10.0.0.2\"},"
	    "{\"type\":\"InternalIP\",\"address\":\"fd00::1\"}]}}",
	    "0.0.0.0", &f);
	assert_string_equal(f.zone, "a");
	assert_true(f.eligible);
	assert_int_equal(f.addresses.n, 2);
	addr_format(FAMILY_IPV4, &f.addresses.at[0].addr, text);
	assert_string_equal(text, "10.0.0.1");
	addr_format(FAMILY_IPV6, &f.addresses.at[1].addr, text);
	assert_string_equal(text, "fd00::1");
	assert_int_equal(f.pod_cidrs.n, 1);
	node_facts_deinit(&f);

	facts_of("{\"metadata\":{\"name\":\"n\"},\"spec\":{\"taints\":[{\"key\":"
	         "\"ToBeDeletedByClusterAutoscaler\",\"effect\":\"NoSchedule\"}]}}",
	         "192.168.0.9", &f);
	assert_false(f.eligible);
	assert_int_equal(f.addresses.n, 1);
	node_facts_deinit(&f);

	node_facts_init(&f, NULL, "::");
	assert_true(f.eligible);
	assert_int_equal(f.addresses.n, 0);
	node_facts_deinit(&f);
}

/* --- health checks --- */

static bool healthy_answer = true;
static int failures;

static bool is_healthy(void *arg)
{
	(void)arg;
	return healthy_answer;
}

static void on_failure(const char *key, uint16_t port, const char *why, void *arg)
{
	(void)key, (void)port, (void)why, (void)arg;
	failures++;
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	                            .sin_port = htons(port),
	                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(int *ret_holder)
{
	struct sockaddr_in a = loopback(0);
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (void *)&a, &n), 0);
	if (ret_holder)
		*ret_holder = fd;
	else
		close(fd);
	return ntohs(a.sin_port);
}

/* The whole answer of a server on this loop. */
static void ask(struct loop *l, uint16_t port, char out[2048])
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0;
	uint64_t end = clock_mono_ms() + 20000;
	assert_int_equal(connect(fd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	while (clock_mono_ms() < end) {
		loop_run_once(l, false);
		ssize_t got = recv(fd, out + n, 2047 - n, MSG_DONTWAIT);
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	out[n] = 0;
	close(fd);
}

static void name_one(struct service_health *h, uint16_t port, size_t local)
{
	service_health_begin(h);
	if (port)
		service_health_set(h, "ns/web", port, local);
	service_health_end(h);
}

static void test_service_health(void **state)
{
	(void)state;
	struct loop l;
	char text[2048];
	struct cidr address = {.addr = {{127, 0, 0, 1}}, .bits = 32};
	int holder;
	uint16_t port = free_port(NULL), taken = free_port(&holder);
	assert_int_equal(loop_init(&l), 0);
	struct service_health *h =
	    service_health_new(&l, &(struct service_health_ops){is_healthy, on_failure, NULL});
	service_health_addresses(h, &address, 1);
	name_one(h, port, 2);
	ask(&l, port, text);
	assert_non_null(strstr(text, "200"));
	assert_non_null(strcasestr(text, "X-Load-Balancing-Endpoint-Weight: 2"));
	assert_non_null(strstr(text, "\r\n\r\n{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n"
	                             "\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n"
	                             "\t\"serviceProxyHealthy\": true\n}"));
	name_one(h, port, 0);
	ask(&l, port, text);
	assert_non_null(strstr(text, "503"));
	healthy_answer = false;
	name_one(h, port, 1);
	ask(&l, port, text);
	assert_non_null(strstr(text, "503"));
	assert_non_null(strstr(text, "\"serviceProxyHealthy\": false"));
	/* A port that is taken is told, each time it is tried. */
	name_one(h, taken, 1);
	name_one(h, taken, 1);
	assert_int_equal(failures, 2);
	close(holder);
	name_one(h, taken, 1);
	assert_int_equal(failures, 2);
	ask(&l, taken, text);
	assert_non_null(strstr(text, "\"localEndpoints\": 1"));
	name_one(h, 0, 0);
	service_health_free(h);
	loop_deinit(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_config_file),
	    cmocka_unit_test(test_wrong_settings),
	    cmocka_unit_test(test_node),
	    cmocka_unit_test(test_service_health),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
