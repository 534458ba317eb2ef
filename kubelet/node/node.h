/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* This machine in the API: the Node object (made when it is not there, its status brought up to
 * date when it changes and every five minutes) and the Lease in kube-node-lease that says every ten
 * seconds that the kubelet lives. */
#include "common/codec/quantity.h"
#include "kubelet/kubelet.h"

struct node;

struct node *node_new(struct kubelet *k);
void node_start(struct node *n);
void node_free(struct node *n);
/* Something of the status has changed: writes it soon. */
void node_wake(struct node *n);
/* An Event about the node. */
void node_event(struct node *n, bool warning, const char *reason, const char *fmt, ...)
    _printf_(4, 5);
/* "cpu", "memory", "ephemeral-storage", "pods": what pods may have; "0" for others. */
void node_allocatable(const struct node *n, const char *resource, char out[QUANTITY_BYTES]);
int64_t node_memory_bytes(const struct node *n);
/* Of the Node object; "" until it is known. */
const char *node_uid_of(const struct node *n);
int64_t node_cpus(const struct node *n);
/* How many processes the machine may have. */
int64_t node_pids_max(void);

/* lease.c */
struct lease;
struct lease *lease_new(struct kubelet *k);
/* The node's uid is known: the Lease gets its owner. */
void lease_start(struct lease *l, const char *node_uid);
void lease_free(struct lease *l);
