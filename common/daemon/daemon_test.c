/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/daemon/file_watch.h"
#include "common/daemon/flags.h"
#include "common/daemon/health.h"
#include "common/daemon/kubeconfig.h"
#include "common/daemon/metrics.h"

/* --- flags --- */

static struct {
	bool on;
	const char *addr;
	int64_t v, port, period_ms;
	double rate;
	flag_list hosts, args;
	flag_map labels, gates;
} o;

static struct flag table[] = {
    FLAG_BOOL("on", &o.on, "Turns it on."),
    FLAG_STR("bind-address", &o.addr, "Where to listen."),
    {.name = "v", .kind = FLAG_KIND_INT, .i = &o.v, .shorthand = 'v', .help = "Verbosity."},
    FLAG_INT("port", &o.port, "The port."),
    FLAG_FLOAT("rate", &o.rate, "A rate."),
    FLAG_DURATION("period", &o.period_ms, "A period."),
    FLAG_LIST("hosts", &o.hosts, "Hosts."),
    FLAG_ARRAY("arg", &o.args, "Arguments."),
    FLAG_MAP("labels", &o.labels, "Labels."),
    FLAG_GATES("feature-gates", &o.gates, "Gates."),
    FLAG_NO_EFFECT("profiling"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Test", table)};

static void reset(void)
{
	flags_deinit(groups, 1);
	memset(&o, 0, sizeof o);
	o.addr = "0.0.0.0";
	o.port = 6443;
	*vec_push(&o.hosts) = "default";
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		table[i].set = false;
}

/* Parses a line that is split at blanks. */
static int parse(struct arena *a, const char *line, struct err *err)
{
	char *argv[32] = {(char *)(uintptr_t) "prog"}, *save = NULL;
	int argc = 1;
	reset();
	char *copy = arena_strdup(a, line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return flags_parse(groups, 1, argc, argv, "KUBEC_TEST_", a, NULL, err);
}

static void flags_good(void **state)
{
	_cleanup_arena_ struct arena a;
	struct err err = ERR_INIT;
	arena_init(&a);
	assert_int_equal(parse(&a,
	                       "--on --bind_address=::1 -v2 --port 0x10 --rate=1.5 --period 1m30s "
	                       "--hosts a,b --hosts=c --arg x,y --arg z --labels a=b,c=d=e "
	                       "--labels a=f --feature-gates=X=true,Y=false --profiling --on=false",
	                       &err),
	                 0);
	assert_false(o.on);
	assert_string_equal(o.addr, "::1");
	assert_int_equal(o.v, 2);
	assert_int_equal(o.port, 16);
	assert_true(fabs(o.rate - 1.5) < 1e-9);
	assert_int_equal(o.period_ms, 90000);
	assert_int_equal(o.hosts.n, 3);
	assert_string_equal(o.hosts.at[2], "c");
	assert_int_equal(o.args.n, 2);
	assert_string_equal(o.args.at[0], "x,y");
	assert_string_equal(flag_map_get(&o.labels, "c"), "d=e");
	assert_string_equal(flag_map_get(&o.labels, "a"), "f");
	assert_true(flag_gate(&o.gates, "X", false));
	assert_false(flag_gate(&o.gates, "Y", true));
	assert_true(flag_gate(&o.gates, "Z", true));
	assert_true(flags_find(groups, 1, "profiling")->set);
	assert_int_equal(parse(&a, "-v 3", &err), 0);
	assert_int_equal(o.v, 3);
	assert_int_equal(o.hosts.n, 1);
	assert_int_equal(parse(&a, "--help", &err), 1);
	assert_int_equal(parse(&a, "-h", &err), 1);
	reset();
	flags_deinit(groups, 1);
}

static void flags_bad(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
	    {"--nope", "unknown flag: --nope"},
	    {"--nope=1", "unknown flag: --nope"},
	    {"-x", "unknown shorthand flag: 'x' in -x"},
	    {"--port", "flag needs an argument: --port"},
	    {"-v", "flag needs an argument: 'v' in -v"},
	    {"--=x", "bad flag syntax: --=x"},
	    {"---x", "bad flag syntax: ---x"},
	    {"extra", "unknown command \"extra\" for \"prog\""},
	    {"--on=maybe", "invalid argument \"maybe\" for \"--on\" flag: strconv.ParseBool: "
	                   "parsing \"maybe\": invalid syntax"},
	    {"--port=12x", "invalid argument \"12x\" for \"--port\" flag: strconv.ParseInt: "
	                   "parsing \"12x\": invalid syntax"},
	    {"-v x", "invalid argument \"x\" for \"-v, --v\" flag: strconv.ParseInt: parsing "
	             "\"x\": invalid syntax"},
	    {"--port=99999999999999999999",
	     "invalid argument \"99999999999999999999\" for \"--port\" flag: strconv.ParseInt: "
	     "parsing \"99999999999999999999\": value out of range"},
	    {"--period=5", "invalid argument \"5\" for \"--period\" flag: time: missing unit in "
	                   "duration \"5\""},
	    {"--labels=x", "invalid argument \"x\" for \"--labels\" flag: x must be formatted as "
	                   "key=value"},
	    {"--feature-gates=X", "invalid argument \"X\" for \"--feature-gates\" flag: missing "
	                          "bool value for X"},
	    {"--feature-gates=X=y",
	     "invalid argument \"X=y\" for \"--feature-gates\" flag: invalid value of X=y, err: "
	     "strconv.ParseBool: parsing \"y\": invalid syntax"},
	};
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(parse(&a, cases[i].line, &err), -ERR_INVALID);
		assert_string_equal(err.text, cases[i].want);
	}
	flags_deinit(groups, 1);
}

static void flags_environment(void **state)
{
	_cleanup_arena_ struct arena a;
	struct err err = ERR_INIT;
	arena_init(&a);
	setenv("KUBEC_TEST_BIND_ADDRESS", "10.0.0.1", 1);
	setenv("KUBEC_TEST_PORT", "1", 1);
	assert_int_equal(parse(&a, "--port=2", &err), 0);
	assert_string_equal(o.addr, "10.0.0.1");
	assert_int_equal(o.port, 2);
	unsetenv("KUBEC_TEST_BIND_ADDRESS");
	unsetenv("KUBEC_TEST_PORT");
	flags_deinit(groups, 1);
}

static void flags_text(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	reset();
	flags_help(groups, 1, &b);
	assert_non_null(strstr((char *)b.data, "\nTest flags:\n\n      --arg stringArray\n"));
	assert_non_null(strstr((char *)b.data,
	                       "--bind-address string\n"
	                       "                Where to listen. (default \"0.0.0.0\")\n"));
	assert_non_null(strstr((char *)b.data, "  -v, --v int\n"));
	assert_non_null(strstr((char *)b.data, "Hosts. (default [default])\n"));
	flags_deinit(groups, 1);
}

/* --- health --- */

static int broken(void *arg, struct err *err)
{
	return *(bool *)arg ? err_set(err, ERR_UNAVAILABLE, "no connection") : 0;
}

static void health(void **state)
{
	static const struct {
		bool fails;
		const char *path, *query;
		int status;
		const char *body;
	} cases[] = {
	    {false, "/livez", "", 200, "ok"},
	    {false, "/livez", "verbose", 200, "[+]ping ok\n[+]etcd ok\nlivez check passed\n"},
	    {false, "/readyz", "verbose=1", 200, "[+]ping ok\nreadyz check passed\n"},
	    {false, "/livez/etcd", "", 200, "ok"},
	    {true, "/livez/etcd", "", 500, "internal server error: no connection\n"},
	    {true, "/livez", "", 500,
	     "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n"},
	    {true, "/livez", "verbose&exclude=etcd", 200,
	     "[+]ping ok\n[+]etcd excluded: ok\nlivez check passed\n"},
	    {false, "/livez", "verbose&exclude=x", 200,
	     "[+]ping ok\n[+]etcd ok\nwarn: some health checks cannot be excluded: no matches for "
	     "\"x\"\nlivez check passed\n"},
	    {true, "/healthz", "", 200, "ok"},
	    {true, "/livez/none", "", 404, "404 page not found\n"},
	    {true, "/livezz", "", 404, "404 page not found\n"},
	    {true, "", "", 404, "404 page not found\n"},
	};
	struct health h;
	bool fails;
	health_init(&h);
	health_add(&h, "etcd", HEALTH_LIVEZ, broken, &fails);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		fails = cases[i].fails;
		int status =
		    health_answer(&h, slice_str(cases[i].path), slice_str(cases[i].query), &b);
		assert_string_equal(b.data, cases[i].body);
		assert_int_equal(status, cases[i].status);
	}
	health_deinit(&h);
}

