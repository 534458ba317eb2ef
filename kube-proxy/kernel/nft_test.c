/* SPDX-License-Identifier: Apache-2.0 */
/* Real rules, real connections: a network namespace of its own, backends on loopback addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/nft.h"

static void run(const char *const argv[])
{
	pid_t pid = fork();
	if (!pid) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

enum { BACKENDS = 3 };
static int listeners[BACKENDS];

static struct sockaddr_in address(const char *ip, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0); /* needs root: fails loudly without */
	RUN("ip", "link", "set", "lo", "up");
	RUN("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1");
	RUN("ip", "addr", "add", "172.31.0.1/24", "dev", "v0");
	RUN("ip", "link", "set", "v0", "up");
	RUN("ip", "link", "set", "v1", "up");
	RUN("ip", "route", "add", "10.96.0.0/16", "via", "172.31.0.2", "dev", "v0");
	for (int i = 0; i < BACKENDS; i++) {
		char ip[32];
		snprintf(ip, sizeof(ip), "10.1.0.%d", i + 1);
		RUN("ip", "addr", "add", ip, "dev", "lo");
		struct sockaddr_in a = address(ip, 8080);
		listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(listeners[i], (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(listen(listeners[i], 64), 0);
	}
	return 0;
}

/* Connects; returns the index of the backend that was reached, or -errno. */
static int reach(const char *ip, uint16_t port)
{
	struct sockaddr_in to = address(ip, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), got = -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		got = -errno;
		close(fd);
		return got;
	}
	fd_set readable;
	FD_ZERO(&readable);
	for (int i = 0; i < BACKENDS; i++)
		FD_SET(listeners[i], &readable);
	struct timeval limit = {5, 0};
	assert_true(select(listeners[BACKENDS - 1] + 1, &readable, NULL, NULL, &limit) > 0);
	for (int i = 0; i < BACKENDS; i++)
		if (FD_ISSET(listeners[i], &readable)) {
			close(accept(listeners[i], NULL, NULL));
			got = i;
		}
	close(fd);
	return got;
}

/* A host's connection to itself, to an address that is also a backend, is not masqueraded. */
static int source_port_kept(const char *ip, uint16_t port)
{
	struct sockaddr_in from = address(ip, 45678), to = address(ip, port), seen;
	socklen_t len = sizeof(seen);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	int peer = accept(listeners[0], (struct sockaddr *)&seen, &len);
	assert_true(peer >= 0);
	close(peer);
	close(fd);
	return ntohs(seen.sin_port) == 45678;
}

static struct service *make_service(void)
{
	struct service *s = calloc(1, sizeof(*s));
	s->key = strdup("ns/web");
	assert_true(ipv4_parse("10.96.0.10", &s->cluster_ip));
	s->n_ports = 1;
	s->ports = calloc(1, sizeof(*s->ports));
	s->ports[0] = (struct service_port){strdup(""), 80, 30080, PROXY_TCP};
	return s;
}

static struct endpoint_slice *make_slice(unsigned n)
{
	struct endpoint_slice *s = calloc(1, sizeof(*s));
	s->key = strdup("ns/web-1");
	s->service_key = strdup("ns/web");
	s->n_ports = 1;
	s->ports = calloc(1, sizeof(*s->ports));
	s->ports[0] = (struct slice_port){strdup(""), 8080, PROXY_TCP};
	s->endpoints = calloc(n ? n : 1, sizeof(*s->endpoints));
	for (; s->n_endpoints < n; s->n_endpoints++) {
		char ip[32];
		snprintf(ip, sizeof(ip), "10.1.0.%zu", s->n_endpoints + 1);
		s->endpoints[s->n_endpoints] =
		    (struct slice_endpoint){.ready = true, .serving = true};
		assert_true(ipv4_parse(ip, &s->endpoints[s->n_endpoints].ip));
	}
	return s;
}

static void sync_kernel(struct proxy_state *s, struct nft *n)
{
	struct proxy_ops ops = {0};
	struct err err = ERR_INIT;
	bool full = proxy_state_plan(s, &ops);
	int r = nft_apply(n, &ops, full, &err);
	if (r)
		fail_msg("%s", err.text);
	proxy_ops_deinit(&ops);
}

/* All of the first `n` backends and no other are reached. */
static void assert_spread(const char *ip, uint16_t port, int n)
{
	int hits[BACKENDS] = {0};
	for (int i = 0; i < 200; i++) {
		int at = reach(ip, port);
		assert_true(at >= 0 && at < n);
		hits[at]++;
	}
	for (int i = 0; i < n; i++)
		assert_true(hits[i] > 200 / n / 4);
}

static void test_traffic(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct nft *n;
	struct nft_config config = {.masquerade_bit = 14};
	assert_int_equal(nft_open(&config, &n, &err), 0);
	struct proxy_state *s = proxy_state_new();
	proxy_state_set_service(s, "ns/web", make_service());
	sync_kernel(s, n);
	assert_int_equal(reach("10.96.0.10", 80), -ECONNREFUSED);
	assert_int_equal(reach("10.1.0.1", 30080), -ECONNREFUSED);

	proxy_state_set_slice(s, "ns/web-1", make_slice(3));
	sync_kernel(s, n);
	assert_spread("10.96.0.10", 80, 3);
	assert_spread("10.1.0.2", 30080, 3);

	assert_int_equal(source_port_kept("10.1.0.1", 8080), 1);

	proxy_state_set_slice(s, "ns/web-1", make_slice(2));
	sync_kernel(s, n);
	assert_spread("10.96.0.10", 80, 2);

	proxy_state_reset(s); /* a restart replaces the table as one transaction */
	sync_kernel(s, n);
	assert_spread("10.96.0.10", 80, 2);

	proxy_state_set_service(s, "ns/web", NULL);
	sync_kernel(s, n);
	assert_int_not_equal(reach("10.1.0.1", 30080), 0);
	RUN("nft", "list", "table", "ip", "kube-proxy");
	assert_int_equal(nft_cleanup(n, &err), 0);
	assert_int_equal(nft_cleanup(n, &err), 0);
	proxy_state_free(s);
	nft_close(n);
}

/* What the kernel refuses, it refuses whole, and says so. */
static void test_refused(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct nft *n;
	struct nft_config config = {.masquerade_bit = 14};
	assert_int_equal(nft_open(&config, &n, &err), 0);
	struct proxy_ops ops = {0};
	*vec_push(&ops.list) = (struct proxy_op){.op = OP_HAIRPIN_ADD, .backend = {.ip = 1}};
	assert_int_equal(nft_apply(n, &ops, false, &err), -ERR_NOT_FOUND);
	assert_int_equal(nft_apply(n, &ops, true, &err), 0);
	assert_int_equal(nft_apply(n, &ops, false, &err), -ERR_IO);
	proxy_ops_deinit(&ops);
	assert_int_equal(nft_cleanup(n, &err), 0);
	nft_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_traffic),
	                                   cmocka_unit_test(test_refused)};
	return cmocka_run_group_tests(tests, setup, NULL);
}
