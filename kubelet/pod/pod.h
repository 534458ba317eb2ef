/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The pods of this node and the worker that each has: a state machine on the loop.
 *
 * Level driven. pod_sync looks at what is wanted (the newest object of the apiserver) and what is
 * there (the runtime's containers), and starts the next steps; while steps are in flight (`busy`)
 * it only notes that it was asked. When the last step has ended the runtime is read again and the
 * next turn begins. A pod without an object (unknown to the apiserver, or deleted from it) is only
 * taken away. */
#include "common/base/list.h"
#include "common/base/map.h"
#include "kubelet/core/plan.h"
#include "kubelet/core/probe.h"
#include "kubelet/core/status.h"
#include "kubelet/kubelet.h"

struct pod_volumes;
struct start;

/* The back-off of one image of a pod. */
struct image_backoff {
	struct list link;
	struct backoff at;
	char *error; /* what the last pull said */
	char image[];
};

struct pod {
	struct kubelet *k;
	char *key, *uid, *ns, *name; /* key: "ns/name" */
	/* The object as the apiserver has it, decoded; changes only between steps. */
	struct arena spec_arena;
	CoreV1__Pod *spec;
	CoreV1__Container *
	    *ephemeral; /* spec's ephemeral containers as containers; in spec_arena */
	int64_t revision;
	uint64_t wish; /* a sum of what users change: generation, labels, annotations */
	/* A newer one that waits for the steps in flight. */
	struct arena next_arena;
	CoreV1__Pod *next;
	int64_t next_revision;
	bool gone;            /* the apiserver has no such object */
	bool deleting;        /* it has a deletionTimestamp */
	int64_t seen_seconds; /* when it was first seen, or its status' startTime */

	/* What the runtime has. */
	struct arena rt_arena;
	struct pod_runtime rt;
	bool rt_fresh, rt_seen; /* rt_seen: it was ever read */
	uint64_t rt_mark;       /* of the relist that it agrees with */
	struct pod_memory memory;
	struct list backoffs; /* of images */

	/* The state machine. */
	unsigned busy;
	uint64_t turn_began_ns, born_ms; /* born_ms: real clock */
	bool start_told;                 /* how long it took until it ran */
	bool stopping;
	struct loop_timer timer;
	uint64_t backoff_told_ms;
	uint64_t retry_at_ms; /* after a failed step no other is tried before; real clock */
	uint64_t start_at_ms; /* the same for what makes the pod run */
	struct cri_call *making_sandbox;
	struct start *start;
	struct list kills;
	int64_t killed_grace; /* the grace that containers are being stopped with; -1: none */
	/* Ended by the kubelet: refused, past its deadline, evicted. */
	char *failed_reason, *failed_message, *disruption_reason;
	int64_t failed_grace; /* -1: the pod's own */
	bool admitted;        /* the node took it */
	/* A resize in place that is not done: its condition, and what containers had. */
	struct arena resize_arena;
	const char *resize_type, *resize_reason, *resize_message;

	/* From a file (kubelet/static): the apiserver has a mirror of it by another uid, whose
	 * status and resourceVersion the object carries; "" while there is none. */
	bool is_static;
	char mirror_uid[64];

	struct pod_volumes *volumes;
	bool volumes_gone; /* unmounted for good */
	struct list probers;

	/* The status on its way to the apiserver. */
	bool status_in_flight, status_again, status_wanted, delete_in_flight;
	uint64_t status_retry_ms;
	struct loop_timer status_timer;
};

struct pods {
	struct kubelet *k;
	struct map by_uid; /* uid -> struct pod */
	struct informer *informer, *services, *runtime_classes, *nodes;
	struct loop_timer relist;
	bool synced, listed, runtime_ok;
	uint64_t relisted_ms, relist_began_ns;
	bool listing;
	struct exits *exits;     /* kubelet/pleg */
	unsigned hurries;        /* relists in quick succession that are left */
	struct arena list_arena; /* the sandboxes of a relist in flight */
	const CriV1__ListPodSandboxResponse *sandboxes;
};

struct pods *pods_new(struct kubelet *k);
void pods_free(struct pods *p);
/* Begins to look at the runtime. */
void pods_start(struct pods *p);
struct pod *pods_find(struct pods *p, const char *ns, const char *name);
struct pod *pods_find_uid(struct pods *p, const char *uid);
/* The pod was observed. */
void pods_observed(struct pods *p, struct pod *pod);
/* Looks at the runtime at once. */
void pods_relist_now(struct pods *p);
/* Whether the runtime was looked at lately; 0 or fills err ("PLEG is not healthy: ..."). */
int pods_check(void *pods, struct err *err);

/* pod.c */
struct pod *pod_new(struct pods *pods, const char *uid, const char *ns, const char *name);
/* An object that the apiserver has, in arena a, which is taken over unless a newer one is known. */
void pod_offer(struct pod *p, CoreV1__Pod *object, int64_t revision, struct arena *a);
/* Makes the newest object the current one, when there is a newer one. */
void pod_adopt(struct pod *p);
/* The kubelet has nothing left to do for it. */
void pod_forget(struct pod *p);
/* Of any kind; NULL when there is none of that name. */
const CoreV1__Container *pod_container_spec(const struct pod *p, const char *name);
enum container_kind pod_container_kind(const struct pod *p, const char *name);
/* Ends the pod: phase Failed with this reason and message (static strings, or of the pod's life).
 * grace_seconds -1: the pod's own. disruption_reason: of the condition DisruptionTarget, or NULL.
 */
void pod_fail(struct pod *p, const char *reason, const char *message, int64_t grace_seconds,
              const char *disruption_reason);
struct container_memory *pod_memory_of(struct pod *p, const char *container);
/* "root/pods/<uid>" + "/" + rest; in the arena. */
const char *pod_dir(const struct pod *p, struct arena *a, const char *rest);
const char *pod_log_dir(const struct pod *p, struct arena *a);
uint64_t now_real_ms(void);
/* An Event about the pod; container NULL: about no container. */
void pod_event(struct pod *p, const char *container, bool warning, const char *reason,
               const char *fmt, ...) _printf_(5, 6);

/* admit.c */
/* Whether the pod may be here; when not, it was refused (pod_fail). */
bool pod_admit(struct pod *p);

/* NULL: the node has room for the pod as its spec is now. Else why it must wait, "Deferred", or
 * cannot be, "Infeasible". */
const char *pod_resize_obstacle(struct pod *p, struct arena *a, const char **ret_message);

/* resize.c */
/* `object` takes the place of p->spec, or is the first. */
void resize_note(struct pod *p, const CoreV1__Pod *object);
/* Begins what is to be done. True when steps were begun. */
bool resize_sync(struct pod *p);
/* A container was started anew, with what the spec says. */
void resize_restarted(struct pod *p, struct container_memory *m);

/* worker.c */
/* A turn, now or when the steps in flight have ended. */
void pod_sync(struct pod *p);
/* A turn after delay_ms at the latest. */
void pod_sync_after(struct pod *p, uint64_t delay_ms);
/* A step began; each step ends with one pod_step_done. */
void pod_step(struct pod *p);
void pod_step_done(struct pod *p);
/* No step before `delay_ms` from now. */
void pod_hold(struct pod *p, uint64_t delay_ms);
/* No step that makes the pod run; it may end before. */
void pod_hold_start(struct pod *p, uint64_t delay_ms);

/* observe.c: fills p->rt; a step of its own. */
void pod_observe(struct pod *p);
/* What a relist compares: equal sums, equal states. */
uint64_t observe_mark(const char *id, int state);

/* collect.c: removes dead containers that nobody needs. True when steps were begun. */
bool pod_collect(struct pod *p);
/* Removes all containers and sandboxes. True when steps were begun. */
bool pod_remove_all(struct pod *p);

/* sandbox.c */
/* tell: what is missing becomes an Event. */
CriV1__PodSandboxConfig *sandbox_config(struct pod *p, uint32_t attempt, bool tell,
                                        struct arena *a);
void sandbox_create(struct pod *p, uint32_t attempt, bool replaced);
void sandbox_stop_all(struct pod *p);
/* Gives up the making of one; what the runtime makes all the same is found by the relist. */
void sandbox_cancel(struct pod *p);

/* start.c: image, config, create, start, postStart of one container. */
void container_start(struct pod *p, const struct plan_start *s, const char *sandbox_id,
                     uint32_t sandbox_attempt);
/* Gives up what may take long (pull, hook); its step ends soon. */
void container_start_cancel(struct start *s);

/* kill.c: preStop and stop of one container. */
void container_kill(struct pod *p, const struct plan_kill *kill);
/* The grace became shorter. */
void container_kill_hurry(struct pod *p, int64_t grace_seconds);

/* hook.c: postStart and preStop. text NULL: it went well. */
struct hook;
typedef void (*hook_done_fn)(const char *text, void *arg);
struct hook *hook_run(struct pod *p, const CoreV1__LifecycleHandler *h, const CoreV1__Container *c,
                      const char *container_id, uint32_t timeout_ms, hook_done_fn done, void *arg);
void hook_drop(struct hook *h);

/* probes.c */
void probes_sync(struct pod *p);
/* Only readiness is probed from now on: the pod ends. */
void probes_stop_restarting(struct pod *p);
void probes_stop(struct pod *p);

/* status_writer.c */
void pod_status_sync(struct pod *p);
/* The status in the apiserver is the one that pod_status would write, or the object is gone. */
bool pod_status_settled(struct pod *p);
/* Deletes the object for good. */
void pod_delete_object(struct pod *p);

/* The pod's status as it is. */
CoreV1__PodStatus *pod_status_now(struct pod *p, struct arena *a);
/* Phase Succeeded or Failed in the apiserver. */
bool pod_is_terminal(const struct pod *p);
/* The same of the newest object, which may still wait for the steps in flight. */
bool pod_is_known_terminal(const struct pod *p);
/* The address that probes and hooks go to; NULL: none yet. */
const char *pod_address(const struct pod *p);