/* --- metrics --- */

static void metrics(void **state)
{
	static const double bounds[] = {0.005, 0.1, 1};
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct metrics *m = metrics_new(false);
	struct metric_family *f = metrics_counter(m, "requests_total", "Requests.", "verb,code");
	metric_add(metric_labels(f, "GET", "200"), 2);
	metric_inc(metric_labels(f, "GET", "200"));
	metric_inc(metric_labels(f, "say \"hi\"\n", "500"));
	metric_set(metric_of(metrics_gauge(m, "depth", "Depth.", NULL)), 1.5);
	struct metric *h = metric_labels(
	    metrics_histogram(m, "seconds", "Latency.", "verb", bounds, ARRAY_LEN(bounds)), "GET");
	metric_observe(h, 0.005);
	metric_observe(h, 0.5);
	metric_observe(h, 7);
	metric_inc(NULL);
	assert_int_equal((int)metric_value(h), 3);
	metrics_write(m, &b);
	assert_string_equal(b.data,
	                    "# HELP depth Depth.\n# TYPE depth gauge\ndepth 1.5\n"
	                    "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
	                    "requests_total{verb=\"GET\",code=\"200\"} 3\n"
	                    "requests_total{verb=\"say \\\"hi\\\"\\n\",code=\"500\"} 1\n"
	                    "# HELP seconds Latency.\n# TYPE seconds histogram\n"
	                    "seconds_bucket{verb=\"GET\",le=\"0.005\"} 1\n"
	                    "seconds_bucket{verb=\"GET\",le=\"0.1\"} 1\n"
	                    "seconds_bucket{verb=\"GET\",le=\"1\"} 2\n"
	                    "seconds_bucket{verb=\"GET\",le=\"+Inf\"} 3\n"
	                    "seconds_sum{verb=\"GET\"} 7.505\nseconds_count{verb=\"GET\"} 3\n");
	metrics_free(m);
}

