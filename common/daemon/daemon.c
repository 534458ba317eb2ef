/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/log.h"

void sd_notify_send(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	if (!n || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = 0; /* an abstract name */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	ssize_t sent =
	    sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&sa, len);
	if (sent < 0)
		log_warning("Could not notify the service manager",
		            LOG_STR("err", strerror(errno)));
	close(fd);
}

/* --- flags --- */

/* The daemon's groups and the ones that all have. */
struct all_flags {
	struct flag_group *groups;
	size_t n;
};

static struct all_flags flags_of(struct daemon *d)
{
	const struct flag common[] = {
	    {.name = "v",
	     .kind = FLAG_KIND_INT,
	     .i = &d->verbosity,
	     .shorthand = 'v',
	     .help = "Number for the log level verbosity."},
	    FLAG_STR("logging-format", &d->logging_format,
	             "Sets the log format: \"text\" or \"json\"."),
	    {.name = "logtostderr",
	     .kind = FLAG_KIND_BOOL,
	     .b = &d->logtostderr,
	     .help = "Log to standard error.",
	     .deprecated = "logs always go to standard error"},
	    FLAG_NO_EFFECT("vmodule"),
	    FLAG_NO_EFFECT("log-flush-frequency"),
	};
	size_t n = d->options->n_groups;
	struct flag_group *groups = arena_array(&d->arena, struct flag_group, n + 1);
	memcpy(groups, d->options->groups, n * sizeof *groups);
	groups[n] = (struct flag_group){"Global", arena_memdup(&d->arena, common, sizeof common),
	                                ARRAY_LEN(common)};
	return (struct all_flags){groups, n + 1};
}

/* --version, --version=raw and --version=true, wherever it stands before "--". */
static bool version_asked(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "--version=true") ||
		    !strcmp(argv[i], "--version=raw"))
			return true;
	return false;
}

static void print_help(const struct daemon_options *o, const struct all_flags *flags)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "%s\n\nUsage:\n  %s [flags]\n", o->description, o->name);
	flags_help(flags->groups, flags->n, &b);
	buf_str(&b, "\nOther flags:\n\n  -h, --help\n                This text.\n"
	            "      --version\n                Print the version and quit.\n");
	fwrite(b.data, 1, b.len, stdout);
}

static int parse_flags(struct daemon *d, int argc, char **argv)
{
	const struct daemon_options *o = d->options;
	struct all_flags flags = flags_of(d);
	struct err err = ERR_INIT;
	if (version_asked(argc, argv)) {
		printf("%s\n", o->version ? o->version : "Kubernetes " KUBERNETES_VERSION);
		return 1;
	}
	int r =
	    flags_parse(flags.groups, flags.n, argc, argv, o->env_prefix, &d->arena, NULL, &err);
	if (r == 1)
		print_help(o, &flags);
	if (!r && strcmp(d->logging_format, "text") && strcmp(d->logging_format, "json"))
		r = err_set(
		    &err, ERR_INVALID,
		    "invalid argument \"%s\" for \"--logging-format\" flag: want text or json",
		    d->logging_format);
	if (r < 0)
		fprintf(stderr, "Error: %s\n", err.text);
	if (r)
		return r;
	log_setup(!strcmp(d->logging_format, "json") ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
	          (int)d->verbosity);
	flags_warn(flags.groups, flags.n);
	return 0;
}

/* --- signals --- */

void daemon_quit(struct daemon *d)
{
	loop_stop(&d->loop);
}

void daemon_stop(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	sd_notify_send("STOPPING=1");
	if (d->options->on_stop)
		d->options->on_stop(d, d->options->arg);
	else
		daemon_quit(d);
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
	struct daemon *d = CONTAINER_OF(poll, struct daemon, signals);
	struct signalfd_siginfo info;
	if (read(d->signal_fd, &info, sizeof info) != sizeof info)
		return;
	log_info("Signal received", LOG_STR("signal", strsignal((int)info.ssi_signo)));
	if (d->stopping)
		_exit(1);
	daemon_stop(d);
}

static int take_signals(struct daemon *d)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signal_fd < 0)
		return -ERR_IO;
	uv_poll_init(&d->loop.uv, &d->signals, d->signal_fd);
	uv_poll_start(&d->signals, UV_READABLE, on_signal);
	return 0;
}

/* --- life cycle --- */

int daemon_init(struct daemon *d, const struct daemon_options *o, int argc, char **argv)
{
	memset(d, 0, sizeof *d);
	d->options = o;
	d->signal_fd = -1;
	d->logging_format = "text";
	d->logtostderr = true;
	arena_init(&d->arena);
	int r = parse_flags(d, argc, argv);
	if (r) {
		flags_deinit(o->groups, o->n_groups);
		arena_deinit(&d->arena);
		return r;
	}
	r = loop_init(&d->loop);
	if (!r)
		r = take_signals(d);
	if (r) {
		fprintf(stderr, "Error: the event loop could not be made: %s\n", strerror(errno));
		return r;
	}
	d->rpc = rpc_core_new(o->rpc_threads);
	d->metrics = metrics_new(true);
	health_init(&d->health);
	return 0;
}

int daemon_exit_code(int r)
{
	return r < 0 ? 1 : 0;
}

void daemon_ready(struct daemon *d)
{
	sd_notify_send("READY=1");
}

void daemon_run(struct daemon *d)
{
	loop_run(&d->loop);
}

void daemon_deinit(struct daemon *d)
{
	rpc_core_free(d->rpc);
	metrics_free(d->metrics);
	health_deinit(&d->health);
	flags_deinit(d->options->groups, d->options->n_groups);
	loop_deinit(&d->loop);
	if (d->signal_fd >= 0)
		close(d->signal_fd);
	arena_deinit(&d->arena);
}
