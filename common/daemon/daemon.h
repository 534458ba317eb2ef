/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The skeleton of every daemon:
 *
 *     int main(int argc, char **argv)
 *     {
 *             struct daemon d;
 *             int r = daemon_init(&d, &options, argc, argv);
 *             if (r)
 *                     return daemon_exit_code(r);
 *             ... build things on &d.loop, d.rpc ...
 *             daemon_ready(&d);
 *             daemon_run(&d);
 *             daemon_deinit(&d);
 *     }
 *
 * daemon_init parses flags (with --help, --version, -v, --logging-format added), sets up logging,
 * blocks SIGTERM and SIGINT (before gRPC starts threads), ignores SIGPIPE, and makes the loop and
 * the rpc_core. A first SIGTERM or SIGINT calls on_stop on the loop; the daemon ends what it runs
 * and calls daemon_quit. A second one exits at once with status 1. Child processes must be spawned
 * with an empty signal mask (posix_spawnattr_setsigmask). */
#include "common/daemon/flags.h"
#include "common/daemon/health.h"
#include "common/daemon/metrics.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"

#define KUBERNETES_VERSION "v1.36.0"

struct daemon;

struct daemon_options {
	const char *name;        /* "kube-scheduler" */
	const char *description; /* the first paragraph of --help */
	const char *version;     /* what --version prints; NULL: "Kubernetes v1.36.0" */
	const char *env_prefix;  /* see flags_parse */
	const struct flag_group *groups;
	size_t n_groups;
	unsigned rpc_threads; /* 0: 1 */
	/* The first SIGTERM or SIGINT; NULL: daemon_quit at once. */
	void (*on_stop)(struct daemon *d, void *arg);
	void *arg;
};

struct daemon {
	const struct daemon_options *options;
	struct loop loop;
	struct rpc_core *rpc;
	struct metrics *metrics; /* with process_* and start time */
	struct health health;    /* with "ping" */
	struct arena arena;      /* for what lives as long as the process */
	uv_poll_t signals;
	int signal_fd;
	bool stopping;
	/* the flags that every daemon has */
	int64_t verbosity;
	const char *logging_format;
	bool logtostderr;
};

/* 0: go on. 1: --help or --version was answered. Negative: the error was printed. */
int daemon_init(struct daemon *d, const struct daemon_options *o, int argc, char **argv);
int daemon_exit_code(int r);
/* Tells systemd (NOTIFY_SOCKET) READY=1. */
void daemon_ready(struct daemon *d);
/* Runs the loop until daemon_quit. */
void daemon_run(struct daemon *d);
/* As a signal does: on_stop once, STOPPING=1. On the loop. */
void daemon_stop(struct daemon *d);
/* Makes daemon_run return. Any thread. */
void daemon_quit(struct daemon *d);
/* All servers and channels must be freed before. */
void daemon_deinit(struct daemon *d);

/* Sends one message to the service manager; nothing without NOTIFY_SOCKET. */
void sd_notify_send(const char *message);