static void metrics_bounded(void **state)
{
	struct metrics *m = metrics_new(false);
	struct metric_family *f = metrics_counter(m, "x", "X.", "id");
	char id[16];
	for (int i = 0; i < METRIC_SERIES_MAX + 10; i++) {
		snprintf(id, sizeof id, "%d", i);
		metric_inc(metric_labels(f, id));
	}
	assert_int_equal((int)metric_value(metric_labels(f, "overflow")), 10);
	metrics_free(m);
}

static void metrics_process(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct metrics *m = metrics_new(true);
	metrics_write(m, &b);
	const char *at = strstr((char *)b.data, "\nprocess_resident_memory_bytes ");
	assert_non_null(at);
	assert_true(strtod(strchr(at, ' '), NULL) > 100000);
	assert_non_null(strstr((char *)b.data, "\nprocess_open_fds "));
	metrics_free(m);
}

/* --- kubeconfig --- */

#define CONFIG(cluster, user)                                                       \
	"apiVersion: v1\nkind: Config\ncurrent-context: c\n"                        \
	"contexts:\n- name: c\n  context: {cluster: k, user: u, namespace: prod}\n" \
	"- name: lost\n  context: {cluster: gone, user: u}\n"                       \
	"clusters:\n- name: k\n  cluster:\n    server: " cluster                    \
	"users:\n- name: u\n  user: " user

