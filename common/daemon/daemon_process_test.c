/* SPDX-License-Identifier: Apache-2.0 */
/* Runs test_daemon as a process: what it prints, how it tells systemd, how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/buf.h"

enum { WAIT_MS = 20000 };

static const char *program;

struct run {
	pid_t pid;
	int output, notify;
	char socket[64];
	struct buf text;
};

/* Starts the program with its output on a pipe and a notification socket of its own. */
static void start(struct run *r, const char *const *args, const char *extra_env)
{
	int fds[2];
	char notify[96];
	char *argv[8] = {(char *)(uintptr_t)program};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	*r = (struct run){.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	snprintf(r->socket, sizeof r->socket, "kubec-daemon-test-%d", getpid());
	memcpy(sa.sun_path + 1, r->socket, strlen(r->socket)); /* an abstract name */
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(r->socket));
	assert_int_equal(bind(r->notify, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (int i = 0; args[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)args[i];
	snprintf(notify, sizeof notify, "NOTIFY_SOCKET=@%s", r->socket);
	char *env[] = {notify, (char *)(uintptr_t)extra_env, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	assert_int_equal(posix_spawn(&r->pid, program, &actions, NULL, argv, env), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	r->output = fds[0];
}

static void give_up(struct run *r)
{
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	fail_msg("the daemon did not answer in time");
}

static void wait_readable(struct run *r, int fd)
{
	struct pollfd p = {fd, POLLIN, 0};
	if (poll(&p, 1, WAIT_MS) != 1)
		give_up(r);
}

static void expect_notify(struct run *r, const char *want)
{
	char message[128];
	wait_readable(r, r->notify);
	ssize_t n = recv(r->notify, message, sizeof message - 1, 0);
	message[n > 0 ? n : 0] = 0;
	assert_string_equal(message, want);
}

/* Reads all output; the exit status. */
static int finish(struct run *r)
{
	int status;
	for (;;) {
		wait_readable(r, r->output);
		buf_reserve(&r->text, 4096);
		ssize_t n = read(r->output, r->text.data + r->text.len, 4096);
		if (n <= 0)
			break;
		r->text.len += (size_t)n;
	}
	buf_str(&r->text, "");
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	close(r->output);
	close(r->notify);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *const *args, int status, const char *text)
{
	struct run r;
	start(&r, args, NULL);
	assert_int_equal(finish(&r), status);
	if (!strstr((char *)r.text.data, text))
		fail_msg("not in the output: %s\n%s", text, (char *)r.text.data);
	buf_deinit(&r.text);
}

static void answers(void **state)
{
	expect((const char *[]){"--version", NULL}, 0, "Kubernetes v1.36.0\n");
	expect((const char *[]){"--help", NULL}, 0,
	       "      --greeting string\n                What to say. (default \"hello\")\n");
	expect((const char *[]){"--nope", NULL}, 1, "Error: unknown flag: --nope\n");
	expect((const char *[]){"extra", NULL}, 1, "Error: unknown command \"extra\" for \"test_daemon\"\n");
	expect((const char *[]){"--logging-format=xml", NULL}, 1,
	       "Error: invalid argument \"xml\" for \"--logging-format\" flag");
}

static void life(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		struct run r;
		start(&r, (const char *[]){"--profiling=false", "-v", "2", NULL},
		      "TEST_DAEMON_GREETING=moin");
		expect_notify(&r, "READY=1");
		kill(r.pid, signals[i]);
		expect_notify(&r, "STOPPING=1");
		assert_int_equal(finish(&r), 0);
		assert_non_null(
		    strstr((char *)r.text.data, "\"Flag has no effect here\" flag=\"profiling\""));
		assert_non_null(strstr((char *)r.text.data, "\"Stopping\" greeting=\"moin\""));
		buf_deinit(&r.text);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(life)};
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
