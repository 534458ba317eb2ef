/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A pod and a model of the runtime that carries plans out, for tests. One of each, started anew by
 * setup. */
#include "kubelet/core/make.h"
#include "kubelet/core/status.h"

enum { MODEL_MAX = 64 };

extern struct arena arena;
extern CoreV1__Pod *pod;
extern struct runtime_container containers[MODEL_MAX];
extern struct runtime_sandbox sandboxes[4];
extern struct container_memory memories[8];
extern struct pod_runtime rt;
extern struct pod_memory memory;
extern uint64_t now_ms;

int setup(void **state);
int teardown(void **state);
/* Containers are letters: make_pod("ij", "ab", "Always"). */
void make_pod(const char *init, const char *regular, const char *policy);
/* Carries out one plan; says what it did: "-a" kills, "X" ends sandboxes, "S0" makes one, "+a"
 * starts,
 * "~a" waits. */
const char *step(void);
/* The newest container of that name ends. */
void end(const char *name, int code);
CoreV1__PodStatus *status(void);
/* "True", "False" or "absent". */
const char *condition(const CoreV1__PodStatus *s, const char *type);