static void kubeconfig(void **state)
{
	struct kubeconfig k;
	struct err err = ERR_INIT;
	const char *yaml =
	    CONFIG("https://10.0.0.1:6443\n    certificate-authority: pki/ca.crt\n",
	           "{client-certificate-data: Q0VSVA==, client-key: /k.key, tokenFile: t}\n");
	assert_int_equal(kubeconfig_parse(slice_str(yaml), "/etc/k", NULL, &k, &err), 0);
	assert_string_equal(k.server, "https://10.0.0.1:6443");
	assert_string_equal(k.grpc_endpoints, "https://10.0.0.1:6444");
	assert_string_equal(k.ns, "prod");
	assert_string_equal(k.tls.ca_file, "/etc/k/pki/ca.crt");
	assert_string_equal(k.tls.cert_pem, "CERT");
	assert_string_equal(k.tls.key_file, "/k.key");
	assert_string_equal(k.token_file, "/etc/k/t");
	assert_true(k.is_tls);
	kubeconfig_deinit(&k);

	yaml = CONFIG("https://[::1]:6443/\n    extensions:\n    - name: kubec/grpc\n"
	              "      extension: {endpoints: [\"10.0.0.1:6444\", \"10.0.0.2:7000\"]}\n",
	              "{token: abc}\n");
	assert_int_equal(kubeconfig_parse(slice_str(yaml), "", NULL, &k, &err), 0);
	assert_string_equal(k.grpc_endpoints, "https://10.0.0.1:6444,https://10.0.0.2:7000");
	assert_string_equal(k.token, "abc");
	kubeconfig_deinit(&k);

	yaml = CONFIG("https://[::1]\n", "{}\n");
	assert_int_equal(kubeconfig_parse(slice_str(yaml), "", NULL, &k, &err), 0);
	assert_string_equal(k.grpc_endpoints, "https://[::1]:444");
	kubeconfig_deinit(&k);
}

static void kubeconfig_bad(void **state)
{
	static const struct {
		const char *yaml, *context, *want;
	} cases[] = {
	    {"", NULL, "kubeconfig: the file holds no object"},
	    {"a: b\n", NULL, "kubeconfig: no current-context"},
	    {"current-context: x\n", NULL, "context \"x\" does not exist"},
	    {CONFIG("https://a:1\n", "{}\n"), "lost", "cluster \"gone\" does not exist"},
	    {CONFIG("\"\"\n", "{}\n"), NULL, "kubeconfig: cluster \"k\" has no server"},
	    {CONFIG("https://a:x\n", "{}\n"), NULL,
	     "kubeconfig: server https://a:x has no usable port"},
	    {CONFIG("https://a:1\n", "{client-key-data: \"%%\"}\n"), NULL,
	     "kubeconfig: client-key-data is not base64"},
	    {CONFIG("https://a:1\n", "{exec: {command: x}}\n"), NULL,
	     "kubeconfig: user \"u\" wants a credential plugin; use a certificate or a token"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kubeconfig k;
		struct err err = ERR_INIT;
		assert_true(
		    kubeconfig_parse(slice_str(cases[i].yaml), "", cases[i].context, &k, &err) < 0);
		assert_string_equal(err.text, cases[i].want);
	}
}

/* --- file watch --- */

static void seen(void *arg)
{
	loop_stop(arg);
}

static void expired(void *arg)
{
	abort();
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void file_changes(void **state)
{
	struct loop loop;
	struct loop_timer limit;
	struct file_watch w;
	char path[] = "/tmp/file_watch_test_XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	const char *paths[] = {path, NULL};
	assert_int_equal(loop_init(&loop), 0);
	loop_timer_init(&limit, &loop, expired, NULL);
	loop_timer_start(&limit, 10000);
	file_watch_start(&w, &loop, paths, 2, 2, seen, &loop);
	write_file(path, "changed");
	loop_run(&loop);
	unlink(path);
	loop_run(&loop);
	write_file(path, "back");
	loop_run(&loop);
	unlink(path);
	file_watch_stop(&w);
	loop_deinit(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(flags_good),
	    cmocka_unit_test(flags_bad),
	    cmocka_unit_test(flags_environment),
	    cmocka_unit_test(flags_text),
	    cmocka_unit_test(health),
	    cmocka_unit_test(metrics),
	    cmocka_unit_test(metrics_bounded),
	    cmocka_unit_test(metrics_process),
	    cmocka_unit_test(kubeconfig),
	    cmocka_unit_test(kubeconfig_bad),
	    cmocka_unit_test(file_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
