/* SPDX-License-Identifier: Apache-2.0 */
/* The CRI client against a real containerd: a sandbox and a container are made, looked at, used and
 * removed, and nothing is left.
 *
 * usage: cri_test MKIMAGE PAUSE. containerd runs in mount, network and process namespaces of its
 * own that end with it. Without root, containerd, runc or busybox the test is skipped (77). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "kubelet/cri/cri.h"
#include "proto/pb_decode.h"

enum { LIMIT_MS = 40000, SKIPPED = 77 };

static const char *mkimage, *pause_binary;

static struct {
	char dir[64];
	pid_t containerd;
	struct rpc_core *core;
	struct loop loop;
	struct loop_timer limit;
	struct cri *cri;
	struct arena arena;
	bool done;
	int code;
	char text[512];
	const ProtobufCMessage *body;
} t;

static void expired(void *arg)
{
	(void)arg;
	fprintf(stderr, "the test waited too long\n");
	kill(t.containerd, SIGKILL);
	abort();
}

static void on_done(const struct cri_result *r, void *arg)
{
	(void)arg;
	t.done = true;
	t.code = r->code;
	snprintf(t.text, sizeof(t.text), "%s", r->text);
	t.body = r->body;
	/* The answer is kept until the test ends. */
	if (r->body) {
		size_t n = protobuf_c_message_get_packed_size(r->body);
		uint8_t *packed = arena_alloc(&t.arena, n + 1);
		protobuf_c_message_pack(r->body, packed);
		ProtobufCAllocator a = pb_arena_allocator(&t.arena);
		t.body = protobuf_c_message_unpack(r->body->descriptor, &a, n, packed);
	}
	loop_stop(&t.loop);
}

static const void *call(enum cri_method m, const void *request)
{
	t.done = false;
	cri_call(t.cri, m, request, LIMIT_MS, on_done, NULL);
	loop_run(&t.loop);
	assert_true(t.done);
	return t.body;
}

static const void *must(enum cri_method m, const void *request)
{
	const void *body = call(m, request);
	if (t.code != RPC_OK)
		fail_msg("%s", t.text);
	return body;
}

static int shell(const char *fmt, ...)
{
	_cleanup_arena_ struct arena a = {0};
	va_list ap;
	va_start(ap, fmt);
	const char *command = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 ? -1 : status;
}

static void write_config(void)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/config.toml", t.dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f,
	        "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
	        "[grpc]\n  address = \"%s/sock\"\n"
	        "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
	        "  sandbox_image = \"localhost/pause:1\"\n  restrict_oom_score_adj = true\n"
	        "  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n"
	        "    runtime_type = \"io.containerd.runc.v2\"\n",
	        t.dir, t.dir, t.dir);
	fclose(f);
}

static void start_containerd(void)
{
	char config[128], log[128];
	snprintf(config, sizeof(config), "%s/config.toml", t.dir);
	snprintf(log, sizeof(log), "%s/containerd.log", t.dir);
	t.containerd = fork();
	assert_true(t.containerd >= 0);
	if (t.containerd)
		return;
	if (!freopen("/dev/null", "r", stdin) || !freopen(log, "w", stdout) || dup2(1, 2) < 0)
		_exit(126);
	execlp("unshare", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
	       "--mount-proc", "containerd", "-c", config, (char *)NULL);
	_exit(127);
}

static void await_runtime(void)
{
	CriV1__VersionRequest q = CRI_V1__VERSION_REQUEST__INIT;
	uint64_t limit = clock_mono_ms() + LIMIT_MS;
	do {
		call(CRI_VERSION, &q);
	} while (t.code == RPC_UNAVAILABLE && clock_mono_ms() < limit);
	assert_int_equal(t.code, RPC_OK);
	const CriV1__VersionResponse *v = (const void *)t.body;
	assert_string_equal(v->runtime_name, "containerd");
}

static int import(const char *name, const char *prepare, const char *command)
{
	return shell("set -e; r=$(mktemp -d %s/image.XXXXXX); chmod 755 $r; cd $r; %s; "
	             "%s %s $r %s/image.tar '%s'; "
	             "ctr -a %s/sock -n k8s.io images import %s/image.tar >/dev/null; rm -rf $r",
	             t.dir, prepare, mkimage, name, t.dir, command, t.dir, t.dir);
}

