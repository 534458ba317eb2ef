/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the runtime says of one pod, and what the kubelet remembers of it between turns: the inputs
 * of plan.h and status.h. Plain data; strings belong to whoever filled the struct. Times are
 * nanoseconds since 1970, as CRI gives them; 0 is "never". */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct CoreV1__ResourceRequirements;

enum container_state { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED, CONTAINER_UNKNOWN };

/* One container of the runtime; a restart makes a new one. */
struct runtime_container {
	const char *id; /* without "containerd://" */
	const char *name;
	const char *sandbox_id;
	uint32_t attempt; /* restarts before this one */
	enum container_state state;
	int64_t created_ns, started_ns, finished_ns;
	int32_t exit_code;
	const char *reason, *message; /* "" when the runtime says nothing */
	const char *image, *image_id;
	uint32_t hash; /* container_hash of what it was made from; 0: not known */
	bool has_user; /* the runtime tells whom it runs as */
	int64_t uid, gid;
	const int64_t *groups;
	size_t n_groups;
};

struct runtime_sandbox {
	const char *id;
	uint32_t attempt;
	bool ready;
	bool host_network;
	int64_t created_ns;
	const char *const *ips;
	size_t n_ips;
};

struct pod_runtime {
	struct runtime_sandbox *sandboxes; /* newest first */
	size_t n_sandboxes;
	struct runtime_container *containers; /* newest first */
	size_t n_containers;
	const char *runtime_name; /* "containerd" */
};

/* Exponential back-off of one thing: 10 s, doubled with each failure, 300 s at most; begins anew
 * after a failure that comes later than twice the maximum after the one before (client-go
 * util/flowcontrol backoff). */
struct backoff {
	uint64_t delay_ms; /* 0: none yet */
	uint64_t last_ms;  /* when it was last raised */
};

enum { BACKOFF_INITIAL_MS = 10000, BACKOFF_MAX_MS = 300000 };

/* True while the back-off of what failed at since_ms lasts. */
bool backoff_active(const struct backoff *b, uint64_t since_ms, uint64_t now_ms);
/* For what failed at since_ms and is tried again now. */
void backoff_raise(struct backoff *b, uint64_t since_ms, uint64_t now_ms);

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS };

/* What the kubelet remembers of one container of the spec. Zero at the start. */
struct container_memory {
	const char *name;
	bool
	    has_started; /* the startup probe has passed, or there is none and the container runs */
	bool ready;      /* the readiness probe has passed, or there is none and it has started */
	bool must_restart; /* failed_probe found the running container unhealthy */
	enum probe_kind failed_probe;
	/* Why the last try to start it failed: ErrImagePull, CreateContainerConfigError, ...; NULL
	 * after a success. */
	const char *wait_reason, *wait_message;
	/* A resize in place that is not done: what the running container has. NULL: what the spec
	 * says. */
	const struct CoreV1__ResourceRequirements *actual;
	bool resize_restarts;   /* it takes a new container */
	uint32_t hash;          /* container_hash of the spec; 0: not known */
	uint64_t hold_until_ms; /* no other try before; 0: none failed */
	struct backoff crash;
};

struct pod_memory {
	struct container_memory *at;
	size_t n;
	bool resize_accepted; /* the node has room for what the spec says */
};

/* Of the fields whose change makes a new container: name and image. Never 0. */
uint32_t container_hash(const char *name, const char *image);
const struct runtime_container *runtime_newest(const struct pod_runtime *rt, const char *name);
const struct runtime_container *runtime_previous(const struct pod_runtime *rt, const char *name);
struct container_memory *memory_find(const struct pod_memory *m, const char *name);