static int set_up(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char endpoint[128], prepare[300];
	snprintf(t.dir, sizeof(t.dir), "/tmp/kubec-cri-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	write_config();
	start_containerd();
	t.core = rpc_core_new(1);
	assert_int_equal(loop_init(&t.loop), 0);
	loop_timer_init(&t.limit, &t.loop, expired, NULL);
	loop_timer_start(&t.limit, LIMIT_MS);
	snprintf(endpoint, sizeof(endpoint), "unix://%s/sock", t.dir);
	assert_int_equal(cri_new(t.core, &t.loop, endpoint, &t.cri, &err), 0);
	await_runtime();
	snprintf(prepare, sizeof(prepare), "cp %s pause", pause_binary);
	assert_int_equal(import("localhost/pause:1", prepare, "[\"/pause\"]"), 0);
	assert_int_equal(import("localhost/busybox:1",
	                        "mkdir bin tmp proc sys dev etc; cp $(command -v busybox) bin/; "
	                        "for a in sh echo sleep; do ln -s busybox bin/$a; done",
	                        "[\"/bin/sh\"]"),
	                 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cri_free(t.cri);
	loop_timer_stop(&t.limit);
	loop_deinit(&t.loop);
	rpc_core_free(t.core);
	kill(t.containerd, SIGKILL);
	waitpid(t.containerd, NULL, 0);
	arena_deinit(&t.arena);
	/* The namespace's last mounts go with its last process, a moment later. */
	for (int i = 0; i < 100 && shell("rm -rf %s 2>/dev/null", t.dir); i++)
		usleep(20000);
	return 0;
}

static CriV1__PodSandboxConfig *sandbox(void)
{
	struct arena *a = &t.arena;
	CriV1__PodSandboxConfig *c =
	    CRI_NEW(a, CriV1__PodSandboxConfig, CRI_V1__POD_SANDBOX_CONFIG__INIT);
	c->metadata = CRI_NEW(a, CriV1__PodSandboxMetadata, CRI_V1__POD_SANDBOX_METADATA__INIT);
	c->metadata->name = (char *)"p";
	c->metadata->namespace_ = (char *)"ns";
	c->metadata->uid = (char *)"u1";
	c->log_directory = arena_printf(a, "%s/logs", t.dir);
	c->linux_ =
	    CRI_NEW(a, CriV1__LinuxPodSandboxConfig, CRI_V1__LINUX_POD_SANDBOX_CONFIG__INIT);
	c->linux_->security_context = CRI_NEW(a, CriV1__LinuxSandboxSecurityContext,
	                                      CRI_V1__LINUX_SANDBOX_SECURITY_CONTEXT__INIT);
	CriV1__NamespaceOption *n =
	    CRI_NEW(a, CriV1__NamespaceOption, CRI_V1__NAMESPACE_OPTION__INIT);
	n->network = CRI_V1__NAMESPACE_MODE__NODE; /* of containerd: no CNI is needed */
	n->pid = CRI_V1__NAMESPACE_MODE__CONTAINER;
	c->linux_->security_context->namespace_options = n;
	cri_pair_add(a, &cri_v1__pod_sandbox_config__labels_entry__descriptor, &c->labels,
	             &c->n_labels, LABEL_POD_UID, "u1");
	return c;
}

static CriV1__ContainerConfig *container(void)
{
	struct arena *a = &t.arena;
	static char *command[] = {(char *)"sh", (char *)"-c",
	                          (char *)"echo hello; exec sleep 1000"};
	CriV1__ContainerConfig *c =
	    CRI_NEW(a, CriV1__ContainerConfig, CRI_V1__CONTAINER_CONFIG__INIT);
	c->metadata = CRI_NEW(a, CriV1__ContainerMetadata, CRI_V1__CONTAINER_METADATA__INIT);
	c->metadata->name = (char *)"c";
	c->image = CRI_NEW(a, CriV1__ImageSpec, CRI_V1__IMAGE_SPEC__INIT);
	c->image->image = (char *)"localhost/busybox:1";
	c->command = command;
	c->n_command = ARRAY_LEN(command);
	c->log_path = (char *)"c.log";
	c->linux_ = CRI_NEW(a, CriV1__LinuxContainerConfig, CRI_V1__LINUX_CONTAINER_CONFIG__INIT);
	c->linux_->security_context = CRI_NEW(a, CriV1__LinuxContainerSecurityContext,
	                                      CRI_V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT);
	c->linux_->security_context->namespace_options =
	    sandbox()->linux_->security_context->namespace_options;
	cri_pair_add(a, &cri_v1__container_config__labels_entry__descriptor, &c->labels,
	             &c->n_labels, LABEL_POD_UID, "u1");
	return c;
}

static size_t count_containers(void)
{
	CriV1__ListContainersRequest q = CRI_V1__LIST_CONTAINERS_REQUEST__INIT;
	const CriV1__ListContainersResponse *r = must(CRI_LIST_CONTAINERS, &q);
	return r->n_containers;
}

static size_t count_sandboxes(void)
{
	CriV1__ListPodSandboxRequest q = CRI_V1__LIST_POD_SANDBOX_REQUEST__INIT;
	const CriV1__ListPodSandboxResponse *r = must(CRI_LIST_POD_SANDBOX, &q);
	for (size_t i = 0; i < r->n_items; i++)
		assert_string_equal(
		    cri_pair_get(r->items[i]->labels, r->items[i]->n_labels, LABEL_POD_UID), "u1");
	return r->n_items;
}

static int state_of(char *id)
{
	CriV1__ContainerStatusRequest q = CRI_V1__CONTAINER_STATUS_REQUEST__INIT;
	q.container_id = id;
	const CriV1__ContainerStatusResponse *r = must(CRI_CONTAINER_STATUS, &q);
	return (int)r->status->state;
}

static void test_life(void **state)
{
	(void)state;
	CriV1__RunPodSandboxRequest run = CRI_V1__RUN_POD_SANDBOX_REQUEST__INIT;
	run.config = sandbox();
	const CriV1__RunPodSandboxResponse *box = must(CRI_RUN_POD_SANDBOX, &run);
	assert_int_equal(count_sandboxes(), 1);

	CriV1__CreateContainerRequest create = CRI_V1__CREATE_CONTAINER_REQUEST__INIT;
	create.pod_sandbox_id = box->pod_sandbox_id;
	create.config = container();
	create.sandbox_config = run.config;
	const CriV1__CreateContainerResponse *made = must(CRI_CREATE_CONTAINER, &create);
	assert_int_equal(count_containers(), 1);
	assert_int_equal(state_of(made->container_id), CRI_V1__CONTAINER_STATE__CONTAINER_CREATED);

	CriV1__StartContainerRequest start = CRI_V1__START_CONTAINER_REQUEST__INIT;
	start.container_id = made->container_id;
	must(CRI_START_CONTAINER, &start);
	assert_int_equal(state_of(made->container_id), CRI_V1__CONTAINER_STATE__CONTAINER_RUNNING);

	char *echo[] = {(char *)"sh", (char *)"-c", (char *)"echo out; exit 3"};
	CriV1__ExecSyncRequest exec = CRI_V1__EXEC_SYNC_REQUEST__INIT;
	exec.container_id = made->container_id;
	exec.cmd = echo;
	exec.n_cmd = ARRAY_LEN(echo);
	const CriV1__ExecSyncResponse *out = must(CRI_EXEC_SYNC, &exec);
	assert_int_equal(out->exit_code, 3);
	assert_int_equal(out->stdout.len, 4);
	assert_memory_equal(out->stdout.data, "out\n", 4);
	assert_int_equal(shell("grep -q 'stdout F hello$' %s/logs/c.log", t.dir), 0);

	CriV1__StopContainerRequest stop = CRI_V1__STOP_CONTAINER_REQUEST__INIT;
	stop.container_id = made->container_id;
	must(CRI_STOP_CONTAINER, &stop);
	assert_int_equal(state_of(made->container_id), CRI_V1__CONTAINER_STATE__CONTAINER_EXITED);
	CriV1__RemoveContainerRequest remove_c = CRI_V1__REMOVE_CONTAINER_REQUEST__INIT;
	remove_c.container_id = made->container_id;
	must(CRI_REMOVE_CONTAINER, &remove_c);
	CriV1__StopPodSandboxRequest stop_box = CRI_V1__STOP_POD_SANDBOX_REQUEST__INIT;
	stop_box.pod_sandbox_id = box->pod_sandbox_id;
	must(CRI_STOP_POD_SANDBOX, &stop_box);
	CriV1__RemovePodSandboxRequest remove_box = CRI_V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
	remove_box.pod_sandbox_id = box->pod_sandbox_id;
	must(CRI_REMOVE_POD_SANDBOX, &remove_box);
	assert_int_equal(count_containers(), 0);
	assert_int_equal(count_sandboxes(), 0);
}

static void test_errors(void **state)
{
	(void)state;
	CriV1__ContainerStatusRequest q = CRI_V1__CONTAINER_STATUS_REQUEST__INIT;
	q.container_id = (char *)"nothing";
	assert_null(call(CRI_CONTAINER_STATUS, &q));
	assert_int_equal(t.code, RPC_NOT_FOUND);
	struct cri_result r = {.code = t.code, .text = t.text};
	const char *text = cri_error_text(&r, &t.arena);
	assert_memory_equal(text, "rpc error: code = NotFound desc = ", 34);

	CriV1__ImageStatusRequest image = CRI_V1__IMAGE_STATUS_REQUEST__INIT;
	CriV1__ImageSpec spec = CRI_V1__IMAGE_SPEC__INIT;
	spec.image = (char *)"localhost/none:1";
	image.image = &spec;
	const CriV1__ImageStatusResponse *s = must(CRI_IMAGE_STATUS, &image);
	assert_null(s->image);

	/* A call that was given up does not call back. */
	CriV1__ListImagesRequest list = CRI_V1__LIST_IMAGES_REQUEST__INIT;
	cri_call_drop(cri_call(t.cri, CRI_LIST_IMAGES, &list, LIMIT_MS, on_done, NULL));
	const CriV1__ListImagesResponse *images = must(CRI_LIST_IMAGES, &list);
	assert_int_equal(images->n_images, 2);
}

int main(int argc, char **argv)
{
	static const char tools[] = "command -v containerd runc ctr busybox unshare >/dev/null";
	if (argc < 3 || geteuid() || shell("%s", tools))
		return SKIPPED;
	mkimage = argv[1];
	pause_binary = argv[2];
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
